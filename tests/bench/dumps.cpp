#include "tests/bench/dumps.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/process.h"
#include "tests/bench/measure.h"
#include "tests/support/postgres.h"

namespace relight::bench {
namespace {

constexpr int rounds = 5, tables = 200, resumed_rows = 10000;  // rows: of each table

std::string shell(const std::string& line, const std::string& as = "") {
  sys::Command command;
  command.argv = {"/bin/sh", "-ec", line};
  command.cwd = "/";
  command.as = as;
  return sys::output_of(command, "cannot prepare the benchmark");
}

double timed(const std::string& line) {
  const auto began = std::chrono::steady_clock::now();
  shell(line, "postgres");
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// A custom dump of a database, and the folder in which the benchmark works.
struct Dump {
  sys::TempFolder temp{"/var/tmp"};
  std::string root = temp.path(), dump = root + "/made.dump", bin = "/usr/lib/postgresql/15/bin/";

  explicit Dump(const std::string& sql) {
    shell("chown postgres:postgres " + root + " && chmod 755 " + root);
    Postgres server({.fsync = false, .archive = false, .initdb = {}, .settings = {{"max_wal_size", "8GB"}}});
    server.execute("create database made");
    server.execute(sql, "made");
    const std::string file = server.folder() + "/made.dump";
    server.run("pg_dump", {"--format=custom", "--compress=1", "--file=" + file, "made"});
    sys::copy_tree(file, dump);
    shell("chmod 644 " + dump);
  }
  std::string data() const { return root + "/cluster"; }
  // Put aside, as ext4 is slow to make files where many were removed just before; and taken out of the page
  // cache: in a virtual machine memory that was not used yet costs the kernel up to a second a run, by chance
  // in one program's or the other's.
  void clear() const {
    const std::string aside = root + "/cluster-" + sys::random_hex(4);
    if (sys::exists(data())) sys::rename_new(data(), aside);
    sys::remove_tree(root + "/state");
    ::sync();
    if (!sys::exists(aside)) return;
    sys::walk(aside, [&](const sys::Entry& entry) {
      const sys::Fd file(open((aside + "/" + entry.path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      if (file) posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
    });
  }
  std::string book(const std::string& step) const {
    const std::string path = root + "/book.lua";
    sys::write_file(path, "runbook \"bench\" {}\n" + step + "\n", 0644);
    return path;
  }
  std::vector<std::string> relight(const std::string& word, const std::string& book = "") const {
    std::vector<std::string> argv = {RELIGHT_PROGRAM, "--state", root + "/state", word, "--yes"};
    if (!book.empty()) argv.push_back(book);
    return argv;
  }
};

// A server that an operator would have, on a new cluster: every setting its default.
class DefaultServer {
 public:
  explicit DefaultServer(const Dump& dump) : dump_(dump) {
    shell(dump.bin + "initdb -D " + dump.data() +
              " -A trust -E UTF8 --locale=C.UTF-8 >/dev/null && setsid -w " + dump.bin + "pg_ctl -D " +
              dump.data() + " -l " + dump.root + "/log -w -o \"-k " + dump.root +
              " -c listen_addresses=''\" start >/dev/null",
          "postgres");
  }
  ~DefaultServer() {
    if (up_) stop();
  }
  void stop() {
    up_ = false;
    shell(dump_.bin + "pg_ctl -D " + dump_.data() + " -w -m fast stop >/dev/null", "postgres");
  }

 private:
  const Dump& dump_;
  bool up_ = true;
};

int load(const std::string& name, double target, const std::string& sql) {
  const Dump dump(sql);
  const std::string book = dump.book(fmt::format(
      "postgres.load \"database\" {{ dump = \"{}\", database = \"made\", data = \"{}\", version = 15, "
      "checksums = false, jobs = 2, as = \"postgres\" }}",
      dump.dump, dump.data()));
  // Both end with a new cluster that holds the dump. Told besides: against a cluster that was there.
  std::vector<double> ours, there;
  compare(
      name, target, rounds,
      [&] {
        dump.clear();
        return ours.emplace_back(seconds_of(dump.relight("run", book)));
      },
      [&] {
        dump.clear();
        const auto began = std::chrono::steady_clock::now();
        const DefaultServer server(dump);
        const std::string to = " -h " + dump.root + " -U postgres ";
        there.push_back(timed(dump.bin + "createdb" + to + "made && " + dump.bin + "pg_restore" + to +
                              "-j2 -d made " + dump.dump + " && " + dump.bin + "vacuumdb" + to +
                              "--analyze-only -q -j2 -d made && sync -f " + dump.data()));
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
      });
  compare_besides("without the peer's initdb and start", ours, there);
  dump.clear();
  return 0;
}

std::string many(int rows) {
  return fmt::format(
      "do $$ begin for i in 1..{} loop execute format('create table t%s (id serial primary key, who int, "
      "body "
      "text, at timestamptz); insert into t%s (who, body, at) select j %% 97, md5(j::text) || md5((j * "
      "7)::text), "
      "timestamptz ''2026-01-01Z'' + j * interval ''1 s'' from generate_series(1, {}) j; create index on t%s "
      "(who); "
      "create index on t%s (at)', i, i, i, i); end loop; end $$",
      tables, rows);
}

void killed_at(double part, const Dump& dump, const std::string& book) {
  const auto loaded = [&]() -> int {
    try {
      const std::string host = "host=" + dump.root + " user=postgres dbname=";
      sys::Sql all(host + "postgres");
      const sys::Rows fresh = all.query("select datname from pg_database where datname like 'relight\\_2%'");
      if (fresh.rows.empty()) return 0;
      sys::Sql one(host + fresh.one());
      // Whole: its rows, which come first, and its three indexes.
      return std::stoi(one.query("select count(*) from (select from pg_index where indrelid in (select relid "
                                 "from pg_stat_user_tables) group by indrelid having count(*) = 3) whole")
                           .one());
    } catch (const Error&) {
      return 0;
    }
  };
  kill_when(
      dump.relight("run", book), [&] { return loaded() >= part * tables; }, std::chrono::milliseconds(20));
}

}  // namespace

int dump_many() {
  return load("dump-many", 0.8, many(20000));
}

int dump_one() {
  return load(
      "dump-one", 1.0,
      "create table t (id bigserial primary key, body text); insert into t (body) select md5(j::text) || "
      "md5((j * 7)::text) from generate_series(1, 4000000) j");
}

int resume_dump() {
  const Dump dump(many(resumed_rows));
  const std::string book =
      dump.book(fmt::format("postgres.restore \"database\" {{ dump = \"{}\", database = \"made\", server = "
                            "\"host={} user=postgres\", jobs = 2, as = \"postgres\" }}",
                            dump.dump, dump.root));
  const DefaultServer server(dump);
  const auto clear = [&] {
    sys::remove_tree(dump.root + "/state");
    shell(dump.bin + "psql -qAt -h " + dump.root +
              " -d postgres -c \"select format('drop database %I with (force)', datname) from pg_database "
              "where "
              "datname ~ '^(made|relight)'\" | " +
              dump.bin + "psql -qAt -h " + dump.root + " -d postgres && " + dump.bin + "psql -q -h " +
              dump.root + " -d postgres -c checkpoint",
          "postgres");
    ::sync();
  };
  compare(
      "resume-dump", 0.25, rounds,
      [&] {
        clear();
        killed_at(0.9, dump, book);
        return seconds_of(dump.relight("resume"));
      },
      [&] {
        clear();
        return seconds_of(dump.relight("run", book));
      });
  clear();
  killed_at(0.9, dump, book);
  seconds_of(dump.relight("resume"));
  for (int i = 1; i <= tables; ++i) {
    const std::string found =
        shell(fmt::format("{}psql -qAt -h {} -d made -c 'select count(*), count(distinct id) from t{}'",
                          dump.bin, dump.root, i),
              "postgres");
    if (found != fmt::format("{0}|{0}\n", resumed_rows)) {
      fmt::print(stderr, "bench: t{} has {} rows\n", i, found);
      return 1;
    }
  }
  return 0;
}

}  // namespace relight::bench
