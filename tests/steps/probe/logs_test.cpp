#include <doctest/doctest.h>

#include <fstream>
#include <thread>

#include "runner/sys/json_whole.h"
#include "steps/probe/lib/patterns.h"
#include "tests/support/docker.h"
#include "tests/support/error.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

std::string apply(const Json& params) {
  const StepType& type = type_named("probe.logs");
  const TestParams checked(type, params.dump());
  TestCall call("migrated");
  return told_error([&] { type.make()->apply(checked, call); });
}

struct Log {
  explicit Log(const std::string& text) { sys::write_file(path, text, 0644); }
  Json params(const Json& more) const {
    Json all = {{"log", path}};
    all.update(more);
    return all;
  }
  sys::TempFolder folder;
  const std::string path = folder.path() + "/log";
};

const Json bad = {{"must_not", {"(?i)migration.*failed"}}};

}  // namespace

TEST_CASE("a line that must not be there is told with its number") {
  const Log log("starts\nMigration 7 FAILED: no column\nready\n");
  CHECK(apply(log.params(bad)) ==
        "permanent: the log holds what it must not: " + log.path +
            ": line 2 matches /(?i)migration.*failed/: Migration 7 FAILED: no column");
  CHECK(apply(log.params({{"must_not", {"^failed"}}, {"must", {"^ready$", "starts"}}})) == "none");
  CHECK(apply(log.params({{"must", {"listening", "ready", "done"}}})) ==
        "permanent: the probe did not pass: the log of " + log.path +
            ": no line matches /listening/, /done/");
}

TEST_CASE("what was logged before the start does not count, and a log that is shorter by now counts whole") {
  const std::string before = "migration 6 failed\n";
  const Log log(before + "migration 7 applied\r\nno newline: migration 8 failed");
  CHECK(apply(log.params({{"must_not", {"6 failed"}}, {"from", before.size()}})) == "none");
  CHECK(apply(log.params({{"must_not", {"7 applied$"}}, {"from", before.size()}})).find("line 2 matches") !=
        std::string::npos);
  CHECK(apply(log.params({{"must_not", {"8 failed$"}}, {"from", before.size()}})).find("line 3 matches") !=
        std::string::npos);
  CHECK(apply(log.params({{"must_not", {"6 failed"}}, {"from", 1000}})).find("line 1 matches") !=
        std::string::npos);
}

TEST_CASE("a line is waited for, and one that must not come ends the waiting at once") {
  const Log log("starts\n");
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    std::ofstream(log.path, std::ios::app) << "ready\n";
  });
  CHECK(apply(log.params({{"must", {"ready"}}, {"within", "1m"}, {"every", "20ms"}})) == "none");
  writer.join();
  CHECK(apply(log.params({{"must", {"never"}}, {"must_not", {"ready"}}, {"within", "10m"}}))
            .find("line 2 matches") != std::string::npos);
}

TEST_CASE("patterns take bytes as they come, a long line, and no backtracking bomb") {
  Patterns patterns({"end$"}, {"(a*)*b", "\xC3\xA9t\xC3\xA9"});
  const std::string line = std::string(3u << 20, 'a') + "\nthe end";
  for (std::size_t at = 0; at < line.size(); at += 1000)
    patterns.take(std::string_view(line).substr(at, 1000));
  patterns.end();
  CHECK(patterns.unseen() == "");
  CHECK(patterns.offence() == "");
  patterns.begin();
  CHECK(patterns.unseen() == "/end$/");
  patterns.take("\xFF l'\xC3\xA9t\xC3\xA9\n");
  CHECK(patterns.offence().find("line 1 matches") == 0);
}

TEST_CASE("what would prove nothing is refused in the plan") {
  const auto problem = [](const Json& params) {
    const StepType& type = type_named("probe.logs");
    const TestParams checked(type, params.dump());
    TestCall call;
    call.preview_only = true;
    const Preview preview = type.make()->preview(checked, call);
    return preview.problems.empty() ? "none" : preview.problems[0].what + ": " + preview.problems[0].why;
  };
  CHECK(problem({{"log", "/x"}}) == "nothing would be proved: no pattern is given");
  CHECK(problem({{"log", "/x"}, {"must", {"a*"}}}) == "nothing would be proved: it matches every line");
  CHECK(problem({{"log", "/x"}, {"must", {"("}}}) == "not a pattern: missing ): (");
  CHECK(problem({{"log", "/x"}, {"unit", "x"}, {"must", {"a"}}}) ==
        "cannot tell which log is meant: more than one is named");
  CHECK(problem({{"log", "/x"}, {"must", {"a"}}}) == "none");
}

TEST_CASE("a container's log counts from its last start on, both of its streams") {
  const DockerEngine* engine = DockerEngine::get();
  if (engine == nullptr || !use_any_compose()) return;
  engine->make_web("talks:1", "1",
                   "test -e /tmp/second && echo 'migration 2 applied' >&2 || echo 'migration 1 failed'; "
                   "touch /tmp/second");
  const ComposeBench bench("services: {web: {image: \"talks:1\"}}\n");
  const TestParams start(type_named("service.start"), "{\"via\": " + bench.via("web") + "}");
  TestCall call("web");
  const Json first = type_named("service.start").make()->apply(start, call);
  const auto told = [&](const Json& more) {
    Json params = {{"via", Json::parse(bench.via("web"))}};
    params.update(more);
    return apply(params);
  };
  CHECK(told(bad).find("line 2 matches /(?i)migration.*failed/: migration 1 failed") != std::string::npos);
  engine->docker({"restart", "-t", "5", first["identity"].get<std::string>().substr(10, 64)});
  CHECK(told({{"must_not", {"migration.*failed"}}, {"must", {"migration 2 applied"}}, {"within", "30s"}}) ==
        "none");
  CHECK(told({{"must_not", {"failed"}}, {"service", first["identity"]}}).find("it was started again since") !=
        std::string::npos);
}
