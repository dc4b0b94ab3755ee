#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>

#include "runner/sys/json_whole.h"
#include "tests/support/http_server.h"
#include "tests/support/port.h"
#include "tests/support/test_call.h"

using namespace relight;
using namespace relight::sys;

namespace {

const StepType& type() {
  return type_named("probe.http");
}

HttpHandler always(int status, const std::string& body) {
  return [=](const std::string&, const std::string&, const std::string&, const std::string&) {
    return HttpReply{status, body};
  };
}

struct Probe {
  explicit Probe(Json values) : params(type(), values.dump()) {}
  Json passes() { return type().make()->apply(params, call); }
  std::string fails() {
    try {
      passes();
    } catch (const Error& error) {
      CHECK(error.kind == ErrorKind::permanent);
      return error.why;
    }
    return "it passed";
  }
  TestCall call;
  TestParams params;
};

Json asking(int port, Json more = Json::object()) {
  Json values = {{"url", "http://127.0.0.1:" + std::to_string(port) + "/api/health"},
                 {"within", "100ms"},
                 {"every", "20ms"}};
  values.update(more);
  return values;
}

}  // namespace

TEST_CASE("status, body and JSON are compared with what is expected") {
  const int port = free_port();
  HttpServer server(port, always(200, R"({"status": "ok", "db": {"up": true}})"));
  CHECK(Probe(asking(port)).passes()["status"] == 200);
  CHECK(Probe(asking(port,
                     {{"expect", {{"status", 200}, {"body", "\"ok\""}, {"json", {{"db", {{"up", true}}}}}}}}))
            .passes()["status"] == 200);
  CHECK(Probe(asking(port, {{"expect", {{"status", {204, 200}}}}})).passes()["status"] == 200);
  CHECK(Probe(asking(port, {{"expect", {{"status", 204}}}})).fails() ==
        R"(not within 0.1s; last seen: status 200, not 204: {"status": "ok", "db": {"up": true}})");
  CHECK(Probe(asking(port, {{"expect", {{"json", {{"status", "down"}}}}}})).fails() ==
        R"(not within 0.1s; last seen: json.status is "ok", not "down")");
  CHECK(Probe(asking(port, {{"expect", {{"body", "ready"}}}})).fails().find("does not contain \"ready\"") !=
        std::string::npos);
}

TEST_CASE("nobody there, and an answer that is no JSON, are told") {
  const int port = free_port();
  CHECK(Probe(asking(port)).fails().starts_with("not within 0.1s; last seen: "));
  HttpServer server(port, always(200, "<html>"));
  CHECK(Probe(asking(port, {{"expect", {{"json", {{"status", "ok"}}}}}})).fails() ==
        "not within 0.1s; last seen: the answer is no JSON: <html>");
}

TEST_CASE("an answer nested without an end is no JSON, and ends nobody") {
  const int port = free_port();
  const std::size_t deep = 300'000;
  HttpServer server(port, always(200, std::string(deep, '[') + std::string(deep, ']')));
  Probe probe(asking(port, {{"within", "1s"}, {"expect", {{"json", {{"status", "ok"}}}}}}));
  CHECK(probe.fails().starts_with("not within 1.0s; last seen: the answer is no JSON: [[["));
}

TEST_CASE("method, headers with secrets, and body are sent") {
  const int port = free_port();
  HttpServer server(port, [](const std::string& method, const std::string& path, const std::string& body,
                             const std::string& key) {
    return HttpReply{200, method + " " + path + " " + body + " " + key};
  });
  setenv("RELIGHT_TEST_TOKEN", "Bearer word", 1);
  Probe probe(asking(port, {{"method", "POST"},
                            {"body", "{}"},
                            {"headers", {{"Authorization", {{"$secret", {{"env", "RELIGHT_TEST_TOKEN"}}}}}}},
                            {"expect", {{"body", "POST /api/health {} Bearer word"}}}}));
  probe.passes();
}

TEST_CASE("an answer that comes late passes; one that does not hold does not") {
  const int port = free_port();
  auto* asked = static_cast<std::atomic<int>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  HttpServer server(port,
                    [asked](const std::string&, const std::string&, const std::string&, const std::string&) {
                      const int n = ++*asked;
                      return HttpReply{n == 3 || n > 5 ? 200 : 503, "try " + std::to_string(n)};
                    });
  CHECK(Probe(asking(port, {{"within", "20s"}, {"consecutive", 3}, {"hold", "50ms"}})).passes()["status"] ==
        200);
  CHECK(*asked >= 8);
  munmap(asked, 4096);
}

TEST_CASE("with `service` only that process, or one below it, may serve the port") {
  const int port = free_port();
  HttpServer server(port, always(200, "{}"));
  const std::string identity = to_text(server.process());
  CHECK(Probe(asking(port, {{"service", identity}})).passes()["status"] == 200);
  // This process started the server: the server is below it.
  CHECK(Probe(asking(port, {{"service", to_text(process_now(getpid()))}})).passes()["status"] == 200);

  const int other_port = free_port();
  HttpServer other(other_port, always(200, "{}"));
  const std::string pid = std::to_string(server.process().pid),
                    other_pid = std::to_string(other.process().pid);
  std::string why = Probe(asking(other_port, {{"service", identity}})).fails();
  CHECK(why.starts_with("not within 0.1s; last seen: port " + std::to_string(other_port) +
                        " is served by process " + other_pid));
  CHECK(why.find("not by the service, process " + pid) != std::string::npos);

  const int nobody = free_port();
  CHECK(Probe(asking(nobody, {{"service", identity}}))
            .fails()
            .ends_with("nobody listens on port " + std::to_string(nobody)));
}

TEST_CASE("an older process that still serves the same port is not taken for the service") {
  const int port = free_port();
  HttpServer old_one(port, always(200, R"({"version": "1"})"), true);
  HttpServer new_one(port, always(200, R"({"version": "2"})"), true);
  const Json values = asking(port, {{"service", to_text(new_one.process())}});
  CHECK(Probe(values).fails().find("is served by process " + std::to_string(old_one.process().pid)) !=
        std::string::npos);
  old_one.stop();
  CHECK(Probe(values).passes()["status"] == 200);
}

TEST_CASE("a service that has ended is not waited for") {
  const int port = free_port();
  HttpServer server(port, always(200, "{}"));
  const std::string identity = to_text(server.process());
  const int pid = server.process().pid;
  server.stop();
  Probe probe(asking(port, {{"service", identity}, {"within", "1h"}}));
  CHECK_THROWS_WITH_AS(
      probe.passes(),
      ("the service has ended: process " + std::to_string(pid) + ": it was there when it was started")
          .c_str(),
      Error);
}

TEST_CASE("what can never pass is a problem of the plan") {
  auto problem = [](Json values) {
    Probe probe(std::move(values));
    probe.call.preview_only = true;
    Preview preview = type().make()->preview(probe.params, probe.call);
    return preview.problems.empty() ? preview.summary
                                    : preview.problems[0].on + "; " + preview.problems[0].hint;
  };
  CHECK(problem(asking(80, {{"hold", "20s"}})) ==
        "ask http://127.0.0.1:80/api/health, within 0.1s, held for 20.0s: status 200");
  CHECK(problem({{"url", "127.0.0.1:80"}}) ==
        "127.0.0.1:80; write it whole: \"http://127.0.0.1:8080/readyz\"");
  CHECK(problem(asking(80, {{"expect", {{"stauts", 200}}}})) == "expect.stauts; did you mean `status`?");
  CHECK(problem(asking(80, {{"expect", {{"status", "ok"}}}})) ==
        "expect.status; write a number, or a list of them: { 200, 204 }");
  CHECK(problem(asking(80, {{"consecutive", 0}})) == "consecutive; write 1 or more");
  Probe later(Json{{"url", "http://h/"}, {"service", {{"$output", {"aihummer", "identity"}}}}});
  Preview preview = type().make()->preview(later.params, later.call);
  CHECK(preview.verdict == Preview::Verdict::cannot_yet_tell);
  CHECK(preview.proved_after == "aihummer");
}
