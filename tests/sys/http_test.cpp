#include "runner/sys/http.h"

#include <doctest/doctest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "tests/support/port.h"

using namespace relight;
using namespace relight::sys;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

Error error_of(const HttpRequest& request) {
  try {
    http(request);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::permanent, "no error", "", "");
}

HttpRequest get(const std::string& url) {
  HttpRequest request;
  request.url = url;
  return request;
}

class Server {
 public:
  Server() {
    server_.Get("/ok", [](const httplib::Request& request, httplib::Response& answer) {
      answer.set_header("X-Seen",
                        request.get_header_value("X-Asked") + "|" + request.get_header_value("Content-Type"));
      answer.set_header("X-Port", std::to_string(request.remote_port));
      answer.set_content("fine", "text/plain");
    });
    server_.Post("/echo", [](const httplib::Request& request, httplib::Response& answer) {
      answer.status = 201;
      answer.set_header("X-Type", request.get_header_value("Content-Type"));
      answer.set_header("X-Expect", request.get_header_value("Expect"));
      answer.set_content(request.body, "application/octet-stream");
    });
    server_.Put("/echo", [](const httplib::Request& request, httplib::Response& answer) {
      answer.set_content("put " + std::to_string(request.body.size()), "text/plain");
    });
    server_.Get("/moved",
                [](const httplib::Request&, httplib::Response& answer) { answer.set_redirect("/ok"); });
    server_.Get("/circle",
                [](const httplib::Request&, httplib::Response& answer) { answer.set_redirect("/circle"); });
    server_.Get("/slow", [this](const httplib::Request&, httplib::Response& answer) {
      while (!stopping_) std::this_thread::sleep_for(5ms);
      answer.set_content("late", "text/plain");
    });
    server_.Get("/large", [](const httplib::Request&, httplib::Response& answer) {
      answer.set_content(std::string(2 << 20, 'x'), "text/plain");
    });
    REQUIRE(server_.bind_to_port("127.0.0.1", port_));
    thread_ = std::thread([this] { server_.listen_after_bind(); });
  }
  ~Server() {
    stopping_ = true;
    while (!server_.is_running()) std::this_thread::yield();
    server_.stop();
    thread_.join();
  }
  std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }

 private:
  httplib::Server server_;
  int port_ = free_port();
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

// Takes one connection, says what it is told to say and closes.
class Rude {
 public:
  explicit Rude(std::string says, bool reset = false) {
    struct sockaddr_in address {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    ::setsockopt(listening_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    REQUIRE(::bind(listening_.get(), reinterpret_cast<struct sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listening_.get(), 4) == 0);
    thread_ = std::thread([this, says = std::move(says), reset] {
      Fd fd(::accept(listening_.get(), nullptr, nullptr));
      asked_.resize(4096);
      const ssize_t got = ::read(fd.get(), asked_.data(), asked_.size());
      if (got <= 0) return;
      asked_.resize(static_cast<std::size_t>(got));
      if (::write(fd.get(), says.data(), says.size()) < 0) return;
      const struct linger hard { 1, 0 };
      if (reset) ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    });
  }
  ~Rude() { join(); }
  std::string asked() {
    join();
    return asked_;
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/"; }

 private:
  int port_ = free_port();
  Fd listening_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  std::string asked_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("an answer: status, headers in lower case, body, our port") {
  Server server;
  HttpRequest request = get(server.url("/ok"));
  request.headers = {{"X-Asked", "yes"}};
  const HttpAnswer answer = http(request);
  CHECK(answer.status == 200);
  CHECK(answer.body == "fine");
  CHECK(answer.headers.at("x-seen") == "yes|");
  CHECK(answer.headers.at("content-type") == "text/plain");
  CHECK(answer.headers.at("x-port") == std::to_string(answer.local_port));
  CHECK(http(get(server.url("/absent"))).status == 404);
}

TEST_CASE("methods and bodies") {
  Server server;
  HttpRequest request = get(server.url("/echo"));
  request.method = "POST";
  request.body = std::string("with a \0 byte", 13) + std::string(3 << 20, 'b');
  request.headers = {{"content-type", "application/json"}};
  HttpAnswer answer = http(request);
  CHECK(answer.status == 201);
  CHECK(answer.body == request.body);
  CHECK(answer.headers.at("x-type") == "application/json");
  CHECK(answer.headers.at("x-expect").empty());
  request.body.clear();
  request.headers.clear();
  answer = http(request);
  CHECK(answer.status == 201);
  CHECK(answer.headers.at("x-type").empty());  // no guess that it were a form
  {
    Rude rude("HTTP/1.1 204 No Content\r\n\r\n");
    HttpRequest bare = get(rude.url());
    bare.method = "DELETE";
    bare.headers = {{"X-Empty", ""}};
    CHECK(http(bare).status == 204);
    const std::string asked = rude.asked();
    CHECK(asked.starts_with("DELETE / HTTP/1.1\r\n"));
    CHECK(asked.find("X-Empty:\r\n") != std::string::npos);
    for (const char* unasked : {"Expect", "Content-Type", "Content-Length"})
      CHECK(asked.find(unasked) == std::string::npos);
  }
  request.method = "PUT";
  request.body = "12345";
  CHECK(http(request).body == "put 5");
  request.method = "HEAD";
  request.url = server.url("/ok");
  request.body.clear();
  answer = http(request);
  CHECK(answer.status == 200);
  CHECK(answer.body.empty());
}

TEST_CASE("redirects are followed only when asked for, and not for ever") {
  Server server;
  HttpRequest request = get(server.url("/moved"));
  CHECK(http(request).status == 302);
  request.follow_redirects = true;
  const HttpAnswer answer = http(request);
  CHECK(answer.status == 200);
  CHECK(answer.body == "fine");
  CHECK(answer.headers.count("location") == 0);
  request.url = server.url("/circle");
  CHECK(error_of(request).kind == ErrorKind::permanent);
}

TEST_CASE("a time limit, a stop and a size limit end it") {
  Server server;
  HttpRequest request = get(server.url("/slow"));
  request.timeout = 200ms;
  Error error = error_of(request);
  CHECK(error.why == "no answer within 0.2s");
  CHECK(error.kind == ErrorKind::transient);
  CHECK(error.on == server.url("/slow"));

  const auto begun = Clock::now();
  request.timeout = 60s;
  request.stop = [&] { return Clock::now() - begun > 100ms; };
  error = error_of(request);
  CHECK(error.why == "told to stop");
  CHECK(Clock::now() - begun < 20s);
  struct Told {};
  request.stop = []() -> bool { throw Told(); };
  CHECK_THROWS_AS(http(request), Told);

  request = get(server.url("/large"));
  request.body_limit = 1 << 20;
  error = error_of(request);
  CHECK(error.why == "the answer is larger than 1.0 MB");
  CHECK(error.kind == ErrorKind::permanent);
  request.body_limit = 2 << 20;
  CHECK(http(request).body.size() == 2 << 20);
}

TEST_CASE("no answer is transient, and says which") {
  const std::string closed = "http://127.0.0.1:" + std::to_string(free_port()) + "/x";
  Error error = error_of(get(closed));
  CHECK(std::string(error.what()) == "cannot ask over HTTP: " + closed + ": Connection refused");
  CHECK(error.kind == ErrorKind::transient);

  error = error_of(get("http://no-such-host.invalid/"));
  CHECK(error.why == "the name no-such-host.invalid is not found");
  CHECK(error.kind == ErrorKind::transient);

  {
    Rude rude("");
    CHECK(error_of(get(rude.url())).why == "the connection was closed without an answer");
  }
  {
    Rude rude("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    error = error_of(get(rude.url()));
    CHECK(error.why == "the connection was closed within the answer");
    CHECK(error.kind == ErrorKind::transient);
  }
  {
    Rude rude("", true);
    error = error_of(get(rude.url()));
    CHECK(error.why == "Recv failure: Connection reset by peer");
    CHECK(error.kind == ErrorKind::transient);
  }
}

TEST_CASE("what cannot be asked is permanent; no message holds a login or a token") {
  for (const char* url : {"", "http://", "file:///etc/passwd", "http://a b/", "ftp://127.0.0.1/x"}) {
    CAPTURE(url);
    CHECK(error_of(get(url)).kind == ErrorKind::permanent);
  }
  HttpRequest request = get("http://127.0.0.1:1/");
  request.headers = {{"X-A", "b\r\nX-Smuggled: c"}};
  CHECK(error_of(request).kind == ErrorKind::permanent);
  const std::string port = std::to_string(free_port());
  const Error error = error_of(get("http://me:hunter22@127.0.0.1:" + port + "/path?token=hunter23"));
  CHECK(std::string(error.what()) ==
        "cannot ask over HTTP: http://127.0.0.1:" + port + "/path: Connection refused");
}

TEST_CASE("a proxy of the environment is not asked for a loopback address") {
  Server server;
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  CHECK(http(get(server.url("/ok"))).status == 200);
  const Error error = error_of(get("http://192.0.2.1/"));  // asked by way of the proxy, where nobody is
  ::unsetenv("http_proxy");
  CHECK(error.why == "Connection refused");
}
