#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/crash.h"
#include "tests/support/error.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const StepType& type() {
  return type_named("host.file");
}

struct File {
  File(const std::string& folder, const Json& json) : notes(folder + "/notes"), params(type(), json.dump()) {}
  Json apply() const {
    DurableCall call("file", notes);
    return type().make()->apply(params, call);
  }
  void undo() const {
    DurableCall call("file", notes);
    type().make()->undo(params, call, nullptr);
  }
  void discard() const {
    DurableCall call("file", notes);
    type().make()->discard(params, call, nullptr);
  }
  Json kept() const {
    DurableCall call("file", notes);
    return type().make()->kept(params, call, nullptr);
  }
  Preview preview() const {
    DurableCall call("file", notes);
    call.preview_only = true;
    return type().make()->preview(params, call);
  }
  std::string digest() const {
    DurableCall call("file", notes);
    return type().make()->state_digest(params, call);
  }
  std::string notes;
  TestParams params;
};

mode_t mode_of_file(const std::string& path) {
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

// The names that lie in a folder: nothing hidden may be left in it.
std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  sys::walk(folder, [&](const sys::Entry& entry) { names.push_back(entry.path); });
  return names;
}

}  // namespace

TEST_CASE("a file is put where none was, with its folders, and taken away again") {
  sys::TempFolder folder;
  const std::string into = folder.path() + "/a/b/unit";
  const File file(folder.path(), {{"into", into}, {"content", "file:///one\n"}, {"mode", "0640"}});
  const std::string before = file.digest();
  CHECK(file.preview().verdict == Preview::Verdict::would_change);
  CHECK(file.preview().keeps.empty());
  CHECK_FALSE(sys::exists(folder.path() + "/a"));

  CHECK(file.apply() == Json({{"into", into}}));
  CHECK(sys::read_file(into) == "file:///one\n");
  CHECK(mode_of_file(into) == 0640);
  const std::string after = file.digest();
  file.apply();
  CHECK(file.digest() == after);
  CHECK(file.preview().verdict == Preview::Verdict::nothing_to_do);
  CHECK(file.kept() == Json::array());

  file.undo();
  CHECK_FALSE(sys::exists(folder.path() + "/a"));
  CHECK(file.digest() == before);
  file.undo();
  CHECK(file.digest() == before);
}

TEST_CASE("the old file is kept, lends its mode and owner, comes back, or is freed") {
  sys::TempFolder folder;
  sys::make_folders(folder.path() + "/etc");
  const std::string into = folder.path() + "/etc/unit", source = folder.path() + "/new";
  sys::write_file(into, "old", 0604, sys::Owner{1234, 1235});
  sys::write_file(source, "new", 0644);
  const File file(folder.path(), {{"into", into}, {"from", "file://" + source}});
  const std::string before = sys::tree_digest(into);
  CHECK(file.preview().keeps == std::vector<std::string>{"the old " + into + " (3 B)"});
  file.apply();
  CHECK(sys::read_file(into) == "new");
  CHECK(mode_of_file(into) == 0604);
  struct stat status {};
  REQUIRE(stat(into.c_str(), &status) == 0);
  CHECK(status.st_uid == 1234);
  CHECK(status.st_gid == 1235);
  REQUIRE(file.kept().size() == 1);
  CHECK(sys::read_file(file.kept()[0]["on"].get<std::string>()) == "old");

  file.undo();
  CHECK(sys::tree_digest(into) == before);
  CHECK(names_in(folder.path() + "/etc") == std::vector<std::string>{"unit"});

  file.apply();
  file.discard();
  CHECK(sys::read_file(into) == "new");
  CHECK(names_in(folder.path() + "/etc") == std::vector<std::string>{"unit"});
  file.discard();
  CHECK(file.kept() == Json::array());
}

TEST_CASE("equal bytes with another mode or owner are not equal") {
  sys::TempFolder folder;
  const std::string into = folder.path() + "/f";
  sys::write_file(into, "same", 0644);
  const auto verdict = [&](const Json& more) {
    Json json = {{"into", into}, {"content", "same"}};
    json.update(more);
    return File(folder.path(), json).preview().verdict;
  };
  CHECK(verdict(Json::object()) == Preview::Verdict::nothing_to_do);
  CHECK(verdict({{"mode", "644"}}) == Preview::Verdict::nothing_to_do);
  CHECK(verdict({{"mode", "0600"}}) == Preview::Verdict::would_change);
  CHECK(verdict({{"owner", "1234"}}) == Preview::Verdict::would_change);
  CHECK(verdict({{"group", "daemon"}}) == Preview::Verdict::would_change);
  CHECK(verdict({{"content", "Same"}}) == Preview::Verdict::would_change);
  CHECK(verdict({{"owner", "nobody-of-this-name"}}) == Preview::Verdict::cannot_yet_tell);
}

TEST_CASE("a secret's file is its owner's alone, and its bytes are told nowhere") {
  sys::TempFolder folder;
  setenv("RELIGHT_TEST_SECRET", "hunter2hunter2", 1);
  const std::string into = folder.path() + "/pgpass";
  const File file(folder.path(),
                  {{"into", into}, {"secret", {{"$secret", {{"env", "RELIGHT_TEST_SECRET"}}}}}});
  CHECK(file.apply().dump().find("hunter2") == std::string::npos);
  CHECK(sys::read_file(into) == "hunter2hunter2");
  CHECK(mode_of_file(into) == 0600);
  const auto notes = sys::read_file_if_there(folder.path() + "/notes");
  CHECK(notes.value_or("").find("hunter2") == std::string::npos);
}

TEST_CASE("what cannot be is refused, and the target is as it was") {
  sys::TempFolder folder;
  const std::string into = folder.path() + "/f";
  sys::write_file(into, "old", 0644);
  const std::string before = sys::tree_digest(into);

  const File none(folder.path(), {{"into", into}});
  REQUIRE(none.preview().problems.size() == 1);
  CHECK(none.preview().problems[0].why == "no content is given");
  CHECK(told_error([&] { none.apply(); }) ==
        "refused: cannot tell what to write: " + into + ": no content is given");
  const File both(folder.path(), {{"into", into}, {"content", "x"}, {"from", "/etc/passwd"}});
  CHECK(both.preview().problems.at(0).why == "from and content are given");
  const File absent(folder.path(), {{"into", into}, {"from", "/nonexistent"}});
  CHECK(absent.preview().problems.at(0).on == "/nonexistent");
  const File mode(folder.path(), {{"into", into}, {"content", "x"}, {"mode", "rw"}});
  CHECK(mode.preview().problems.at(0).what == "not a mode");
  CHECK(told_error([&] { mode.apply(); }) == "refused: not a mode: rw: a mode is three or four octal digits");
  const File onto_folder(folder.path(), {{"into", folder.path()}, {"content", "x"}});
  CHECK(onto_folder.preview().problems.at(0).why == "a folder is there");
  CHECK(told_error([&] { onto_folder.apply(); }) ==
        "refused: cannot put a file: " + folder.path() + ": a folder is there");
  REQUIRE(symlink(into.c_str(), (folder.path() + "/link").c_str()) == 0);
  const File onto_link(folder.path(), {{"into", folder.path() + "/link"}, {"content", "x"}});
  CHECK(onto_link.preview().problems.at(0).why == "a symbolic link is there");
  CHECK_THROWS_AS(onto_link.apply(), Error);
  const File no_attributes(folder.path(), {{"into", "/proc/relight"}, {"content", "x"}});
  CHECK(no_attributes.preview().problems.at(0).why ==
        "its file system has no extended attributes, which tell the new file from the old");
  const File below_file(folder.path(), {{"into", into + "/x"}, {"content", "x"}});
  CHECK(below_file.preview().problems.at(0).why == into + " is not a folder");
  CHECK(sys::tree_digest(into) == before);
}

TEST_CASE("asked for other bytes later in the same run, the first old file stays kept") {
  sys::TempFolder folder;
  const std::string into = folder.path() + "/f";
  sys::write_file(into, "old", 0644);
  const File first(folder.path(), {{"into", into}, {"content", "one"}});
  const File second(folder.path(), {{"into", into}, {"content", "two"}});
  first.apply();
  second.apply();
  CHECK(sys::read_file(into) == "two");
  second.undo();
  CHECK(sys::read_file(into) == "old");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"f"});
}
