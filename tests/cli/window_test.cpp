// From when to when a folder of base backups and WAL can be recovered, as the program tells it.
#include <doctest/doctest.h>

#include <filesystem>

#include "runner/sys/json_whole.h"
#include "tests/support/program.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// base, row 1, point good, base-2, 150 rows deleted, a table dropped, row 2.
struct Kept {
  Source source;
  sys::TempFolder folder;
  std::string first_gone;  // the first segment behind the deletion
  std::string before_delete;

  Kept() {
    sys::Command move;
    source.insert(1);
    source.server.execute("select pg_create_restore_point('good')");
    source.server.execute("create table many as select generate_series(1, 150) i; create table dropped ()");
    first_gone = source.server.archive_now();
    source.server.base_backup(source.server.folder() + "/base-2", {"--format=tar", "--wal-method=none"});
    before_delete = source.now();
    source.server.execute("begin; delete from many where i < 50; savepoint a; delete from many; commit");
    source.server.execute("drop table dropped");
    source.server.archive_now();
    source.insert(2);
    source.server.archive_now();
    source.server.stop();
    for (const char* name : {"base", "base-2"})
      std::filesystem::copy(source.server.folder() + "/" + name, path(name));
    std::filesystem::copy(source.server.archive_folder(), path("wal"));
    give_to_postgres(folder.path());
  }
  std::string path(const std::string& name) const { return folder.path() + "/" + name; }
};

const Kept& kept() {
  static const Kept one;
  return one;
}

struct Copy {
  sys::TempFolder folder;
  Bench bench;
  Copy() { std::filesystem::copy(kept().folder.path(), path(), std::filesystem::copy_options::recursive); }
  std::string path(const std::string& name = "") const { return folder.path() + "/kept/" + name; }
  Ran window(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"window", folder.path() + "/kept"});
    return bench.relight(std::move(more));
  }
  Json json(std::vector<std::string> more = {}) const {
    more.push_back("--json");
    return sys::parse_json(window(std::move(more)).out);
  }
};

void holds(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK_MESSAGE(flat(text).find(part) != std::string::npos, "should hold: " << part);
}

}  // namespace

TEST_CASE("a folder of base backups and WAL tells one window, its named points and its large deletions") {
  const Copy copy;
  const Ran ran = copy.window();
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  holds(ran.out, "any moment from ");
  holds(ran.out, " UTC (lsn:0/");
  holds(ran.out, "begins with " + copy.path("base of 20"));
  holds(ran.out, copy.path("base-2 of 20"));
  holds(ran.out, "named point good: ");
  CHECK(copy.window({"--depth", "full"}).exit == 0);

  const Json told = copy.json({"--around", kept().before_delete});
  REQUIRE(told["windows"].size() == 1);
  REQUIRE(told["named"].size() == 1);
  CHECK(told["gaps"] == Json::array());
  REQUIRE(told["deletions"].size() == 2);
  CHECK(told["deletions"][0]["name"] == "150 rows deleted");
  CHECK(told["deletions"][1]["name"] == "1 file of tables or indexes dropped, truncated or rewritten");
  CHECK(copy.json()["deletions"] == Json::array());

  // What is told can be written as a moment: both ends of the window, the point, and before the deletion.
  const Json& window = told["windows"][0];
  const auto recovered = [&](const Json& to, const std::string& table) {
    const RecoverAttempt attempt({{"base", copy.path("base")}, {"wal", {copy.path("wal")}}, {"to", to}});
    const Outcome done = attempt.apply();
    CAPTURE(to.dump());
    REQUIRE(done.error == "");
    return rows_of(attempt.data(), table);
  };
  give_to_postgres(copy.folder.path());
  CHECK(recovered(window["from"], "t") != "1 2");  // told by the first commit, or by a second begun
  CHECK(recovered(window["from_at"], "t") == "none");
  CHECK(recovered(window["to"], "t") == "1 2");
  CHECK(recovered(window["to_at"], "t") == "1 2");
  CHECK(recovered(told["named"][0]["at"], "t") == "1");
  CHECK(recovered(told["deletions"][0]["at"], "(select count(*) as i from many) n") == "150");
  CHECK(recovered(told["deletions"][1]["at"], "(select count(*) as i from many) n") == "0");
}

TEST_CASE("a gap ends a window, the next base backup begins another, and what is cut off is told") {
  const Copy copy;
  sys::remove_file(copy.path("wal/" + kept().first_gone));
  const Ran ran = copy.window();
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 1);
  holds(ran.out, "a WAL segment is missing: " + kept().first_gone + ": recovery is possible up to ");
  holds(ran.out, " behind the gap");
  const Json told = copy.json();
  CHECK(told["windows"].size() == 2);
  CHECK(told["gaps"].size() == 1);
}

TEST_CASE("a damaged base backup begins no window, and a folder without any has none") {
  const Copy copy;
  std::filesystem::resize_file(copy.path("base/base.tar"),
                               std::filesystem::file_size(copy.path("base/base.tar")) / 2);
  CHECK(copy.window().exit == 1);
  const Json told = copy.json();
  REQUIRE(told["windows"].size() == 1);
  holds(told["windows"][0]["base"], "base-2 of 20");
  REQUIRE(told["gaps"].size() >= 1);

  std::filesystem::remove_all(copy.path("base"));
  std::filesystem::remove_all(copy.path("base-2"));
  const Ran none = copy.window();
  CHECK(none.exit == 1);
  holds(none.out, "this is no base backup");
  holds(none.out, "it cannot be recovered to any moment");
  std::filesystem::remove_all(copy.path("wal"));
  const Ran nothing = copy.window();
  CHECK(nothing.exit == 2);
  holds(nothing.err, "there is nothing that could be recovered to a moment");
  CHECK(copy.bench.relight({"window", copy.path("nowhere")}).exit == 2);
}
