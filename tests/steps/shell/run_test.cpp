#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/crash.h"
#include "tests/support/error.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const StepType& type() {
  return type_named("shell.run");
}

// A step of shell.run with its folder, parameters and call.
struct Shell {
  explicit Shell(const std::string& json) : params(type(), json), step(type().make()) {}
  Json apply() { return step->apply(params, call); }
  TestParams params;
  TestCall call;
  std::unique_ptr<Step> step;
};

Json argv(std::initializer_list<const char*> parts) {
  Json list = Json::array();
  for (const char* part : parts) list.push_back(part);
  return list;
}

}  // namespace

TEST_CASE("a program without creates and check is a child of the engine") {
  Shell shell(
      R"({"command": ["printf", "%s", "file:///a"], "env": {"A": "1"}, "stdin": "in", "cwd": "/usr"})");
  const auto child = shell.step->child(shell.params);
  REQUIRE(child);
  CHECK(child->argv == std::vector<std::string>{"printf", "%s", "file:///a"});
  CHECK(child->env.at("A") == "1");
  CHECK(child->cwd == "/usr");
  CHECK(child->stdin_text == "in");
  CHECK(shell.step->child_done(shell.params, 0, "one\ntwo\n") == Json({{"stdout", "one\ntwo"}, {"exit", 0}}));
  CHECK(shell.apply() == Json({{"stdout", "file:///a"}, {"exit", 0}}));
}

TEST_CASE("a child that fails is named with its exit code and the end of its output") {
  Shell shell(R"({"command": ["/bin/sh", "-c", "x"]})");
  CHECK(told_error([&] { shell.step->child_done(shell.params, 3, "line\nno such table\n"); }) ==
        "transient: the program failed: /bin/sh: it exited with 3: line\nno such table");
  CHECK(told_error([&] { shell.step->child_done(shell.params, 3, ""); }) ==
        "transient: the program failed: /bin/sh: it exited with 3, and printed nothing");
  CHECK(told_error([&] { shell.step->child_done(shell.params, 137, ""); }) ==
        "transient: the program failed: /bin/sh: it was ended by signal 9 (Killed), and printed nothing");
}

TEST_CASE("stdout is its end, at most 64 KiB, in UTF-8, and none when it is secret") {
  Shell shell(R"({"command": ["true"]})");
  const Json outputs = shell.step->child_done(shell.params, 0, std::string(70000, 'a') + "\xff\n");
  CHECK(outputs["stdout"].get<std::string>().size() == 65536 - 2 + 3);
  CHECK_NOTHROW(outputs.dump());
  Shell secret(R"({"command": ["true"], "secret_output": true})");
  CHECK(secret.step->child_done(secret.params, 0, "hunter2") == Json({{"exit", 0}}));
  CHECK(told_error([&] { secret.step->child_done(secret.params, 1, "hunter2"); }).find("hunter2") ==
        std::string::npos);
}

TEST_CASE("more output than anybody keeps does not end the program") {
  sys::TempFolder folder;
  Shell shell(Json({{"command", argv({"sh", "-c", "head -c 40000000 /dev/zero | tr '\\0' a; echo end"})},
                    {"check", argv({"false"})}})
                  .dump());
  const Json outputs = shell.apply();
  CHECK(outputs["stdout"].get<std::string>().size() <= 65536);
  CHECK(outputs["stdout"].get<std::string>().ends_with("aend"));
}

TEST_CASE("creates: run once, and told by the path") {
  sys::TempFolder folder;
  const std::string made = folder.path() + "/made", count = folder.path() + "/count";
  const std::string script = "echo x >> " + count + "; touch " + made;
  Shell shell(Json({{"command", argv({"sh", "-c", script.c_str()})}, {"creates", made}}).dump());
  CHECK_FALSE(shell.step->child(shell.params));
  CHECK(shell.step->targets(shell.params) == std::vector<std::string>{"path:" + made});
  CHECK(shell.step->preview(shell.params, shell.call).verdict == Preview::Verdict::would_change);
  Json outputs;
  CHECK(shell.step->check(shell.params, shell.call, outputs) == Done::no);

  CHECK(shell.apply()["exit"] == 0);
  const std::string digest = shell.step->state_digest(shell.params, shell.call);
  CHECK(shell.apply() == Json({{"stdout", ""}, {"exit", 0}}));
  CHECK(sys::read_file(count) == "x\n");
  CHECK(shell.step->state_digest(shell.params, shell.call) == digest);
  CHECK(shell.step->check(shell.params, shell.call, outputs) == Done::yes);
  CHECK(outputs["exit"] == 0);
  CHECK(shell.step->preview(shell.params, shell.call).verdict == Preview::Verdict::nothing_to_do);
}

TEST_CASE("a program that does not make what it creates has failed") {
  Shell shell(R"({"command": ["true"], "creates": "/nonexistent/x"})");
  CHECK(told_error([&] { shell.apply(); }) ==
        "permanent: the program did not do its work: true: it exited with 0, but /nonexistent/x (creates) is "
        "not there");
}

TEST_CASE("check tells whether it is done") {
  sys::TempFolder folder;
  const std::string flag = folder.path() + "/flag";
  Shell shell(Json({{"command", argv({"sh", "-c", ("echo did; : > " + flag).c_str()})},
                    {"check", argv({"test", "-e", flag.c_str()})}})
                  .dump());
  Json outputs;
  CHECK(shell.step->check(shell.params, shell.call, outputs) == Done::no);
  CHECK(shell.apply()["stdout"] == "did");
  CHECK(shell.step->check(shell.params, shell.call, outputs) == Done::yes);
  CHECK(shell.apply()["stdout"] == "");
  Shell plain(R"({"command": ["true"]})");
  CHECK(plain.step->check(plain.params, plain.call, outputs) == Done::unknown);
}

TEST_CASE("undo runs its program, only where the step ran, and is refused without one") {
  sys::TempFolder folder;
  const std::string made = folder.path() + "/made";
  const std::string json = Json({{"command", argv({"touch", made.c_str()})},
                                 {"creates", made},
                                 {"undo", argv({"rm", "-f", made.c_str()})}})
                               .dump();
  sys::write_file(made, "mine", 0644);
  Shell there(json);
  there.apply();
  there.step->undo(there.params, there.call, nullptr);
  CHECK(sys::read_file(made) == "mine");

  sys::remove_file(made);
  Shell shell(json);
  CHECK(shell.step->preview(shell.params, shell.call).cannot_undo == "");
  shell.apply();
  shell.step->undo(shell.params, shell.call, nullptr);
  CHECK_FALSE(sys::exists(made));
  shell.step->undo(shell.params, shell.call, nullptr);
  CHECK_FALSE(sys::exists(made));

  Shell without(R"({"command": ["true"]})");
  CHECK(without.step->preview(without.params, without.call).cannot_undo ==
        "what the program changes: the step has no `undo`");
  without.apply();
  CHECK(told_error([&] { without.step->undo(without.params, without.call, nullptr); }) ==
        "refused: cannot be undone: true: the step has no `undo`");
  Shell failing(R"({"command": ["true"], "undo": ["sh", "-c", "echo no way >&2; exit 4"]})");
  CHECK(told_error([&] { failing.step->undo(failing.params, failing.call, nullptr); }) ==
        "transient: the program failed: sh: it exited with 4: no way");
}

TEST_CASE("a plan tells of a program that is not there, and refuses one that cannot be run") {
  Shell absent(R"({"command": ["no-such-program-here", "-x"]})");
  const Preview told = absent.step->preview(absent.params, absent.call);
  CHECK(told.verdict == Preview::Verdict::cannot_yet_tell);
  CHECK(told.summary == "run no-such-program-here -x");
  REQUIRE(told.hints.size() == 1);
  CHECK(told.hints.front() ==
        "the program no-such-program-here (command) is not there yet, nowhere in PATH: an earlier step must "
        "bring it");

  sys::TempFolder folder;
  sys::write_file(folder.path() + "/plain", "x", 0644);
  Shell plain(Json({{"command", argv({(folder.path() + "/plain").c_str()})}}).dump());
  const Preview refused = plain.step->preview(plain.params, plain.call);
  REQUIRE(refused.problems.size() == 1);
  CHECK(refused.problems.front().why == "it is not executable by this user");

  Shell later(R"({"command": [{"$join": [{"$output": ["release", "path"]}, "/bin/x"]}]})");
  CHECK(later.step->preview(later.params, later.call).summary == "run <release.path>/bin/x");
}

TEST_CASE("env and secrets reach the program, the rest is relight's own environment") {
  setenv("RELIGHT_TEST_SECRET", "hunter2hunter2", 1);
  Shell shell(R"({"command": ["sh", "-c", "echo $A $P ${PATH:+path}"], "check": ["false"],
                  "env": {"A": "1", "P": {"$secret": {"env": "RELIGHT_TEST_SECRET"}}}})");
  CHECK(shell.apply()["stdout"] == "1 hunter2hunter2 path");
}
