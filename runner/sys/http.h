// HTTP by libcurl.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <string>

namespace relight::sys {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::map<std::string, std::string> headers;
  std::string body;
  std::chrono::milliseconds timeout{10000};  // of the whole exchange; 0: none
  std::size_t body_limit = 8u << 20;
  bool follow_redirects = false;
  std::function<bool()> stop;  // asked four times a second; true: a transient Error, "told to stop"
};

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  int local_port = 0;  // of our end of the connection; the peer's is in the URL
};

// No answer (refused, reset, timed out, name not found) is a transient Error that says which; any status is
// an answer. Proxies from the environment
// are not used for loopback addresses.
HttpAnswer http(const HttpRequest& request);

}  // namespace relight::sys
