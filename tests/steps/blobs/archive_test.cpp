#include <doctest/doctest.h>

#include "runner/step/step.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

struct Blobs {
  sys::TempFolder folder;
  std::string from = folder.path() + "/srv", backup = folder.path() + "/backup";
  const StepType& archive = type_named("blobs.archive");
  const StepType& restore = type_named("blobs.restore");

  Blobs() {
    sys::make_folders(from + "/security");
    sys::make_folders(backup);
    sys::write_file(from + "/security/vault.key", "a key", 0600);
    sys::write_file(from + "/odd\nname\\", "odd", 0644);
  }
  Json params(const std::string& into = "blobs.tar.zst") const {
    return {{"from", from}, {"into", backup + "/" + into}, {"must_hold", {"security/vault.key"}}};
  }
  Preview preview(const Json& params) const {
    TestCall call;
    call.preview_only = true;
    return archive.make()->preview(TestParams(archive, params.dump()), call);
  }
  Json apply(const Json& params) const {
    TestCall call;
    return archive.make()->apply(TestParams(archive, params.dump()), call);
  }
};

}  // namespace

TEST_CASE("what blobs.archive packs, blobs.restore takes back, by its manifest") {
  const Blobs blobs;
  for (const std::string name : {"a.tar.zst", "b.tar.gz", "c.zip"}) {
    CAPTURE(name);
    if (name == "c.zip") {
      CHECK_THROWS_WITH_AS(blobs.apply(blobs.params(name)), doctest::Contains("none with a backslash"),
                           Error);
      sys::rename_durably(blobs.from + "/odd\nname\\", blobs.from + "/odd");
    }
    CHECK(blobs.preview(blobs.params(name)).summary ==
          "pack 2 files, 8 B, into " + blobs.backup + "/" + name);
    const Json outputs = blobs.apply(blobs.params(name));
    CHECK(outputs["files"] == 2);
    const std::string into = blobs.folder.path() + "/again-" + name;
    TestCall call;
    const Json params = {{"from", outputs["path"]}, {"into", into}};
    CHECK(blobs.restore.make()->apply(TestParams(blobs.restore, params.dump()), call)["files"] == 2);
    CHECK(sys::read_file(into + (name == "c.zip" ? "/odd" : "/odd\nname\\")) == "odd");
    if (name != "c.zip") CHECK(sys::tree_digest(into) == sys::tree_digest(blobs.from));
  }
}

TEST_CASE("a backup without what it must hold is refused, by the plan too") {
  const Blobs blobs;
  sys::write_file(blobs.from + "/security/vault.key", "", 0600);
  CHECK(blobs.preview(blobs.params()).problems.at(0).why == "it is empty");
  CHECK_THROWS_WITH_AS(blobs.apply(blobs.params()), doctest::Contains("security/vault.key: it is empty"),
                       Error);
  sys::remove_file(blobs.from + "/security/vault.key");
  CHECK(blobs.preview(blobs.params()).problems.at(0).why == "it is not there");
  CHECK_THROWS_WITH_AS(blobs.apply(blobs.params()), doctest::Contains("it is not there"), Error);
  CHECK_FALSE(sys::exists(blobs.backup + "/blobs.tar.zst"));
}

TEST_CASE("an archive replaces nothing, and is not put into what it packs") {
  const Blobs blobs;
  sys::write_file(blobs.backup + "/blobs.tar.zst", "yesterday's", 0600);
  CHECK(blobs.preview(blobs.params()).problems.at(0).what == "it would replace what is there");
  CHECK_THROWS_AS(blobs.apply(blobs.params()), Error);
  CHECK(sys::read_file(blobs.backup + "/blobs.tar.zst") == "yesterday's");
  Json within = blobs.params();
  within["into"] = blobs.from + "/own.tar.zst";
  CHECK_THROWS_WITH_AS(blobs.apply(within), doctest::Contains("into itself"), Error);
  within["into"] = blobs.backup + "/own.rar";
  CHECK_THROWS_WITH_AS(blobs.apply(within), doctest::Contains("its name says no packing"), Error);
}
