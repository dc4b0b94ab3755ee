// Images pinned in compose files, with a real engine and a real registry.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runner/sys/json_whole.h"
#include "tests/support/docker.h"
#include "tests/support/error.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const DockerEngine* engine() {
  const DockerEngine* found = DockerEngine::get();
  static const bool made = found != nullptr && (found->make_web("app:1.1.0", "1.1.0"),
                                                found->docker({"tag", "app:1.1.0", "app:1.2.0"}), true);
  static_cast<void>(made);
  return found != nullptr && use_any_compose() ? found : nullptr;
}

const std::string text =
    "# two of a kind\r\nservices:\n  app:\n    image: 'app:1.1.0'  # pinned\n  other: {image: app:1.1.0}\n";

TestParams params(const ComposeBench& bench, const std::string& tag) {
  return {type_named("compose.pin"), Json{{"file", bench.file()}, {"images", {{"app", tag}}}}.dump()};
}

Json apply(const TestParams& params, TestCall& call) {
  return type_named("compose.pin").make()->apply(params, call);
}

Preview preview(const TestParams& params) {
  TestCall call;
  call.preview_only = true;
  return type_named("compose.pin").make()->preview(params, call);
}

std::string problem_of(const Preview& preview) {
  if (preview.problems.empty()) return "none";
  const Problem& first = preview.problems[0];
  return first.what + ": " + first.on + ": " + first.why;
}

std::string pinned(const std::string& image) {
  std::string to = text;
  return to.replace(to.find("app:1.1.0"), 9, image);
}

}  // namespace

namespace {
void pin_and_unpin() {
  const ComposeBench bench(text);
  REQUIRE(chmod(bench.file().c_str(), 0640) == 0);
  REQUIRE(chown(bench.file().c_str(), 1234, 1235) == 0);
  const TestParams pin = params(bench, "1.2.0");
  CHECK(preview(pin).summary == "pin app 1.1.0 -> 1.2.0 in " + bench.file());
  TestCall call("pin");
  const Json outputs = apply(pin, call);
  CHECK(outputs == Json{{"before", {{"app", "1.1.0"}}}, {"after", {{"app", "1.2.0"}}}, {"changed", true}});
  CHECK(sys::read_file(bench.file()) == pinned("app:1.2.0"));
  struct stat status {};
  REQUIRE(stat(bench.file().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0640);
  CHECK(status.st_uid == 1234);
  CHECK(status.st_gid == 1235);
  CHECK(preview(pin).verdict == Preview::Verdict::nothing_to_do);
  CHECK(apply(pin, call) == outputs);
  TestCall other("other");
  CHECK(apply(pin, other)["changed"] == false);
  type_named("compose.pin").make()->undo(pin, call, nullptr);
  CHECK(sys::read_file(bench.file()) == text);
}
}  // namespace

TEST_CASE("an image is pinned and unpinned, and the rest of the file is as it was") {
  if (engine() == nullptr) return;
  pin_and_unpin();
  if (use_compose("docker-compose")) pin_and_unpin();
}

TEST_CASE("an image that only its registry has is told, and brought before the file is written") {
  if (engine() == nullptr) return;
  const std::string name = DockerEngine::get()->registry() + "/app";
  for (const char* tag : {":1", ":2"}) {
    engine()->docker({"tag", "app:1.1.0", name + tag});
    engine()->docker({"push", "-q", name + tag});
    engine()->docker({"rmi", name + tag});
  }
  const ComposeBench bench("services: {app: {image: " + name + ":1}}\n");
  const Preview seen = preview(params(bench, "2"));
  CHECK(problem_of(seen) == "none");
  REQUIRE(!seen.hints.empty());
  CHECK(seen.hints[0] == "the image " + name + ":2 is brought from its registry");
  TestCall call("pin");
  apply(params(bench, "2"), call);
  CHECK(sys::read_file(bench.file()) == "services: {app: {image: " + name + ":2}}\n");
  CHECK(engine()->docker({"images", "-q", name + ":2"}) != "");

  // A tag that is nowhere, and a registry that nobody answers for.
  CHECK(problem_of(preview(params(bench, "9"))).find("the image is not to be had: " + name + ":9: ") == 0);
  CHECK(told_error([&] {
          apply(params(bench, "9"), call);
        }).find("transient: cannot bring the image: " + name + ":9") == 0);
  CHECK(sys::read_file(bench.file()) == "services: {app: {image: " + name + ":2}}\n");
  const ComposeBench nobody("services: {app: {image: 127.0.0.1:1/app:1}}\n");
  CHECK(problem_of(preview(params(nobody, "2"))).find("the image is not to be had: 127.0.0.1:1/app:2: ") ==
        0);
}

TEST_CASE("a version that is not the one to be replaced is refused") {
  if (engine() == nullptr) return;
  const ComposeBench bench(text);
  const auto from = [&](const std::string& tag, const std::string& to) -> TestParams {
    return {type_named("compose.pin"),
            Json{{"file", bench.file()}, {"images", {{"app", to}}}, {"from", {{"app", tag}}}}.dump()};
  };
  const std::string wrong = "another version is pinned: app: " + bench.file() + " has 1.1.0, not 1.0.0";
  CHECK(problem_of(preview(from("1.0.0", "1.2.0"))) == wrong);
  CHECK(problem_of(preview(from("1.0.0", "1.1.0"))) == wrong);  // pinned so already
  TestCall call("pin");
  CHECK(told_error([&] { apply(from("1.0.0", "1.2.0"), call); }) == "refused: " + wrong);
  CHECK(sys::read_file(bench.file()) == text);
  apply(from("1.1.0", "1.2.0"), call);
  apply(from("1.1.0", "1.2.0"), call);  // gone on with
  CHECK(sys::read_file(bench.file()) == pinned("app:1.2.0"));
}

TEST_CASE("what would not end in exactly these images is refused, and nothing is written") {
  if (engine() == nullptr) return;
  const auto refusal = [](const ComposeBench& bench) {
    const std::string before = sys::read_file(bench.file());
    const std::string problem = problem_of(preview(params(bench, "1.2.0")));
    TestCall call("pin");
    CHECK(told_error([&] { apply(params(bench, "1.2.0"), call); }).find(problem.substr(0, 40)) !=
          std::string::npos);
    CHECK(sys::read_file(bench.file()) == before);
    return problem;
  };
  CHECK(refusal(ComposeBench("services:\n  app: {image: &i app:1.1.0}\n  two: {image: *i}\n")) ==
        "cannot pin the image: app: service two would change with it: they share it");
  const ComposeBench over("services: {app: {image: app:1.1.0}}\n");
  sys::write_file(over.path() + "/compose.override.yml", "services: {app: {image: app:1.0.0}}\n", 0644);
  CHECK(refusal(over) ==
        "cannot pin the image: app: to compose it is app:1.0.0 even so: it is set in another file, too");
  const ComposeBench broken("services:\n  app:\n    image: app:1.1.0\n    ports: 7: 8\n");
  CHECK(problem_of(preview(params(broken, "1.2.0")))
            .find("the compose file does not parse: " + broken.file()) == 0);
  CHECK(problem_of(preview(params(over, "latest"))) ==
        "not a pinned version: app: latest is another image tomorrow");
}
