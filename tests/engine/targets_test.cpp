#include "runner/engine/targets.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/wait.h"

using namespace relight;
using Names = std::vector<std::string>;

namespace {

constexpr uid_t nobody = 65534, another = 65533;

struct Place {
  sys::TempFolder temp;
  std::string folder = temp.path() + "/relight/targets", state = temp.path() + "/state";

  std::optional<TargetHolder> owner(const std::string& target, const std::string& asking = "plan") const {
    return Targets::held({target}, asking, folder);
  }
  // A run that is there, and that changed its targets.
  void change(const std::string& run, const Names& names, bool undone = false) const {
    sys::make_folders(state + "/runs/" + run);
    Targets targets(folder);
    REQUIRE_FALSE(targets.take(names, run, state));
    targets.changed(run);
    targets.changed(run);
    Targets::release(names, run, undone, folder);
  }
  std::string since(const std::string& run, const Names& names) const {
    return run_of(Targets::changed_since(names, run, folder));
  }
  bool marked(const std::string& target) const {
    return sys::exists(folder + "/0/" + sys::sha256_hex(target) + ".json");
  }
  bool lockable(const std::string& target) const {
    return sys::exists(folder + "/" + sys::sha256_hex(target) + ".lock");
  }
  static std::string run_of(const std::optional<TargetHolder>& holder) {
    return holder ? holder->run : "none";
  }
};

mode_t mode_of(const std::string& path) {
  struct stat status;
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}
uid_t user_of(const std::string& path) {
  struct stat status;
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_uid;
}

// Another process, as another user where one is given: tells what `act` says, and lives until it is let go.
class Process {
 public:
  explicit Process(const std::function<std::string()>& act, uid_t uid = 0) {
    int told[2], held[2];
    REQUIRE(::pipe2(told, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(held, O_CLOEXEC) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      ::close(held[1]);
      std::string text;
      if (uid != 0 && (::setgid(uid) != 0 || ::setuid(uid) != 0)) ::_exit(2);
      try {
        text = act();
      } catch (const Error& error) {
        text = std::string(name_of(error.kind)) + ": " + error.what() + " | " + error.hint;
      }
      (void)!::write(told[1], text.data(), text.size());
      ::close(told[1]);
      char byte;
      (void)!::read(held[0], &byte, 1);
      ::_exit(0);
    }
    ::close(told[1]);
    ::close(held[0]);
    let_go_ = held[1];
    char chunk[4096];
    ssize_t n;
    while ((n = ::read(told[0], chunk, sizeof chunk)) > 0) said.append(chunk, static_cast<std::size_t>(n));
    ::close(told[0]);
  }
  ~Process() { end(); }
  void end() {
    if (pid_ <= 0) return;
    ::close(let_go_);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

  std::string said;

 private:
  pid_t pid_ = 0;
  int let_go_ = -1;
};

// Children that run at the same time; a failed test where one throws.
void at_once(const std::vector<std::function<void()>>& acts) {
  std::vector<pid_t> children;
  for (const auto& act : acts) {
    children.push_back(::fork());
    REQUIRE(children.back() >= 0);
    if (children.back() != 0) continue;
    try {
      act();
    } catch (const std::exception&) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
}

}  // namespace

TEST_CASE("a target is one run's until that run gives it up") {
  Place place;
  {
    Targets targets(place.folder);
    CHECK_FALSE(targets.take({"path:/b", "path:/a", "path:/a"}, "r1", "/state"));
    CHECK(mode_of(place.folder) == 01777);
    auto owner = place.owner("path:/a");
    REQUIRE(owner);
    CHECK(owner->target == "path:/a");
    CHECK(owner->run == "r1");
    CHECK(owner->state_folder == "/state");
    CHECK(owner->user == "root");
    CHECK_FALSE(place.owner("path:/a", "r1"));
    CHECK_FALSE(place.owner("path:/c"));
  }
  // The process is gone and the run is not over.
  Targets later(place.folder);
  auto holder = later.take({"path:/c", "path:/b"}, "r2", "/other");
  REQUIRE(holder);
  CHECK(holder->run == "r1");
  CHECK(holder->target == "path:/b");
  CHECK_FALSE(place.owner("path:/c"));  // all or none

  CHECK_FALSE(later.take({"path:/a", "path:/b"}, "r1", "/state"));
  Targets::release({"path:/a", "path:/b"}, "r1", false, place.folder);
  CHECK_FALSE(place.owner("path:/a"));
}

TEST_CASE("more targets are taken beside those that are held") {
  Place place;
  Targets targets(place.folder);
  CHECK_FALSE(targets.take({"a"}, "r1", "/s"));
  CHECK_FALSE(targets.take({"a", "b"}, "r1", "/s"));
  CHECK(place.run_of(place.owner("b")) == "r1");
}

TEST_CASE("a run that waits for nobody: the lock of a process that is alive") {
  Place place;
  Process other([&] {
    static Targets targets(place.folder);
    std::string said = targets.take({"a", "b"}, "r1", "/s") ? "held" : "taken";
    Targets::release({"a"}, "r1", false, place.folder);  // ended; the process is still there
    return said;
  });
  CHECK(other.said == "taken");
  Targets targets(place.folder);
  CHECK(targets.take({"b"}, "r2", "/s")->run == "r1");
  CHECK(targets.take({"a"}, "r2", "/s")->run == "(unknown)");
  CHECK(targets.take({"b"}, "r1", "/s")->run == "r1");  // the same run, in another process
  other.end();
  CHECK_FALSE(targets.take({"a"}, "r2", "/s"));
  CHECK_FALSE(targets.take({"b"}, "r1", "/s"));
}

TEST_CASE("what a later run has changed is told, until that run is rolled back") {
  Place place;
  const auto change = [&](const std::string& run, const Names& names, bool undone) {
    place.change(run, names, undone);
  };
  const auto since = [&](const std::string& run) { return place.since(run, {"a", "b"}); };
  CHECK(since("r1") == "none");
  change("r1", {"a", "b"}, false);
  CHECK(since("r1") == "none");
  change("r2", {"b"}, false);
  CHECK(since("r1") == "r2");
  CHECK(since("r2") == "none");
  CHECK(since("never") == "none");
  change("r3", {"b"}, false);
  CHECK(since("r1") == "r3");
  CHECK(since("r2") == "r3");
  change("r3", {"b"}, true);
  CHECK(since("r2") == "none");
  CHECK(since("r1") == "r2");
  change("r2", {"b"}, true);
  CHECK(since("r1") == "none");
}

TEST_CASE("a run that changed nothing leaves no mark") {
  Place place;
  Targets targets(place.folder);
  CHECK_FALSE(targets.take({"a"}, "r1", "/s"));
  const std::string mark = place.folder + "/0/" + sys::sha256_hex("a") + ".json";
  CHECK(sys::exists(mark));
  Targets::release({"a"}, "r1", false, place.folder);
  CHECK_FALSE(sys::exists(mark));
  Targets::release({"a"}, "r1", false, place.folder);
}

TEST_CASE("users share the targets, and none writes another's marks") {
  Place place;
  ::chmod(place.temp.path().c_str(), 0755);
  { Targets(place.folder).take({"made"}, "r0", "/s"); }
  auto take = [&](const std::string& run, const Names& names) {
    return [&place, run, names] {
      Targets targets(place.folder);
      auto holder = targets.take(names, run, "/home");
      if (holder) return holder->run + " of " + holder->user;
      targets.changed(run);
      return std::string("taken");
    };
  };
  CHECK(Process(take("n1", {"a"}), nobody).said == "taken");
  CHECK(user_of(place.folder + "/65534") == nobody);
  CHECK(user_of(place.folder + "/" + sys::sha256_hex("a") + ".lock") == nobody);
  CHECK(Process(take("x1", {"a"}), another).said == "n1 of nobody");
  CHECK(Process(take("r1", {"a"})).said == "n1 of nobody");
  CHECK(Process(take("n1", {"made"}), nobody).said == "r0 of root");

  SUBCASE("given up by its user, the target is the next one's, and what was changed is known") {
    Process([&] { return Targets::release({"a"}, "n1", false, place.folder), std::string(); }, nobody);
    CHECK(Process(take("x1", {"a"}), another).said == "taken");
    CHECK(place.run_of(Targets::changed_since({"a"}, "n1", place.folder)) == "x1");
  }
  SUBCASE("given up by root") {
    Targets::release({"a"}, "n1", false, place.folder);
    const std::string mark = place.folder + "/65534/" + sys::sha256_hex("a") + ".json";
    CHECK(user_of(mark) == nobody);
    CHECK(Process(take("n2", {"a"}), nobody).said == "taken");
  }
  SUBCASE("not given up by another user") {
    Process thief([&] { return Targets::release({"a"}, "n1", false, place.folder), std::string("released"); },
                  another);
    CHECK(thief.said.find("cannot write") != std::string::npos);
    CHECK(place.run_of(place.owner("a")) == "n1");
  }
  SUBCASE("a folder that another has made in a user's name is not used") {
    Process(
        [&] {
          ::mkdir((place.folder + "/65534.").c_str(), 0755);
          return std::string(::mkdir((place.folder + "/65532").c_str(), 0777) == 0 ? "made" : "not made");
        },
        another);
    const std::string said = Process(take("v1", {"v"}), 65532).said;
    CHECK(said == "refused: cannot use the folder of this user's marks: " + place.folder +
                      "/65532: it was made by another user | remove it, and see who did that");
    CHECK_FALSE(place.owner("v"));
  }
}

TEST_CASE("the folder is made by root, and opened to all") {
  Place place;
  ::chmod(place.temp.path().c_str(), 0755);
  auto take = [&] { return Targets(place.folder).take({"a"}, "n1", "/s") ? std::string("held") : "taken"; };
  const std::string parent = place.temp.path() + "/relight";
  CHECK(Process(take, nobody).said == "refused: cannot make the folder of targets: " + place.folder +
                                          ": No such file or directory | as root, once: mkdir -p " +
                                          place.folder + " && chmod 1777 " + place.folder + " && chmod a+x " +
                                          parent);
  CHECK_FALSE(place.owner("a"));
  CHECK_FALSE(sys::exists(parent));  // asking changes nothing

  sys::make_folders(parent, 0700);  // as root's state folder
  CHECK(Process(take, nobody).said.starts_with("refused: cannot use the folder of targets: " + place.folder));
  { CHECK(take() == "taken"); }
  Targets::release({"a"}, "n1", false, place.folder);
  CHECK(mode_of(parent) == 0711);
  CHECK(Process(take, nobody).said == "taken");
}

TEST_CASE("a damaged mark stops, and says what to do") {
  Place place;
  { Targets(place.folder).take({"a"}, "r1", "/s"); }
  const std::string mark = place.folder + "/0/" + sys::sha256_hex("a") + ".json";
  for (const char* text : {"", "{", "{\"runs\":1}", "{\"runs\":[{\"run\":1}]}", "[]"}) {
    sys::write_file(mark, text, 0644);
    try {
      place.owner("a");
      FAIL("read");
    } catch (const Error& error) {
      CHECK(error.kind == ErrorKind::needs_person);
      CHECK(std::string(error.what()) == "cannot read the mark of a target: " + mark + ": it is damaged");
    }
  }
  sys::remove_file(mark);
  REQUIRE(::mkfifo(mark.c_str(), 0644) == 0);
  CHECK_THROWS_AS(place.owner("a"), Error);
}

TEST_CASE("when a mark cannot be written nothing stays taken") {
  Place place;
  { Targets(place.folder).take({"x"}, "r0", "/s"); }
  const Names names = {"a", "b", "c"};  // in this order
  const std::string blocked = place.folder + "/0/." + sys::sha256_hex("b") + ".json.tmp";
  sys::make_folders(blocked, 0755);
  Targets targets(place.folder);
  CHECK_THROWS_AS(targets.take(names, "r1", "/s"), Error);
  for (const std::string& name : names) CHECK_FALSE(place.owner(name));
  sys::remove_tree(blocked);
  Targets other(place.folder);
  CHECK_FALSE(other.take(names, "r2", "/s"));  // nor locked
}

TEST_CASE("a path within a path is one target with it") {
  Place place;
  {
    Targets targets(place.folder);
    REQUIRE_FALSE(targets.take({"path:/srv/app", "path:/srv/app/data", "database:5432/app"}, "r1", "/s"));
  }
  for (const char* target :
       {"path:/srv/app", "path:/srv/app/data", "path:/srv/app/data/x", "path:/srv", "path:/"}) {
    CAPTURE(target);
    CHECK(place.run_of(place.owner(target)) == "r1");
    CHECK(place.run_of(Targets(place.folder).take({target}, "r2", "/s")) == "r1");
    CHECK_FALSE(place.owner(target, "r1"));
  }
  for (const char* target : {"path:/srv/application", "path:/srv/ap", "path:/other", "database:5432/app/x"}) {
    CAPTURE(target);
    CHECK_FALSE(place.owner(target));
  }
  CHECK(place.owner("path:/srv")->target.starts_with("path:/srv/app"));
}

TEST_CASE("what a later run changed within a path, or around it, is told") {
  Place place;
  place.change("r1", {"path:/a/b"});
  place.change("r2", {"path:/a", "path:/a/c"});
  place.change("r3", {"path:/a/c/d"});
  CHECK(place.since("r1", {"path:/a/b"}) == "r2");
  CHECK(place.since("r2", {"path:/a", "path:/a/c"}) == "r3");
  CHECK(place.since("r3", {"path:/a/c/d"}) == "none");
  place.change("r3", {"path:/a/c/d"}, true);
  CHECK(place.since("r2", {"path:/a", "path:/a/c"}) == "none");
}

TEST_CASE("of two runs that begin at once, on a path and on one within it, one has it") {
  Place place;
  const auto said = [&](const char* run) { return place.temp.path() + "/said-" + run; };
  const auto take = [&](const char* run, const char* target, const char* other) {
    return [&said, &place, run, target, other] {
      Targets targets(place.folder);
      sys::write_file(said(run), targets.take({target}, run, "/s") ? "held" : "taken", 0600);
      sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(1), {},
                      [&] { return sys::exists(said(other)); });
    };
  };
  for (int round = 0; round < 20; ++round) {
    at_once({take("r1", "path:/a", "r2"), take("r2", "path:/a/b", "r1")});
    CHECK((sys::read_file(said("r1")) == "taken") != (sys::read_file(said("r2")) == "taken"));
    for (const char* run : {"r1", "r2"}) {
      Targets::free(run, place.folder);
      sys::remove_file(said(run));
    }
  }
}

TEST_CASE("marks and locks go once no rollback can ask for them") {
  Place place;
  place.change("r1", {"a", "b"});
  place.change("r2", {"a"});
  CHECK(place.marked("a"));
  CHECK(place.lockable("a"));

  SUBCASE("given up, but an earlier run may be taken back") {
    Targets::free("r2", place.folder);
    CHECK(place.since("r1", {"a"}) == "r2");
    Targets::free("r1", place.folder);
    for (const char* target : {"a", "b"}) {
      CHECK_FALSE(place.marked(target));
      CHECK_FALSE(place.lockable(target));
    }
  }
  SUBCASE("its folder is gone: the next run sweeps") {
    sys::remove_tree(place.state + "/runs/r1");
    place.change("r3", {"c"});
    CHECK_FALSE(place.marked("b"));
    CHECK_FALSE(place.lockable("b"));
    CHECK(place.marked("a"));  // r2's
    sys::remove_tree(place.state + "/runs");
    { Targets(place.folder).take({"d"}, "r4", "/s"); }
    CHECK_FALSE(place.marked("a"));
    CHECK_FALSE(place.marked("c"));
    CHECK(place.marked("d"));  // owned, whatever became of its run's folder
  }
  SUBCASE("a lock that a process of an ended run still holds stays") {
    Process other([&] {
      static Targets targets(place.folder);
      targets.take({"e"}, "r5", "/s");
      Targets::free("r5", place.folder);
      return std::string("freed");
    });
    CHECK(other.said == "freed");
    Targets::free("r1", place.folder);
    CHECK(place.lockable("e"));
    CHECK(Targets(place.folder).take({"e"}, "r6", "/s"));
    other.end();
    CHECK_FALSE(Targets(place.folder).take({"e"}, "r6", "/s"));
  }
}

TEST_CASE("a lock that is swept while others wait for it is held by one at a time") {
  Place place;
  const std::string file = place.temp.path() + "/n";
  sys::write_file(file, "0", 0600);
  const auto count = [&] {
    const std::string run = "r" + std::to_string(::getpid());
    for (int i = 0; i < 20;) {
      Targets targets(place.folder);
      if (targets.take({"x"}, run, "/s")) continue;
      const int now = std::stoi(sys::read_file(file));
      sys::write_file(file, std::to_string(now + 1), 0600);
      Targets::free(run, place.folder);
      ++i;
    }
  };
  at_once({count, count, count});
  CHECK(sys::read_file(file) == "60");  // two at once would lose steps
  CHECK_FALSE(place.lockable("x"));
}
