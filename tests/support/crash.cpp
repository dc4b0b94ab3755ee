#include "tests/support/crash.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "tests/support/failpoint.h"

namespace relight {

DurableCall::DurableCall(std::string step, std::string notes_file, std::string run)
    : TestCall(std::move(step), std::move(run)), file_(std::move(notes_file)) {
  const auto text = sys::read_file_if_there(file_);
  if (!text) return;
  const Json notes = Json::parse(*text);
  for (const auto& [key, value] : notes.items()) TestCall::note(key, value);
  attempt_number = 2;
}

void DurableCall::note(const std::string& key, const Json& value) {
  TestCall::note(key, value);
  sys::write_file(file_, notes().dump(), 0600);
}

namespace {
int status_of_child(const std::function<void()>& act) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int code = 0;
    try {
      act();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "in a child of a test: %s\n", error.what());
      code = 1;
    }
    _exit(code);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}
}  // namespace

std::vector<std::string> failpoints_of(const std::function<void()>& act) {
  const sys::TempFolder folder;
  const std::string seen = folder.path() + "/seen";
  const int status = status_of_child([&] {
    std::vector<std::string> names;
    watch_failpoints([&](const char* name) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
    });
    act();
    sys::write_file(seen, sys::join(names, "\n"), 0600);
  });
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  return sys::split(sys::read_file(seen), '\n');
}

namespace {
bool killed_by(const FailpointWatch& watch, const std::function<void()>& act) {
  const int status = status_of_child([&] {
    watch_failpoints(watch);
    act();
  });
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  return false;
}
}  // namespace

bool killed_at(const std::string& failpoint, const std::function<void()>& act) {
  return killed_by(crash_at(failpoint), act);
}

bool killed_at_pass(int number, const std::function<void()>& act) {
  return killed_by(
      [left = number](const char*) mutable {
        if (--left == 0) raise(SIGKILL);
      },
      act);
}

}  // namespace relight
