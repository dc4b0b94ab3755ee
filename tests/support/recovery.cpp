#include "tests/support/recovery.h"

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"
#include "tests/support/failpoint.h"

namespace relight {

void work_in_memory() {
  struct Memory {
    std::string path = "/tmp/relight-memory-XXXXXX";
    Memory() {
      REQUIRE(mkdtemp(path.data()) != nullptr);
      REQUIRE(mount("none", path.c_str(), "tmpfs", 0, "size=4g,mode=1777") == 0);
      setenv("TMPDIR", path.c_str(), 1);
    }
    ~Memory() {
      umount2(path.c_str(), MNT_DETACH);
      rmdir(path.c_str());
    }
    Memory(const Memory&) = delete;
  };
  static const Memory memory;
}

namespace {

std::string in_memory() {
  work_in_memory();
  return "";
}

PostgresOptions small_segments() {
  work_in_memory();
  return {.fsync = false, .archive = true, .initdb = {"--wal-segsize=1"}, .settings = {}};
}

}  // namespace

void give_to_postgres(const std::string& path) {
  sys::Command command;
  command.argv = {"chown", "-R", "postgres:postgres", path};
  sys::output_of(command, "cannot give to postgres");
}

Source::Source(const std::vector<std::string>& backup, const std::string& prepare)
    : server(small_segments()), base(server.folder() + "/base") {
  server.execute("create table t (i int)");
  if (!prepare.empty()) server.execute(prepare);
  server.base_backup(base, backup);
}

void Source::insert(int number) {
  server.execute("insert into t values (" + std::to_string(number) + ")");
}

std::string Source::now() const {
  const auto ask = [&] {
    return server.value(
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
  };
  const std::string moment = ask();
  while (ask() == moment) {
  }
  return moment;
}

std::string Source::lsn() const {
  return server.value("select pg_current_wal_lsn()");
}

RecoverAttempt::RecoverAttempt(const Json& params, const std::string& run, const std::string& type)
    : folder_(in_memory()), run_(run), type_(type) {
  Json all = params;
  if ((type == "postgres.recover" || type == "postgres.load") && !all.contains("data")) all["data"] = data();
  params_ = all.dump();
  give_to_postgres(folder());
}
RecoverAttempt::~RecoverAttempt() = default;

namespace {

// Notes in a file, so that a killed attempt's are there for the next.
class RecoverCall : public DurableCall {
 public:
  RecoverCall(const std::string& run, const std::string& folder)
      : DurableCall("database", folder + "/notes.json"), run_(run), log_(folder + "/log.txt") {}
  const std::string& run() const override { return run_; }
  void log(const std::string& line) override {
    if (getenv("RELIGHT_TEST_LOG") != nullptr) std::fprintf(stderr, "  log: %s\n", line.c_str());
    sys::write_file(log_, sys::read_file_if_there(log_).value_or("") + line + "\n", 0600);
  }

 private:
  const std::string run_, log_;
};

}  // namespace

Outcome RecoverAttempt::call(const std::function<Json(const Step&, const Params&, Call&)>& act,
                             FailpointWatch watch, bool preview_only, bool full) const {
  return in_child(
      "postgres",
      [&] {
        const StepType& type = type_named(type_);
        const TestParams params(type, params_);
        RecoverCall call(run_, folder());
        call.preview_only = preview_only;
        call.full = full;
        return act(*type.make(), params, call);
      },
      std::move(watch));
}

Outcome RecoverAttempt::preview(bool full) const {
  return call(
      [](const Step& step, const Params& params, Call& call) {
        const Preview preview = step.preview(params, call);
        Json problems = Json::array(), hints = Json::array();
        for (const Problem& p : preview.problems) {
          problems.push_back(p.what + ": " + p.on + ": " + p.why);
          hints.push_back(p.hint);
        }
        const char* verdicts[] = {"nothing_to_do", "would_change", "cannot_yet_tell"};
        return Json{{"verdict", verdicts[static_cast<int>(preview.verdict)]},
                    {"summary", preview.summary},
                    {"problems", problems},
                    {"mends", hints},
                    {"hints", preview.hints},
                    {"cannot_undo", preview.cannot_undo},
                    {"space", preview.space},
                    {"keeps", preview.keeps}};
      },
      {}, true, full);
}

Outcome RecoverAttempt::apply(FailpointWatch watch) const {
  return call([](const Step& step, const Params& params, Call& call) { return step.apply(params, call); },
              std::move(watch));
}

Outcome RecoverAttempt::undo(const std::string& killed_at) const {
  return call(
      [](const Step& step, const Params& params, Call& call) {
        step.undo(params, call, nullptr);
        return Json();
      },
      crash_at(killed_at));
}

Outcome RecoverAttempt::discard() const {
  return call(
      [](const Step& step, const Params& params, Call& call) {
        step.discard(params, call, nullptr);
        return Json();
      },
      {});
}

Outcome RecoverAttempt::kept() const {
  return call(
      [](const Step& step, const Params& params, Call& call) { return step.kept(params, call, nullptr); },
      {});
}

Outcome RecoverAttempt::check() const {
  return call(
      [](const Step& step, const Params& params, Call& call) {
        Json outputs;
        return Json{{"done", step.check(params, call, outputs) == Done::yes}, {"outputs", outputs}};
      },
      {});
}

std::string RecoverAttempt::digest() const {
  const Outcome told = call(
      [](const Step& step, const Params& params, Call& call) { return step.state_digest(params, call); }, {});
  REQUIRE(told.error == "");
  return told.value.get<std::string>();
}

std::string RecoverAttempt::log() const {
  return sys::read_file_if_there(folder() + "/log.txt").value_or("");
}

std::string value_in_stopped(const std::string& data, const std::string& sql, const std::string& database) {
  sys::Command command;
  command.argv = {Postgres::program("postgres"), "--single", "-D", data, "-c",
                  "log_min_messages=panic",      database};
  command.as = "postgres";
  command.cwd = "/";
  command.stdin_text = sql + "\n";
  const std::string text = sys::output_of(command, "cannot ask the cluster");
  const std::size_t at = text.rfind("= \"");
  return at == std::string::npos ? text : text.substr(at + 3, text.find('"', at + 3) - at - 3);
}

std::string rows_of(const std::string& data, const std::string& table) {
  const sys::TempFolder sockets;
  give_to_postgres(sockets.path());
  const auto pg_ctl = [&](const std::vector<std::string>& arguments) {
    sys::Command command;
    command.argv = {Postgres::program("pg_ctl"), "-D", data, "-w", "-s", "-l", sockets.path() + "/log"};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.as = "postgres";
    command.cwd = "/";
    sys::output_of(command, "cannot run pg_ctl");
  };
  pg_ctl(
      {"-o",
       "-c listen_addresses='' -c archive_mode=off -c port=5432 -c unix_socket_directories=" + sockets.path(),
       "start"});
  std::string rows;
  {
    sys::Sql sql("host=" + sockets.path() + " port=5432 user=postgres dbname=postgres");
    rows = sql.query("select coalesce(string_agg(i::text, ' ' order by i), 'none') from " + table).one();
  }
  pg_ctl({"-m", "fast", "stop"});
  return rows;
}

namespace {

int pid_of_copy(const std::string& data) {
  const int pid = std::atoi(sys::read_file_if_there(data + "/postmaster.pid").value_or("0").c_str());
  return pid > 0 && sys::alive(sys::process_now(pid)) ? pid : 0;
}

}  // namespace

std::string server_of_copy(const std::string& data, bool exact) {
  const int pid = pid_of_copy(data);
  if (pid == 0) return "";
  return "a server" + (exact ? " " + std::to_string(pid) : "");
}

void end_copy(const std::string& data) {
  const int pid = pid_of_copy(data);
  if (pid == 0) return;
  kill(pid, SIGQUIT);
  REQUIRE(sys::wait_until(std::chrono::seconds(30), std::chrono::milliseconds(10), {}, [&] {
    waitpid(pid, nullptr, WNOHANG);  // it may have come to us
    return !sys::alive(sys::process_now(pid));
  }));
}

std::string rows_of_copy(const std::string& url, const std::string& table) {
  sys::Sql sql(url);
  return sql.query("select coalesce(string_agg(i::text, ' ' order by i), 'none') from " + table).one();
}

}  // namespace relight
