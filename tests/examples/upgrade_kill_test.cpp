// Each broken release of Ember is come back from by itself, whatever relight is killed at: every line that it
// tells of a step, in the upgrade and on the way back. Without RELIGHT_TEST_ALL some of them, chosen by
// RELIGHT_SEED.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "tests/support/ember_host.h"
#include "tests/support/share.h"

using namespace relight;

namespace {

struct Event {
  std::string step, what;  // "started", "done", "undoing", "undone", "FAILED"
};

// Of each line "HH:MM:SS  STEP  EVENT ...", in order.
std::vector<Event> events_of(const std::string& told) {
  std::vector<Event> events;
  for (const std::string& line : sys::split(told, '\n')) {
    if (line.size() < 12 || line[2] != ':' || line[5] != ':') continue;
    const auto words = sys::split(line.substr(10), ' ');
    const auto event = std::find_if(words.begin() + 1, words.end(), [](auto& word) { return !word.empty(); });
    if (event != words.end()) events.push_back({words.front(), *event});
  }
  return events;
}

std::vector<Event> chosen(std::vector<Event> events, std::size_t count, std::mt19937& random) {
  if (try_all()) return events;
  std::shuffle(events.begin(), events.end(), random);
  events.resize(std::min(events.size(), count));
  return events;
}

struct Tally {
  int ran = 0, held = 0;
  ~Tally() {
    if (ran > 0) std::printf("upgrades killed and resumed: %d ran, %d held\n", ran, held);
  }
};

// Copies that earlier cases kept would only fill the disk.
void free_kept(const EmberHost& host) {
  const Ran freed = host.relight({"keep", "--drop", host.status().at("run").get<std::string>(), "--yes"});
  INFO(freed.out, freed.err);
  CHECK(freed.exit == 0);
}

void comes_back(const std::string& how, std::mt19937& random) {
  static Tally tally;
  CAPTURE(how);
  EmberHost host;
  const std::string release = "1.2.0-" + how;
  const Ran ran = host.upgrade(release);
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 3);
  host.is_back();
  const auto events = events_of(ran.out);
  CHECK(events.size() > 30);
  for (const Event& at : chosen(events, test_part() == 1 ? 2 : 1, random)) {
    CAPTURE(at.step);
    CAPTURE(at.what);
    free_kept(host);
    ++tally.ran;
    bool held = killed_when(host, host.words(release), at.step, at.what);
    CHECK(held);
    // The last undo may have been the last that there was to do.
    if (host.run_state() != "rolled-back") {
      const Ran resumed = host.relight({"resume"});
      INFO(resumed.out, resumed.err);
      CHECK(resumed.exit == 3);
      held = held && resumed.exit == 3;
    }
    if (host.is_back() && held) ++tally.held;
  }
}

}  // namespace

TEST_CASE("each broken release is come back from by itself, killed anywhere on the way there and back") {
  const char* given = std::getenv("RELIGHT_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given)) : 1;
  std::mt19937 random(seed);
  CAPTURE(seed);
  for (const char* how : {"migration", "health", "exits", "corrupts"}) comes_back(how, random);
}
