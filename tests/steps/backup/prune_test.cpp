#include <doctest/doctest.h>

#include "runner/step/step.h"
#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

struct Backups {
  sys::TempFolder folder;
  const StepType& type = type_named("backup.prune");

  void add(const std::string& name, const std::string& time, const std::string& product = "app") const {
    const std::string path = folder.path() + "/" + name;
    sys::make_folders(path);
    sys::write_file(path + "/file", name, 0644);
    const Json json = {
        {"format", "recovery-set/1"},
        {"product", product},
        {"version", "1.0.0"},
        {"time", time},
        {"files", {{{"path", "file"}, {"size", name.size()}, {"sha256", sys::sha256_hex(name)}}}}};
    sys::write_file(path + "/backup.json", json.dump(), 0644);
  }
  Json params(int daily, int weekly, int monthly, int yearly) const {
    return {{"folder", folder.path()}, {"product", "app"},   {"daily", daily},
            {"weekly", weekly},        {"monthly", monthly}, {"yearly", yearly}};
  }
  Preview preview(const Json& params) const {
    TestCall call;
    call.preview_only = true;
    return type.make()->preview(TestParams(type, params.dump()), call);
  }
  std::vector<std::string> left_after(const Json& params) const {
    TestCall call;
    type.make()->apply(TestParams(type, params.dump()), call);
    return sys::names_in(folder.path());
  }
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("the newest of each period stays") {
  const Backups backups;
  // 2026-11-16 is a Monday.
  for (const std::string day : {"2026-11-21", "2026-11-20", "2026-11-16", "2026-11-15", "2026-10-31",
                                "2026-10-01", "2025-12-31", "2025-01-01", "2024-06-01"})
    backups.add(day, day + "T03:00:00Z");
  backups.add("2026-11-21-early", "2026-11-21T01:00:00Z");
  SUBCASE("days") {
    CHECK(backups.left_after(backups.params(2, 0, 0, 0)) == Names{"2026-11-20", "2026-11-21"});
  }
  SUBCASE("weeks") {
    CHECK(backups.left_after(backups.params(0, 2, 0, 0)) == Names{"2026-11-15", "2026-11-21"});
  }
  SUBCASE("months") {
    CHECK(backups.left_after(backups.params(0, 0, 3, 0)) == Names{"2025-12-31", "2026-10-31", "2026-11-21"});
  }
  SUBCASE("years") {
    CHECK(backups.left_after(backups.params(0, 0, 0, 9)) == Names{"2024-06-01", "2025-12-31", "2026-11-21"});
  }
  SUBCASE("all of them together") {
    CHECK(backups.left_after(backups.params(2, 2, 2, 2)) ==
          Names{"2025-12-31", "2026-10-31", "2026-11-15", "2026-11-20", "2026-11-21"});
  }
  SUBCASE("none at all: the newest that verifies stays all the same") {
    CHECK(backups.left_after(backups.params(0, 0, 0, 0)) == Names{"2026-11-21"});
  }
}

TEST_CASE("the plan says what would go, and touches nothing") {
  const Backups backups;
  backups.add("a", "2026-11-21T03:00:00Z");
  backups.add("b", "2026-11-20T03:00:00Z");
  sys::make_folders(backups.folder.path() + "/unfinished");
  backups.add("other", "2020-01-01T03:00:00Z", "another");
  const std::string before = sys::tree_digest(backups.folder.path());
  const Preview some = backups.preview(backups.params(1, 0, 0, 0));
  CHECK(some.summary.starts_with("remove 1 backup ("));
  CHECK(some.summary.ends_with("): b"));
  CHECK(some.hints == Names{"left alone: other is of another", "left alone: unfinished is not sealed"});
  CHECK(backups.preview(backups.params(2, 0, 0, 0)).verdict == Preview::Verdict::nothing_to_do);
  CHECK(sys::tree_digest(backups.folder.path()) == before);
}

TEST_CASE("a damaged backup does not stand for the good one behind it") {
  const Backups backups;
  backups.add("new", "2026-11-21T03:00:00Z");
  backups.add("good", "2026-11-20T03:00:00Z");
  backups.add("old", "2026-11-19T03:00:00Z");
  sys::write_file(backups.folder.path() + "/new/file", "cut", 0644);
  sys::write_file(backups.folder.path() + "/new/file", "", 0644);
  const Preview preview = backups.preview(backups.params(1, 0, 0, 0));
  CHECK(preview.hints.at(0).starts_with("left alone: new would not restore: "));
  CHECK(backups.left_after(backups.params(1, 0, 0, 0)) == Names{"good", "new"});
}

TEST_CASE("the newest is read to its last byte before one behind it goes, if that is not forgone") {
  const Backups backups;
  for (const char* day : {"19", "20", "21"}) backups.add(day, "2026-11-" + std::string(day) + "T03:00:00Z");
  sys::write_file(backups.folder.path() + "/21/file", "12", 0644);
  Json params = backups.params(1, 0, 0, 0);
  CHECK(backups.preview(params).summary.ends_with(": 20, 19"));  // by names and sizes
  SUBCASE("as it is") {
    CHECK(backups.left_after(params) == Names{"20", "21"});
  }
  SUBCASE("quick") {
    params["depth"] = "quick";
    CHECK(backups.left_after(params) == Names{"21"});
  }
}
