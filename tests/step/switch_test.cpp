#include "runner/step/switch.h"

#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "tests/support/crash.h"
#include "tests/support/failpoint.h"
#include "tests/support/test_call.h"

using namespace relight;
using State = Switch::State;

namespace {
struct Place {
  sys::TempFolder folder{"/var/tmp"};
  TestCall call{"database"};
  std::string target = folder.path() + "/data";

  explicit Place(bool old) {
    if (old) fill(target, "old");
  }
  static void fill(const std::string& path, const std::string& text) {
    sys::make_folders(path);
    sys::write_file(path + "/file", text, 0644);
  }
  void prepare() { fill(Switch(call, target).beside(), "new"); }
};
}  // namespace

TEST_CASE("the switch is made, and made the other way") {
  for (const bool old : {true, false}) {
    CAPTURE(old);
    Place place(old);
    const std::string before = sys::tree_digest(place.target);
    place.prepare();
    Switch move(place.call, place.target);
    CHECK(move.state() == State::nothing);
    move.mark();
    CHECK(move.state() == State::marked);
    CHECK(sys::tree_digest(place.target) == before);
    move.commit();
    move.commit();
    CHECK(move.state() == State::switched);
    CHECK(sys::read_file(place.target + "/file") == "new");
    CHECK(move.had_old() == old);
    move.revert();
    move.revert();
    CHECK(move.state() == State::marked);
    CHECK(sys::tree_digest(place.target) == before);
    CHECK(sys::marker(place.target) == std::nullopt);
  }
}

TEST_CASE("the old data is freed, and no marker stays") {
  Place place(true);
  place.prepare();
  Switch move(place.call, place.target);
  move.mark();
  move.commit();
  CHECK(move.kept() == move.beside());
  move.discard();
  CHECK_FALSE(sys::exists(move.beside()));
  CHECK(sys::marker(place.target) == std::nullopt);
  CHECK(sys::read_file(place.target + "/file") == "new");
}

TEST_CASE("what another put in the target's place is not taken for ours") {
  Place place(true);
  place.prepare();
  Switch move(place.call, place.target);
  move.mark();
  sys::remove_tree(place.target);
  Place::fill(place.target, "theirs");
  CHECK_THROWS_WITH_AS(move.commit(), doctest::Contains("replaced by something else"), Error);
  CHECK(sys::read_file(place.target + "/file") == "theirs");
}

TEST_CASE("killed at any point of the switch, the next attempt ends in the same state") {
  for (const char* point :
       {"switch:old_marked", "switch:marked", "switch:before_commit", "switch:committed"}) {
    CAPTURE(point);
    Place place(true);
    place.prepare();
    REQUIRE(killed_at(point, [&] {
      Switch move(place.call, place.target);
      move.mark();
      move.commit();
    }));
    Switch move(place.call, place.target);
    move.mark();
    move.commit();
    CHECK(move.state() == State::switched);
    CHECK(sys::read_file(place.target + "/file") == "new");
    CHECK(sys::read_file(move.beside() + "/file") == "old");
  }
}

TEST_CASE("new data that is half dropped is not taken for whole") {
  Place place(true);
  place.prepare();
  Switch move(place.call, place.target);
  move.mark();
  REQUIRE(killed_at("switch:unmarked", [&] { move.drop_new(); }));
  CHECK(move.state() == State::nothing);
  move.drop_new();
  CHECK_FALSE(sys::exists(move.beside()));
  CHECK(sys::marker(place.target) == std::nullopt);
}
