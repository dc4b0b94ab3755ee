#include "tests/support/http_server.h"

#include <doctest/doctest.h>
#include <httplib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace relight {

HttpServer::HttpServer(int port, HttpHandler handler, bool shared_port) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    close(ends[0]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    httplib::Server server;
    server.set_socket_options([shared_port](socket_t socket) {
      int yes = 1;
      setsockopt(socket, SOL_SOCKET, shared_port ? SO_REUSEPORT : SO_REUSEADDR, &yes, sizeof yes);
    });
    auto answer = [&](const httplib::Request& request, httplib::Response& response) {
      HttpReply reply =
          handler(request.method, request.path, request.body, request.get_header_value("Authorization"));
      response.status = reply.status;
      response.set_content(reply.body, "application/json");
    };
    server.Get(".*", answer);
    server.Post(".*", answer);
    if (!server.bind_to_port("127.0.0.1", port)) _exit(1);
    ssize_t ignored = write(ends[1], "r", 1);
    static_cast<void>(ignored);
    close(ends[1]);
    server.listen_after_bind();
    _exit(0);
  }
  close(ends[1]);
  char ready = 0;
  const ssize_t got = read(ends[0], &ready, 1);
  close(ends[0]);
  process_ = sys::process_now(pid);
  REQUIRE(got == 1);
}

HttpServer::~HttpServer() {
  stop();
}

void HttpServer::stop() {
  if (process_.pid <= 0) return;
  kill(process_.pid, SIGKILL);
  waitpid(process_.pid, nullptr, 0);
  process_ = {};
}

}  // namespace relight
