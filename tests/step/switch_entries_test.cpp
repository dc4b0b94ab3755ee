// The switch of a mount point: entry by entry.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner/step/switch.h"
#include "runner/sys/files.h"
#include "tests/support/crash.h"
#include "tests/support/mounted.h"

using namespace relight;
using State = Switch::State;

namespace {

// A mounted folder with old data; what is noted outlives a kill.
struct Place {
  sys::TempFolder folder{"/var/tmp"};
  Mounted mounted;
  std::string target = folder.path() + "/data", before;

  explicit Place(Mounted::Kind kind = Mounted::Kind::tmpfs) : mounted(folder.path() + "/data", kind) {
    fill(target, "old");
    sys::write_file(target + "/only old", "old", 0644);
    REQUIRE(chmod(target.c_str(), 0751) == 0);
    REQUIRE(chown(target.c_str(), 3, 4) == 0);
    const timespec old[] = {{1'500'000'000, 1}, {1'500'000'001, 2}};
    REQUIRE(utimensat(AT_FDCWD, target.c_str(), old, 0) == 0);
    before = sys::tree_digest(target);
  }
  static void fill(const std::string& path, const std::string& text) {
    sys::make_folders(path + "/sub");
    sys::write_file(path + "/sub/file", text, 0644);
    sys::write_file(path + "/file", text, 0644);
    sys::write_file(path + "/.hidden", text, 0644);
  }
  DurableCall call(const std::string& run = "20261121-102600-test") const {
    return DurableCall("data", folder.path() + "/notes-" + run, run);
  }

  // As a step does it: made beside, marked, switched; and the way back.
  void apply(const std::string& run = "20261121-102600-test") const {
    DurableCall one = call(run);
    Switch move(one, target);
    if (move.state() == State::nothing) {
      move.prepare();
      move.drop_new();
      fill(move.beside(), "new of " + run);
      sys::write_file(move.beside() + "/only new", "new", 0644);
      REQUIRE(chmod(move.beside().c_str(), 0700) == 0);
      sys::sync_tree(move.beside());
      move.mark();
    }
    move.commit();
  }
  void undo(const std::string& run = "20261121-102600-test") const {
    DurableCall one = call(run);
    Switch move(one, target);
    move.revert();
    move.drop_new();
  }

  void is_as_it_was() const {
    CHECK(sys::tree_digest(target) == before);
    for (const std::string& name : sys::names_in(target)) CHECK_FALSE(name.starts_with(".relight"));
    CHECK(sys::marker(target) == std::nullopt);
    struct stat status;
    REQUIRE(stat(target.c_str(), &status) == 0);
    CHECK(status.st_mtim.tv_sec == 1'500'000'001);
    CHECK(status.st_mtim.tv_nsec == 2);
  }
  void is_new(const std::string& run = "20261121-102600-test") const {
    for (const char* name : {"/file", "/sub/file", "/.hidden"})
      CHECK(sys::read_file(target + name) == "new of " + run);
    CHECK(sys::exists(target + "/only new"));
    CHECK_FALSE(sys::exists(target + "/only old"));
    struct stat status;
    REQUIRE(stat(target.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0700);
    CHECK(status.st_uid == 0);
  }
};

}  // namespace

TEST_CASE("a mount point is switched by its entries, and switched back") {
  for (const auto kind : {Mounted::Kind::tmpfs, Mounted::Kind::ext4}) {
    CAPTURE(static_cast<int>(kind));
    const Place place(kind);
    struct stat lost;
    const bool has_lost_found = stat((place.target + "/lost+found").c_str(), &lost) == 0;
    CHECK(has_lost_found == (kind == Mounted::Kind::ext4));

    const SwitchOutlook outlook = switch_outlook(place.target);
    CHECK(outlook.folder == place.target);
    CHECK_FALSE(outlook.obstacle);
    CHECK(outlook.hint.starts_with("not atomic: " + place.target + " is a mount point"));

    place.apply();
    place.is_new();
    const std::string after = sys::tree_digest(place.target);
    place.apply();
    CHECK(sys::tree_digest(place.target) == after);
    {
      DurableCall call = place.call();
      const Switch move(call, place.target);
      CHECK(move.state() == State::switched);
      CHECK(sys::read_file(move.kept() + "/only old") == "old");
      CHECK(sys::exists(move.kept() + "/lost+found") == false);
    }
    struct stat now;
    if (has_lost_found) {
      REQUIRE(stat((place.target + "/lost+found").c_str(), &now) == 0);
      CHECK(now.st_ino == lost.st_ino);
    }
    place.undo();
    place.is_as_it_was();
    place.undo();
    place.is_as_it_was();
  }
}

TEST_CASE("what is kept within a mount point is freed, and no marker stays") {
  const Place place;
  place.apply();
  const std::string after = sys::tree_digest(place.target);
  int pass = 1;
  const auto discard = [&] {
    DurableCall call = place.call();
    Switch(call, place.target).discard();
  };
  for (; killed_at_pass(pass, discard); ++pass) CHECK(sys::tree_digest(place.target) == after);
  CHECK(pass > 2);
  CHECK(sys::tree_digest(place.target) == after);
  CHECK(sys::names_in(place.target) == std::vector<std::string>{".hidden", "file", "only new", "sub"});
  CHECK(sys::marker(place.target) == std::nullopt);
}

TEST_CASE("killed at any point of it, the next attempt ends in the same state, and so does the way back") {
  std::string after;
  {
    const Place place;
    place.apply();
    after = sys::tree_digest(place.target);
  }
  int pass = 1;
  for (;; ++pass) {
    CAPTURE(pass);
    const Place place, undone;
    if (!killed_at_pass(pass, [&] { place.apply(); })) break;
    place.apply();
    place.is_new();
    REQUIRE(killed_at_pass(pass, [&] { undone.apply(); }));
    undone.undo();
    undone.is_as_it_was();
  }
  CHECK(pass > 12);  // eight entries, and the phases between

  for (pass = 1;; ++pass) {
    CAPTURE(pass);
    const Place place, again;
    place.apply();
    if (!killed_at_pass(pass, [&] { place.undo(); })) break;
    place.undo();
    place.is_as_it_was();
    // A way back that was broken off is gone to its end before the new is tried again.
    again.apply();
    REQUIRE(killed_at_pass(pass, [&] { again.undo(); }));
    again.apply();
    again.is_new();
    again.undo();
    again.is_as_it_was();
  }
  CHECK(pass > 12);
}

TEST_CASE("killed again and again, each time one move later, it still gets there") {
  const auto again_and_again = [](const std::string& moved, const std::function<void()>& act) {
    int kills = 0;
    for (; killed_at(moved, act); ++kills) REQUIRE(kills < 50);
    CHECK(kills > 2);
  };
  for (const auto& [there, back] :
       {std::pair{"switch:entry_aside", "switch:entry_out"}, {"switch:entry_in", "switch:entry_back"}}) {
    const Place place;
    again_and_again(there, [&] { place.apply(); });
    place.is_new();
    again_and_again(back, [&] { place.undo(); });
    place.is_as_it_was();
  }
}

TEST_CASE("one run after another in one mount point, and taken back in the other order") {
  const Place place;
  place.apply("first");
  const std::string first = sys::tree_digest(place.target);
  place.apply("second");
  place.is_new("second");
  {
    DurableCall call = place.call("first");
    Switch move(call, place.target);
    CHECK(move.state() == State::nothing);
    CHECK_THROWS_WITH_AS(move.drop_new(), doctest::Contains("put there after this run switched it"), Error);
    CHECK_THROWS_AS(move.discard(), Error);
  }
  place.undo("second");
  CHECK(sys::tree_digest(place.target) == first);
  place.undo("first");
  place.is_as_it_was();
}

TEST_CASE("what comes into the way between two moves is told, and mended") {
  const Place place;
  REQUIRE(killed_at("switch:in", [&] { place.apply(); }));
  sys::write_file(place.target + "/file", "of a service that was not stopped", 0644);
  try {
    place.apply();
    FAIL("it was moved over");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).ends_with("File exists"));
    CHECK(error.hint ==
          "the entries of " + place.target + " are half switched: mend this, then resume or roll back");
  }
  sys::remove_file(place.target + "/file");
  place.apply();
  place.is_new();
}

TEST_CASE("a mount point within the mount point is refused; so is one that is no longer mounted") {
  Place place;
  {
    const Mounted inner(place.target + "/sub/inner one");
    const auto obstacle = switch_outlook(place.target).obstacle;
    REQUIRE(obstacle);
    CHECK(obstacle->why == inner.path() + " within it is a mount point of its own, which cannot be moved");
  }
  CHECK_FALSE(switch_outlook(place.target).obstacle);
  REQUIRE(killed_at("switch:marked", [&] { place.apply(); }));
  place.mounted.unmount();
  CHECK_THROWS_WITH_AS(place.apply(), doctest::Contains("it was a mount point when this run began"), Error);
}
