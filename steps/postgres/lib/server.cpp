#include "steps/postgres/lib/server.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <filesystem>
#include <mutex>
#include <thread>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/proc.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "steps/postgres/lib/settings.h"

namespace relight::postgres {

using std::chrono::milliseconds;

namespace {

constexpr const char* not_in_that_state = "55000";  // SQLSTATE

// Where a process works; empty: it is gone, or another user's.
std::string folder_of(int pid) {
  std::error_code none;
  const auto path = std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/cwd", none);
  return none ? "" : path.string();
}

std::vector<sys::ProcessId> working_in(const std::string& folder, bool services_only) {
  std::vector<sys::ProcessId> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    int pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size() || pid == getpid()) continue;
    const std::string works = folder_of(pid);
    if (works != folder && works.rfind(folder + "/", 0) != 0) continue;
    if (services_only && !sys::proc_env(pid, "RELIGHT_TOKEN")) continue;
    const sys::ProcessId process = sys::process_now(pid);
    if (sys::alive(process)) found.push_back(process);
  }
  return found;
}

}  // namespace

bool takes_connections(const std::string& folder) {
  const std::string text = sys::read_file_if_there(folder + "/postmaster.pid").value_or("");
  return text.find("\nready") != std::string::npos || text.find("\nstandby") != std::string::npos;
}

sys::Sql connect_quietly(const std::string& socket_folder, const std::string& database,
                         const std::string& role, const Call& call) {
  return sys::Sql("", {{"host", socket_folder},
                       {"port", "5432"},
                       {"dbname", database},
                       {"user", role},
                       {"password", ""},
                       {"sslmode", "disable"},
                       {"application_name", "relight " + call.run() + " " + call.step()}});
}

std::string recovery_state(sys::Sql& sql) {
  return sql
      .query("select case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() else 'open' end")
      .one();
}

std::optional<int> running_server(const std::string& data_folder) {
  const auto text = sys::read_file_if_there(data_folder + "/postmaster.pid");
  if (!text) return std::nullopt;
  int pid = 0;
  std::from_chars(text->data(), text->data() + text->size(), pid);
  if (pid <= 0 || !sys::alive(sys::process_now(pid))) return std::nullopt;
  // After a reboot the number may be another program's.
  const std::string works = folder_of(pid);
  std::error_code none;
  if (!works.empty() && works != std::filesystem::canonical(data_folder, none).string()) return std::nullopt;
  return pid;
}

void refuse_while_running(const std::string& data_folder) {
  if (const auto pid = running_server(data_folder))
    throw Error(ErrorKind::refused, "a server runs on the data directory", data_folder,
                "its pid is " + std::to_string(*pid),
                "stop it first, with service.stop in a step before this one");
}

void end_left_behind(const std::string& folder, bool services_only) {
  if (!sys::exists(folder)) return;
  std::error_code none;
  const std::string real = std::filesystem::canonical(folder, none).string();
  // A server told to end at once takes its children and its shared memory with it.
  if (const auto server = running_server(folder)) kill(*server, SIGQUIT);
  const auto gone = [&] { return working_in(real, services_only).empty(); };
  if (!sys::wait_until(milliseconds(5000), milliseconds(20), {}, gone)) {
    for (const sys::ProcessId& process : working_in(real, services_only)) kill(process.pid, SIGKILL);
    if (!sys::wait_until(milliseconds(10000), milliseconds(20), {}, gone))
      throw Error(ErrorKind::needs_person, "a process of an earlier attempt cannot be ended",
                  "pid " + std::to_string(working_in(real, services_only).front().pid),
                  "it works in " + folder, "end it, then resume the run");
  }
  // postgres refuses to start while the number that its locks name is anybody's: a zombie's, or after a
  // reboot another program's.
  const std::string work = folder + "/" + work_folder;
  if (sys::is_folder(work))
    for (const std::string& name : sys::names_in(work))
      if (name.starts_with(".s.PGSQL.")) sys::remove_file(work + "/" + name);
  sys::remove_file(folder + "/postmaster.pid");
}

struct QuietServer::State {
  Call& call;
  const Programs& programs;
  std::string folder;
  sys::Fd work;  // the folder of the socket: named by descriptor, as a path may be too long for a socket
  std::thread thread;
  std::atomic<bool> ended{false}, end_it{false};
  sys::Result result;
  std::optional<Error> not_started;
  std::mutex mutex;
  std::string pending;             // output not yet shown
  std::vector<std::string> fatal;  // lines that say why it ended
  std::string completed;
  Timeline timeline = 0;
  std::size_t segments = 0;
  bool stopped = false;
};

QuietServer::QuietServer(const Programs& programs, const std::string& data_folder, Call& call,
                         std::vector<std::string> places, const std::map<std::string, std::string>& env)
    : state_(new State{.call = call,
                       .programs = programs,
                       .folder = data_folder,
                       .work = sys::Fd(),
                       .thread = {},
                       .result = {},
                       .not_started = {},
                       .mutex = {},
                       .pending = {},
                       .fatal = {},
                       .completed = {}}) {
  const std::string work = data_folder + "/" + work_folder;
  state_->work = sys::Fd(open(work.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!state_->work) throw system_error(errno, "cannot open", work);
  State* state = state_.get();
  places.push_back(data_folder);
  sys::Command command =
      programs.service("postgres", {"-D", data_folder, "-c", "config_file=" + work + "/postgresql.conf"},
                       std::move(places), "", env);
  command.cwd = data_folder;
  command.capture_stdout = false;
  command.on_output = [state](std::string_view bytes) {
    const std::lock_guard lock(state->mutex);
    state->pending += bytes;
  };
  command.stop = [state] { return state->end_it.load(); };
  state->thread = std::thread([state, command] {
    try {
      state->result = sys::run(command);
    } catch (const Error& error) {
      state->not_started = error;
    }
    state->ended = true;
  });
}

QuietServer::~QuietServer() {
  if (!ended()) {
    if (const auto pid = running_server(state_->folder)) kill(*pid, SIGQUIT);
    state_->end_it = true;
  }
  state_->thread.join();
}

bool QuietServer::ended() const {
  return state_->ended;
}

void QuietServer::drain() {
  std::string lines;
  {
    const std::lock_guard lock(state_->mutex);
    const std::size_t end = ended() ? state_->pending.size() : state_->pending.rfind('\n') + 1;
    lines = state_->pending.substr(0, end);
    state_->pending.erase(0, end);
  }
  for (const std::string& line : sys::split(lines, '\n')) {
    if (line.empty()) continue;
    state_->call.log(line);
    const auto after = [&](const std::string& word) -> std::string {
      const std::size_t at = line.find(word);
      return at == std::string::npos ? "" : line.substr(at + word.size());
    };
    for (const char* word : {"FATAL:  ", "PANIC:  "})
      // Not the refusals of our own early connections.
      if (const std::string text = after(word);
          !text.empty() && text.rfind("the database system is ", 0) != 0)
        state_->fatal.push_back(text);
    // Of the restore_command, which knows more than that it failed.
    if (line.starts_with("relight: ")) state_->fatal.push_back(line.substr(line.find(' ') + 1));
    if (const std::string file = after("restored log file \""); file.size() > 24) {
      if (const auto segment = parse_segment(file.substr(0, 24), smallest_segment_size)) {
        state_->timeline = std::max(state_->timeline, segment->timeline);
        ++state_->segments;
      }
    }
    if (const std::string time = after("last completed transaction was at log time "); !time.empty())
      state_->completed = time;
  }
}

void QuietServer::ended_by_itself() {
  drain();
  if (state_->not_started) throw Error(*state_->not_started);
  std::string why = "it ended with exit code " + std::to_string(state_->result.exit_code);
  if (!state_->fatal.empty()) why = state_->fatal.front();
  throw Error(ErrorKind::permanent, "the server that replays the WAL has ended", state_->folder, why,
              "see the step's log for what it said before; the target is as it was");
}

sys::Sql QuietServer::connect(const std::string& database, const std::string& role) {
  return connect_quietly("/proc/self/fd/" + std::to_string(state_->work.get()), database, role, state_->call);
}

QuietServer::Found QuietServer::await(const std::string& role, std::size_t segments) {
  std::optional<sys::Sql> sql;
  while (true) {
    drain();
    state_->call.progress("replay", std::min(state_->segments, segments), segments);
    if (ended()) ended_by_itself();
    state_->call.stop_here_if_wanted();
    try {
      if (!sql && takes_connections(state_->folder)) sql.emplace(connect("template1", role));
      const std::string state = sql ? recovery_state(*sql) : "";
      if (state == "open") break;
      if (state == "paused") {
        drain();
        return Found::paused;
      }
    } catch (const sys::SqlError& error) {
      // It left the recovery between the two questions: asked again, it says so.
      const bool look_again = error.kind == ErrorKind::transient || error.sqlstate == not_in_that_state;
      if (!look_again)
        throw Error(error.kind, error.failed, error.on, error.why,
                    "write role = the name of a superuser of the recovered cluster");
      if (error.kind == ErrorKind::transient) sql.reset();
    }
    sys::wait_until(milliseconds(20), milliseconds(10), {}, [&] { return ended(); });
  }
  drain();
  return Found::open;
}

void QuietServer::promote(const std::string& role) {
  // It leaves the pause at once; told by pg_ctl it would look only once a second. And it ends with a
  // checkpoint, where pg_promote leaves a cluster that after a power cut would need WAL that nobody has
  // synced.
  connect("template1", role).query("select pg_wal_replay_resume()");
  if (await(role, state_->segments) != Found::open)
    throw Error(ErrorKind::permanent, "cannot end the recovery", state_->folder, "it has paused again");
}

void QuietServer::stop() {
  if (const auto pid = running_server(state_->folder)) kill(*pid, SIGINT);
  while (!ended()) {
    drain();
    state_->call.stop_here_if_wanted();
    sys::wait_until(milliseconds(250), milliseconds(10), {}, [&] { return ended(); });
  }
  drain();
  if (state_->not_started || state_->result.exit_code != 0) ended_by_itself();
}

Timeline QuietServer::timeline_read() const {
  return state_->timeline;
}
std::string QuietServer::last_completed() const {
  return state_->completed;
}

}  // namespace relight::postgres
