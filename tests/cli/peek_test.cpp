// A few rows pulled out of a backup while the production that it is of runs.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>

#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/postgres.h"
#include "tests/support/program.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// A live server, of whose notes some were deleted by mistake after the moment.
struct Production {
  Production() {
    server.execute("create database app");
    server.execute(
        "create schema crm; create table notes (i int, body text);"
        " create table crm.people (name text); create table crm.notes (i int);"
        " insert into crm.people values ('Ada'), ('Grace, \"Amazing\"')",
        "app");
    server.base_backup(base);
    server.execute("insert into notes select i, 'note ' || i from generate_series(1, 20) i", "app");
    moment = server.value(
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    server.execute("delete from notes where i > 3", "app");
    server.archive_now();
  }
  std::string book() const {
    return R"(
runbook "rebuild" { budget = { rto = "30m" } }
approve "fenced" { prompt = "Is the old host off?" }
postgres.recover "database" {
  base = ")" +
           base + R"(", wal = { ")" + server.archive_folder() + R"(" },
  data = ")" +
           server.data() + R"(", replace = true, database = "app", as = "postgres",
}
shell.run "never" { command = { "/bin/false" } }
)";
  }
  Postgres server{{.fsync = false, .archive = true, .initdb = {}, .settings = {}}};
  std::string base = server.folder() + "/base", moment;
};

const Production& production() {
  work_in_memory();
  static const Production one;
  return one;
}

struct Looking : Bench {
  // In memory; empty: where peek puts it of its own accord, on this disk.
  std::string into;
  explicit Looking(bool named = true) {
    if (named) into = production().server.folder() + "/copy";
    const std::string text = production().book();
    write("book.lua", text);
    chmod(path().c_str(), 0755);
  }
  ~Looking() {
    for (const std::string& copy : copies()) end_copy(copy);
  }
  Ran peek(std::vector<std::string> more) const {
    more.insert(more.begin(), {"peek", file("book.lua")});
    if (!into.empty()) more.insert(more.end(), {"--into", into});
    return relight(std::move(more));
  }
  std::vector<std::string> copies() const {
    const std::string folder = file(state + "/peek/postgres");
    std::vector<std::string> found;
    if (!into.empty() && sys::exists(into)) found.push_back(into);
    if (sys::is_folder(folder))
      for (const std::string& name : sys::names_in(folder)) found.push_back(folder + "/" + name);
    return found;
  }
  // Nothing of it is left, and production has not noticed.
  void check_away() const {
    CHECK(copies().empty());
    CHECK(run_state() == "rolled-back");
    CHECK(production().server.value("select count(*) from notes", "app") == "3");
  }
};

bool holds(const std::string& text, const std::string& part) {
  CHECK_MESSAGE(flat(text).find(part) != std::string::npos, "should hold: " << part << "\nis: " << text);
  return true;
}

}  // namespace

TEST_CASE("rows of a table come back as CSV, and the copy is gone") {
  const Looking look(false);
  const Ran ran = look.peek(
      {"--to", production().moment, "--table", "public.notes", "--where", "i between 3 and 5 -- these"});
  CAPTURE(ran.err);
  CHECK(ran.exit == 0);
  CHECK(ran.out == "i,body\n3,note 3\n4,note 4\n5,note 5\n");
  holds(ran.err, "3 rows, as of 0/");
  look.check_away();
}

TEST_CASE("a query of one's own goes into a file") {
  const Looking look;
  const Ran ran =
      look.peek({"--sql", "select name from crm.people order by 1;", "--out", look.file("people.csv")});
  CAPTURE(ran.err);
  CHECK(ran.exit == 0);
  CHECK(ran.out == "");
  CHECK(look.read("people.csv") == "name\nAda\n\"Grace, \"\"Amazing\"\"\"\n");
  struct stat info {};
  REQUIRE(stat(look.file("people.csv").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  look.check_away();
}

TEST_CASE("another database of the cluster is looked into, where it has one of that name") {
  const Looking look;
  const Ran ran = look.peek({"--database", "postgres", "--sql", "select current_database() as it"});
  CAPTURE(ran.err);
  CHECK(ran.exit == 0);
  CHECK(ran.out == "it\npostgres\n");
  look.check_away();
}

TEST_CASE("a table that is not there names near ones, and leaves nothing") {
  const struct {
    const char *table, *says;
  } cases[] = {{"crm.peopel", "did you mean `crm.people`?"},
               {"public.people", "did you mean `crm.people`?"},
               {"notes", "there are crm.notes and public.notes"}};
  for (const auto& one : cases) {
    const Looking look;
    const Ran ran = look.peek({"--table", one.table, "--out", look.file("rows.csv")});
    CHECK(ran.exit == 3);
    holds(ran.err, one.says);
    CHECK_FALSE(sys::exists(look.file("rows.csv")));
    CHECK_FALSE(sys::exists(look.file(".rows.csv.tmp")));
    look.check_away();
  }
}

TEST_CASE("without a question the copy stays up until its run is rolled back") {
  const Looking look;
  const Ran ran = look.peek({});
  CAPTURE(ran.err);
  REQUIRE(ran.exit == 0);
  const std::string url = sys::trim(ran.out);
  CHECK(sys::Sql(url).query("select count(*) from notes").one() == "3");
  CHECK(look.run_state() == "done");
  holds(ran.err, "relight rollback " + look.status()["run"].get<std::string>());
  const Ran back = look.relight({"rollback", look.status()["run"].get<std::string>(), "--yes"});
  CHECK(back.exit == 0);
  look.check_away();
}

TEST_CASE("one that is killed, or told to end, leaves nothing that a rollback does not clear") {
  for (const int number : {SIGKILL, SIGINT}) {
    CAPTURE(number);
    const Looking look;
    const int pid =
        look.start({"peek", look.file("book.lua"), "--sql", "select pg_sleep(600)", "--into", look.into});
    const auto asked = [&] {
      try {
        for (const std::string& copy : look.copies())
          if (sys::Sql("host=" + copy + "/relight.work port=5432 dbname=app user=postgres")
                  .query("select count(*) from pg_stat_activity where query like 'copy (select pg_sleep%'")
                  .one() == "1")
            return true;
      } catch (const Error&) {
      }
      return false;
    };
    REQUIRE(sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(20), {}, asked));
    kill(pid, number);
    const int exit = wait_for_exit(pid);
    if (number == SIGINT) {
      CHECK(exit == 3);
    } else {
      CHECK(look.copies().size() == 1);
      CHECK(look.relight({"rollback", "--yes"}).exit == 0);
    }
    look.check_away();
  }
}

TEST_CASE("what cannot be peeked into is told before anything is started") {
  const Looking look(false);
  const struct {
    std::vector<std::string> more;
    const char* says;
  } cases[] = {
      {{"--step", "databse"}, "did you mean `database`?"},
      {{"--step", "never"}, "a shell.run leaves no copy to look into"},
      {{"--to", "yesterday"}, "cannot peek: to: "},
      {{"--to", "2020-01-01T00:00:00Z"}, "nothing was started"},
      {{"--where", "true"}, "no table is named"},
      {{"--table", "a", "--sql", "b"}, "--table is given, too"},
      {{"--out", "/tmp/rows"}, "nothing is asked for"},
      {{"--table", "notes", "--out", "/no/such/folder/rows"}, "cannot write the rows"},
      {{"--into", production().server.data()}, "a cluster is in the way of the copy"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.says);
    const Ran ran = look.peek(one.more);
    CHECK(ran.exit == 2);
    CHECK(ran.out == "");
    holds(ran.err, one.says);
  }
  CHECK_FALSE(sys::exists(look.file("state/runs")));
  look.write("book.lua", "runbook \"none\" {}\nshell.run \"a\" { command = { \"/bin/true\" } }\n");
  holds(look.peek({}).err, "no step of this runbook can leave a copy");
}
