// HTTP servers of a test's own: cpp-httplib in a forked process, on 127.0.0.1.
#pragma once
#include <functional>
#include <string>

#include "runner/sys/process.h"

namespace relight {

struct HttpReply {
  int status = 200;
  std::string body;
};
// Called in the server's process for each request, with its method, path, body and the `Authorization`
// header.
using HttpHandler = std::function<HttpReply(const std::string& method, const std::string& path,
                                            const std::string& body, const std::string& authorization)>;

class HttpServer {
 public:
  // Returns when it listens. `shared_port`: with SO_REUSEPORT, so that a second one may listen on the same
  // port.
  HttpServer(int port, HttpHandler handler, bool shared_port = false);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;

  const sys::ProcessId& process() const { return process_; }
  void stop();

 private:
  sys::ProcessId process_;
};

}  // namespace relight
