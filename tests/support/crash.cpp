#include "tests/support/crash.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <mutex>

#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/process.h"

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
  failpoint("call:note");
  TestCall::note(key, value);
  std::ofstream file(file_);
  file << notes().dump();
  REQUIRE(file.flush());
  file.close();
  failpoint("call:noted");
}

namespace {

Json told_by(const std::string& as, const std::function<Json()>& act, const FailpointWatch& watch) {
  Json told = {{"points", Json::array()}};
  std::mutex guard;
  try {
    if (!as.empty()) sys::become(sys::user_named(as));
    watch_failpoints([&](const Point& point) {
      {
        const std::lock_guard lock(guard);
        told["points"].push_back({point.name, point.can_fail});
      }
      return watch ? watch(point) : 0;
    });
    told["value"] = act();
  } catch (const Error& error) {
    told.update({{"error", error.what()}, {"hint", error.hint}});
  } catch (const std::exception& error) {
    told.update({{"error", error.what()}, {"hint", ""}, {"relights", false}});
  }
  watch_failpoints({});
  return told;
}

}  // namespace

Outcome in_child(const std::string& as, const std::function<Json()>& act, FailpointWatch watch) {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    close(ends[0]);
    const std::string text = told_by(as, act, watch).dump();
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t wrote = write(ends[1], text.data() + done, text.size() - done);
      if (wrote <= 0) _exit(1);
      done += static_cast<std::size_t>(wrote);
    }
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(got));
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  Outcome outcome;
  if (WIFSIGNALED(status)) {
    REQUIRE(WTERMSIG(status) == SIGKILL);
    outcome.killed = true;
    return outcome;
  }
  REQUIRE(WEXITSTATUS(status) == 0);
  const Json told = Json::parse(text);
  outcome.error = told.value("error", "");
  outcome.hint = told.value("hint", "");
  outcome.relights = told.value("relights", true);
  if (told.contains("value")) outcome.value = told["value"];
  for (const Json& point : told["points"])
    outcome.points.push_back({point[0].get<std::string>(), point[1].get<bool>()});
  return outcome;
}

namespace {

// An exception that leaves `act` is a failed test.
Outcome whole_or_killed(const std::function<void()>& act, FailpointWatch watch) {
  Outcome outcome = in_child(
      "",
      [&] {
        act();
        return Json();
      },
      std::move(watch));
  REQUIRE(outcome.error == "");
  return outcome;
}

}  // namespace

std::vector<std::string> failpoints_of(const std::function<void()>& act) {
  std::vector<std::string> names;
  for (const Point& point : whole_or_killed(act, {}).points)
    if (point.name.find('#') == std::string::npos) names.push_back(point.name);
  return names;
}

bool killed_at(const std::string& failpoint, const std::function<void()>& act) {
  return whole_or_killed(act, crash_at(failpoint)).killed;
}

bool killed_at_pass(int number, const std::function<void()>& act) {
  return whole_or_killed(act,
                         [left = number](const Point&) mutable {
                           if (--left == 0) raise(SIGKILL);
                           return 0;
                         })
      .killed;
}

}  // namespace relight
