#include "runner/sys/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <memory>

#include "runner/sys/error.h"
#include "runner/sys/text.h"

namespace relight::sys {
namespace {

constexpr const char* cannot_ask = "cannot ask over HTTP";
constexpr int kLook = 250;  // ms between two questions whether to stop

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeMulti {  // CURL and CURLM are both void
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct Free {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(char* text) const { curl_free(text); }
};
using Easy = std::unique_ptr<CURL, FreeEasy>;
using Multi = std::unique_ptr<CURLM, FreeMulti>;
using List = std::unique_ptr<curl_slist, Free>;
using Url = std::unique_ptr<CURLU, Free>;

std::string lower(std::string_view text) {
  std::string small(text);
  std::transform(small.begin(), small.end(), small.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return small;
}

std::string part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return "";
  const std::unique_ptr<char, Free> owned(text);
  return text;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") || host == "[::1]";
}

struct Exchange {
  const HttpRequest& request;
  HttpAnswer answer;
  bool too_large = false;

  static std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* exchange) {
    auto* self = static_cast<Exchange*>(exchange);
    if (self->answer.body.size() + size * count > self->request.body_limit) {
      self->too_large = true;
      return 0;  // ends the transfer
    }
    self->answer.body.append(bytes, size * count);
    return size * count;
  }

  static std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* exchange) {
    auto* self = static_cast<Exchange*>(exchange);
    const std::string_view line(bytes, size * count);
    const std::size_t colon = line.find(':');
    if (line.starts_with("HTTP/")) {
      self->answer.headers.clear();  // of a redirect, or of "100 continue", before
    } else if (colon != std::string_view::npos) {
      std::string& value = self->answer.headers[lower(trim(line.substr(0, colon)))];
      if (!value.empty()) value += ", ";
      value += trim(line.substr(colon + 1));
    }
    return size * count;
  }
};

List header_lines(const HttpRequest& request, const std::string& on) {
  List list;
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) throw Error(ErrorKind::transient, cannot_ask, on, "out of memory");
    (void)list.release();
    list.reset(longer);
  };
  bool typed = false;
  for (const auto& [name, value] : request.headers) {
    if ((name + value).find_first_of(std::string("\r\n\0", 3)) != std::string::npos || name.empty())
      throw Error(ErrorKind::permanent, cannot_ask, on,
                  "the header " + name + " holds a line end or has no name");
    typed = typed || lower(name) == "content-type";
    add(value.empty() ? name + ";" : name + ": " + value);  // libcurl's way of sending an empty one
  }
  if (!typed) add("Content-Type:");  // none, rather than libcurl's guess that a body is a form
  add("Expect:");                    // no waiting for "100 continue"
  return list;
}

Error failure(CURL* easy, CURLcode code, const char* told, const std::string& on, const HttpRequest& request,
              const std::string& host) {
  long os_error = 0;
  curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_error);
  std::string why = *told != '\0' ? told : curl_easy_strerror(code);
  ErrorKind kind = ErrorKind::transient;
  std::string hint;
  switch (code) {
    case CURLE_COULDNT_CONNECT:
      if (os_error != 0) why = std::strerror(static_cast<int>(os_error));
      break;
    case CURLE_OPERATION_TIMEDOUT:
      why = "no answer within " + show_duration(request.timeout);
      break;
    case CURLE_COULDNT_RESOLVE_HOST:
      why = "the name " + host + " is not found";
      break;
    case CURLE_GOT_NOTHING:
      why = "the connection was closed without an answer";
      break;
    case CURLE_PARTIAL_FILE:
      why = "the connection was closed within the answer";
      break;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS:
      kind = ErrorKind::permanent;
      break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
      kind = ErrorKind::permanent;
      hint = "check the server's certificate, and that the URL names the host that it was made for";
      break;
    default:
      break;
  }
  return Error(kind, cannot_ask, on, why, hint);
}

}  // namespace

HttpAnswer http(const HttpRequest& request) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const Url url(curl_url());
  if (ready != CURLE_OK || !url)
    throw Error(ErrorKind::permanent, cannot_ask, "libcurl", "it cannot be set up");
  if (curl_url_set(url.get(), CURLUPART_URL, request.url.c_str(), 0) != CURLUE_OK)
    throw Error(ErrorKind::permanent, cannot_ask, "the URL", "it cannot be read",
                "write http://HOST:PORT/PATH");
  const std::string scheme = part_of(url.get(), CURLUPART_SCHEME), host = part_of(url.get(), CURLUPART_HOST);
  const std::string port = part_of(url.get(), CURLUPART_PORT);
  // As messages show it: neither a login nor a query, in which a token may stand.
  const std::string on =
      scheme + "://" + host + (port.empty() ? "" : ":" + port) + part_of(url.get(), CURLUPART_PATH);
  if (scheme != "http" && scheme != "https")
    throw Error(ErrorKind::permanent, cannot_ask, on, "it is neither http nor https");

  const List headers = header_lines(request, on);
  Exchange exchange{request, {}, false};
  std::array<char, CURL_ERROR_SIZE> told{};
  const Easy easy(curl_easy_init());
  const Multi multi(curl_multi_init());
  if (!easy || !multi) throw Error(ErrorKind::transient, cannot_ask, on, "out of memory");
  const auto set = [&](CURLoption option, auto value) {
    if (const CURLcode code = curl_easy_setopt(easy.get(), option, value); code != CURLE_OK)
      throw Error(ErrorKind::permanent, cannot_ask, on, curl_easy_strerror(code));
  };
  set(CURLOPT_CURLU, url.get());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_ERRORBUFFER, told.data());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  set(CURLOPT_FOLLOWLOCATION, request.follow_redirects ? 1L : 0L);
  set(CURLOPT_MAXREDIRS, 10L);
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_WRITEFUNCTION, &Exchange::take_body);
  set(CURLOPT_WRITEDATA, &exchange);
  set(CURLOPT_HEADERFUNCTION, &Exchange::take_header);
  set(CURLOPT_HEADERDATA, &exchange);
  if (is_loopback(host)) set(CURLOPT_PROXY, "");
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_POSTFIELDS, request.body.data());
  }
  if (request.method != "HEAD") set(CURLOPT_CUSTOMREQUEST, request.method.c_str());

  struct Added {  // taken out before either handle goes, whatever is thrown
    CURLM* multi;
    CURL* easy;
    ~Added() { curl_multi_remove_handle(multi, easy); }
  };
  curl_multi_add_handle(multi.get(), easy.get());
  const Added added{multi.get(), easy.get()};
  for (int running = 1; running > 0;) {
    CURLMcode code = curl_multi_perform(multi.get(), &running);
    if (code == CURLM_OK && running > 0) code = curl_multi_poll(multi.get(), nullptr, 0, kLook, nullptr);
    if (code != CURLM_OK) throw Error(ErrorKind::transient, cannot_ask, on, curl_multi_strerror(code));
    if (running > 0 && request.stop && request.stop())
      throw Error(ErrorKind::transient, cannot_ask, on, "told to stop");
  }
  CURLcode code = CURLE_OK;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left))
    if (message->msg == CURLMSG_DONE) code = message->data.result;
  if (exchange.too_large)
    throw Error(ErrorKind::permanent, cannot_ask, on,
                "the answer is larger than " + show_size(request.body_limit));
  if (code != CURLE_OK) throw failure(easy.get(), code, told.data(), on, request, host);
  long status = 0, local_port = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy.get(), CURLINFO_LOCAL_PORT, &local_port);
  exchange.answer.status = static_cast<int>(status);
  exchange.answer.local_port = static_cast<int>(local_port);
  return std::move(exchange.answer);
}

}  // namespace relight::sys
