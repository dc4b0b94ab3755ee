#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/crash.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const StepType& type() {
  return type_named("host.directory");
}

struct Directory {
  Directory(const std::string& folder, const Json& json)
      : notes(folder + "/notes"), params(type(), json.dump()) {}
  Json apply() const {
    DurableCall call("directory", notes);
    return type().make()->apply(params, call);
  }
  void undo() const {
    DurableCall call("directory", notes);
    type().make()->undo(params, call, nullptr);
  }
  Preview preview() const {
    DurableCall call("directory", notes);
    call.preview_only = true;
    return type().make()->preview(params, call);
  }
  std::string digest() const {
    DurableCall call("directory", notes);
    return type().make()->state_digest(params, call);
  }
  std::string notes;
  TestParams params;
};

}  // namespace

TEST_CASE("a folder is made with its parents, mode and owner, and taken away again") {
  sys::TempFolder folder;
  const std::string path = folder.path() + "/srv/app/blobs";
  const Directory directory(folder.path(),
                            {{"path", path}, {"mode", "2750"}, {"owner", "1234"}, {"group", "1235"}});
  CHECK(directory.preview().summary == "make the folder " + path);
  CHECK(directory.digest() == "absent");
  CHECK(directory.apply() == Json({{"path", path}}));
  CHECK(directory.digest() == "2750 1234:1235");
  directory.apply();
  CHECK(directory.digest() == "2750 1234:1235");
  CHECK(directory.preview().verdict == Preview::Verdict::nothing_to_do);
  directory.undo();
  CHECK_FALSE(sys::exists(folder.path() + "/srv"));
  directory.undo();
  CHECK(directory.digest() == "absent");
}

TEST_CASE("a folder that was there keeps what it holds, and gets its mode and owner back") {
  sys::TempFolder folder;
  const std::string path = folder.path() + "/data";
  sys::make_folders(path);
  REQUIRE(chmod(path.c_str(), 0711) == 0);
  sys::write_file(path + "/kept", "x", 0644);
  const Directory directory(folder.path(), {{"path", path}, {"mode", "0700"}, {"owner", "1234"}});
  CHECK(directory.preview().summary == "set mode and owner of " + path + ", now 0711 0:0");
  directory.apply();
  CHECK(directory.digest() == "0700 1234:0");
  directory.undo();
  CHECK(directory.digest() == "0711 0:0");
  CHECK(sys::read_file(path + "/kept") == "x");

  // Asked for another mode later in the same run, the first is what comes back.
  directory.apply();
  Directory(folder.path(), {{"path", path}, {"mode", "0755"}}).apply();
  directory.undo();
  CHECK(directory.digest() == "0711 0:0");

  const Directory as_it_is(folder.path() + "/data", {{"path", path}});
  CHECK(as_it_is.preview().verdict == Preview::Verdict::nothing_to_do);
  as_it_is.apply();
  as_it_is.undo();
  CHECK(directory.digest() == "0711 0:0");
}

TEST_CASE("a made folder that holds something by now stays, and a file in the way is refused") {
  sys::TempFolder folder;
  const std::string path = folder.path() + "/data";
  const Directory directory(folder.path(), {{"path", path}});
  directory.apply();
  sys::write_file(path + "/later", "x", 0644);
  directory.undo();
  CHECK(sys::exists(path + "/later"));

  const Directory onto_file(folder.path(), {{"path", path + "/later"}});
  CHECK(onto_file.preview().problems.at(0).why == "something that is no folder is there");
  CHECK_THROWS_AS(onto_file.apply(), Error);
  CHECK(sys::read_file(path + "/later") == "x");
}
