#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "tests/support/http_server.h"
#include "tests/support/port.h"
#include "tests/support/test_call.h"

using namespace relight;
using namespace relight::sys;

namespace {
std::string outcome(const Json& values) {
  const StepType& type = type_named("probe.tcp");
  TestParams params(type, values.dump());
  TestCall call;
  try {
    type.make()->apply(params, call);
    return "passed";
  } catch (const Error& error) {
    return error.what();
  }
}
}  // namespace

TEST_CASE("a port that takes connections passes, by name and address; another does not") {
  const int port = free_port(), other = free_port();
  HttpServer server(port, [](auto&, auto&, auto&, auto&) { return HttpReply{}; });
  const std::string identity = to_text(server.process());
  CHECK(outcome({{"port", port}}) == "passed");
  CHECK(outcome({{"port", port}, {"host", "localhost"}, {"service", identity}}) == "passed");
  CHECK(outcome({{"port", other}, {"within", "50ms"}, {"every", "10ms"}}) ==
        "the probe did not pass: 127.0.0.1 port " + std::to_string(other) +
            ": not within 50ms; last seen: Connection refused");
  CHECK(outcome({{"port", port}, {"host", "no-such-host.invalid"}, {"within", "10ms"}})
            .find("cannot look up no-such-host.invalid") != std::string::npos);
  HttpServer stranger(other, [](auto&, auto&, auto&, auto&) { return HttpReply{}; });
  CHECK(outcome({{"port", other}, {"service", identity}, {"within", "10ms"}}).find("is served by process") !=
        std::string::npos);
  CHECK(outcome({{"port", 70000}}) == "cannot connect: port: 70000 is no TCP port");
}
