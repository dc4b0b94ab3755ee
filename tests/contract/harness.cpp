#include "tests/contract/harness.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <vector>

#include "tests/contract/trial.h"
#include "tests/support/share.h"

namespace relight {
namespace {

// Printed as the last line of the process.
struct Tally {
  int ran = 0, held = 0;
  ~Tally() {
    if (ran > 0) std::printf("the step contract: %d cases ran, %d held\n", ran, held);
  }
};

// The commit points: always tried.
bool decides(const std::string& point) {
  return point.find("commit") != std::string::npos || point.starts_with("sys:exchange");
}

// Of a name that is passed again and again, as for each file of a tree: the first, the last, and some
// between; of one, the first.
std::vector<Point> thinned(const std::vector<Point>& points, std::size_t at_most) {
  std::map<std::string, std::size_t> times, seen;
  const auto name = [](const Point& point) { return point.name.substr(0, point.name.find('#')); };
  for (const Point& point : points) ++times[name(point)];
  std::vector<Point> some;
  for (const Point& point : points) {
    const std::size_t all = times[name(point)], i = seen[name(point)]++;
    const auto part = [&](std::size_t at) { return at * (at_most - 1) / (all - 1); };
    if (all <= at_most || i == 0 || part(i) != part(i - 1)) some.push_back(point);
  }
  return some;
}

std::uint32_t number_of(const std::string& text) {
  std::uint32_t number = 2166136261u;
  for (const char c : text) number = (number ^ static_cast<unsigned char>(c)) * 16777619u;
  return number >> 4;
}

class Contract {
 public:
  Contract(const Subject& subject, Tally& tally)
      : subject_(subject), name_(subject.type + ", " + subject.variant), tally_(tally) {}

  void check() {
    try {
      check_all();
    } catch (const TooMany&) {
    }
  }

 private:
  struct TooMany {};

  void check_all() {
    if (!try_case("preview changes nothing", [&](Trial& trial) { previewed(trial); })) return;
    if (!try_case("applied, and again", [&](Trial& trial) { applied(trial); })) return;
    if (!try_case("undone, and again", [&](Trial& trial) { undone(trial); })) return;
    if (!try_case("discarded, and again", [&](Trial& trial) { discarded(trial); })) return;
    for (const Point& point : apply_points_) {
      if (!chosen(point.name)) continue;
      try_case("killed at " + point.name + ", resumed, undone",
               [&](Trial& trial) { resumed(trial, point.name); });
      try_case("killed twice at " + point.name + ", resumed",
               [&](Trial& trial) { twice(trial, point.name); });
      try_case("killed at " + point.name + ", undone", [&](Trial& trial) { half_undone(trial, point.name); });
    }
    try_case("killed at every point, one after the other", [&](Trial& trial) { chained(trial); });
    for (const Point& point : undo_points_)
      if (chosen(point.name))
        try_case("undo killed at " + point.name, [&](Trial& trial) { undo_killed(trial, point.name); });
    for (const Point& point : discard_points_)
      if (chosen(point.name))
        try_case("discard killed at " + point.name, [&](Trial& trial) { discard_killed(trial, point.name); });
    fail_everywhere();
  }

  bool try_case(const std::string& what, const std::function<void(Trial&)>& act) {
    ++tally_.ran;
    try {
      Trial trial(subject_);
      before_ = trial.state();
      act(trial);
      ++tally_.held;
      return true;
    } catch (const Broken& broken) {
      FAIL_CHECK(name_, ": ", what, ":\n    ", broken.why);
    } catch (const Error& error) {
      FAIL_CHECK(name_, ": ", what, ":\n    the fixture: ", std::string(error.what()));
    }
    if (++broken_ == 10) {
      MESSAGE(name_, " is given up after ten cases that did not hold");
      throw TooMany();
    }
    return false;
  }

  std::vector<Point> tried(const std::vector<Point>& points) const {
    return thinned(points, try_all() ? 60 : is_dear() ? 1 : subject_.one_of > 1 ? 6 : 12);
  }

  // An attempt of it takes many seconds: all is tried by its chain, of the commit points and the step's own.
  bool is_dear() const { return subject_.one_of >= 400; }
  bool in_chain(const Point& point) const {
    return try_all() || !is_dear() || decides(point.name) ||
           point.name.starts_with(subject_.type.substr(0, subject_.type.find('.')));
  }

  bool chosen(const std::string& point) const {
    if (try_all()) return true;
    if (is_dear()) return false;
    const bool usual =
        decides(point) || number_of(name_ + point) % static_cast<std::uint32_t>(subject_.one_of) == 0;
    return usual && number_of(point + name_) % test_part() == 0;
  }

  // ---- what must be
  static void good(const Outcome& outcome, const std::string& what) {
    hold(!outcome.killed, what + " was killed");
    hold(outcome.error.empty(), what + " failed: " + outcome.error);
  }
  static void same(const Seen& wanted, const Seen& seen, const std::string& what) {
    hold(differences(wanted.look, seen.look).empty(), what + ": " + differences(wanted.look, seen.look));
    hold(wanted.digest == seen.digest, what + ": its state digest is another");
  }
  void as_before(Trial& trial, const std::string& what) const {
    Seen wanted = before_, seen = trial.state();
    trial.fixture().forget_what_stays(wanted.look);
    trial.fixture().forget_what_stays(seen.look);
    same(wanted, seen, what);
  }
  void as_done(Trial& trial, const Outcome& outcome) const {
    good(outcome, "the last attempt");
    same(done_, trial.state(), "it does not end as an apply that nothing disturbed");
    hold(trial.digest() == digest_, "its state digest is not that of an apply that nothing disturbed");
    hold(trial.steady(outcome.value) == outputs_,
         "other outputs: " + trial.steady(outcome.value).dump() + ", not " + outputs_.dump());
  }
  static void nothing_beside(const Seen& state) {
    for (const auto& [path, text] : state.look) {
      hold(path.find("relight") == std::string::npos, path + " was left");
      hold(text.find("user.relight") == std::string::npos, path + " still bears a marker: " + text);
    }
  }

  // ---- cases
  void previewed(Trial& trial) {
    const Seen exact = trial.state(true);
    for (const bool full : {false, true}) {
      trial.preview(full);
      same(exact, trial.state(true), "after a preview");
    }
  }

  void applied(Trial& trial) {
    const Outcome first = trial.apply();
    good(first, "apply");
    apply_points_ = tried(first.points);
    outputs_ = trial.steady(first.value);
    done_ = trial.state();
    digest_ = trial.digest();
    const Seen exact = trial.state(true);
    const Outcome again = trial.apply();
    good(again, "the second apply");
    same(exact, trial.state(true), "after a second apply");
    hold(trial.steady(again.value) == outputs_,
         "a second apply has other outputs: " + trial.steady(again.value).dump());
    const Outcome resumed = trial.resume();
    good(resumed, "a resume of what is done");
    same(exact, trial.state(true), "after a resume of what is done");
    hold(trial.steady(resumed.value) == outputs_,
         "a resume has other outputs: " + trial.steady(resumed.value).dump());
    trial.preview(false);
    same(exact, trial.state(true), "after a preview of what is done");
  }

  void undone(Trial& trial) {
    good(trial.apply(), "apply");
    const Outcome first = trial.undo(true);
    good(first, "undo");
    undo_points_ = tried(first.points);
    as_before(trial, "after an undo");
    const Seen exact = trial.state(true);
    good(trial.undo(true), "the second undo");
    same(exact, trial.state(true), "after a second undo");
    // What an undo leaves may be what came after the apply, put aside.
    hold(trial.whole_undo() == false || trial.kept().empty(), "something is kept after an undo");
  }

  void discarded(Trial& trial) {
    good(trial.apply(), "apply");
    const std::string digest = trial.digest();
    const Outcome first = trial.discard();
    good(first, "discard");
    discard_points_ = tried(first.points);
    after_discard_ = trial.state();
    nothing_beside(after_discard_);
    hold(trial.digest() == digest, "a discard has changed the state digest");
    const Seen exact = trial.state(true);
    good(trial.discard(), "the second discard");
    same(exact, trial.state(true), "after a second discard");
    hold(trial.kept().empty(), "something is kept after a discard");
  }

  void kill(Trial& trial, const std::string& point) const {
    const Outcome outcome = trial.apply(crash_at(point));
    hold(outcome.killed, "apply did not pass the point: " + outcome.error);
  }

  void resumed(Trial& trial, const std::string& point) {
    kill(trial, point);
    as_done(trial, trial.resume());
    good(trial.undo(true), "undo");
    as_before(trial, "after an undo");
  }

  void twice(Trial& trial, const std::string& point) {
    kill(trial, point);
    Outcome outcome = trial.resume(crash_at(point));
    if (outcome.killed) outcome = trial.resume();
    as_done(trial, outcome);
    good(trial.discard(), "discard");
    same(after_discard_, trial.state(), "after a discard");
  }

  void half_undone(Trial& trial, const std::string& point) {
    kill(trial, point);
    good(trial.undo(false), "undo");
    as_before(trial, "after the undo of a half apply");
    good(trial.undo(false), "the second undo");
    as_before(trial, "after the second undo of a half apply");
  }

  void chained(Trial& trial) {
    for (const Point& point : apply_points_)
      if (in_chain(point)) trial.resume(crash_at(point.name));
    as_done(trial, trial.resume());
    for (const Point& point : undo_points_)
      if (in_chain(point)) trial.undo(true, crash_at(point.name));
    good(trial.undo(true), "undo");
    as_before(trial, "after an undo");
  }

  void undo_killed(Trial& trial, const std::string& point) {
    good(trial.apply(), "apply");
    hold(trial.undo(true, crash_at(point)).killed, "undo did not pass the point");
    if (trial.undo(true, crash_at(point)).killed) good(trial.undo(true), "undo");
    as_before(trial, "after an undo");
  }

  void discard_killed(Trial& trial, const std::string& point) {
    good(trial.apply(), "apply");
    hold(trial.discard(crash_at(point)).killed, "discard did not pass the point");
    if (trial.discard(crash_at(point)).killed) good(trial.discard(), "discard");
    same(after_discard_, trial.state(), "after a discard");
  }

  // ---- system calls that fail
  void fail_everywhere() {
    constexpr int errors[] = {ENOSPC, EIO, EACCES, EMFILE};
    const auto each = [&](const std::vector<Point>& points, const std::string& what, const auto& act) {
      std::size_t at = 0;
      for (const Point& point : points) {
        if (!point.can_fail || !chosen(point.name)) continue;
        ++at;
        for (std::size_t i = 0; i < std::size(errors); ++i)
          if (try_all() || i == at % std::size(errors))
            try_case(what + " fails at " + point.name + ": " + std::strerror(errors[i]),
                     [&](Trial& trial) { act(trial, fail_at(point.name, errors[i])); });
      }
    };
    each(apply_points_, "apply, undone,", [&](Trial& trial, const FailpointWatch& watch) {
      const Outcome outcome = trial.apply(watch);
      good(trial.undo(outcome.error.empty()), "undo");
      as_before(trial, "after the undo of a failed apply");
    });
    each(apply_points_, "apply, resumed,", [&](Trial& trial, const FailpointWatch& watch) {
      trial.apply(watch);
      as_done(trial, trial.resume());
    });
    each(undo_points_, "undo", [&](Trial& trial, const FailpointWatch& watch) {
      good(trial.apply(), "apply");
      trial.undo(true, watch);
      good(trial.undo(true), "undo");
      as_before(trial, "after an undo");
    });
    each(discard_points_, "discard", [&](Trial& trial, const FailpointWatch& watch) {
      good(trial.apply(), "apply");
      trial.discard(watch);
      good(trial.discard(), "discard");
      same(after_discard_, trial.state(), "after a discard");
    });
  }

  const Subject& subject_;
  const std::string name_;
  Tally& tally_;
  int broken_ = 0;
  Seen before_;                // of the case at hand
  Seen done_, after_discard_;  // of an apply that nothing disturbed
  std::string digest_;         // its
  Json outputs_;               // its
  std::vector<Point> apply_points_, undo_points_, discard_points_;
};

}  // namespace

void check_contract(const std::string& types, bool apart) {
  static Tally tally;
  bool any = false;
  for (const Subject& subject : subjects())
    if ((subject.type + ", " + subject.variant).starts_with(types) && subject.apart == apart) {
      any = true;
      Contract(subject, tally).check();
    }
  CHECK(any);
}

}  // namespace relight
