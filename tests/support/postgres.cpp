#include "tests/support/postgres.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "runner/sys/error.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"
#include "tests/support/port.h"

namespace relight {

using namespace std::chrono_literals;

Postgres::Postgres(PostgresOptions options) : options_(std::move(options)), port_(free_port()) {
  const sys::User user = sys::user_named("postgres");
  if (::chown(folder().c_str(), user.uid, user.gid) != 0 || ::chmod(folder().c_str(), 0755) != 0)
    throw system_error(errno, "cannot give away", folder());
  std::vector<std::string> arguments{"--pgdata=" + data(), "--username=postgres", "--auth=trust",
                                     "--encoding=UTF8",    "--locale=C.UTF-8",    "--no-sync"};
  arguments.insert(arguments.end(), options_.initdb.begin(), options_.initdb.end());
  run("initdb", arguments);
  std::map<std::string, std::string> settings{
      {"listen_addresses", "'127.0.0.1'"},
      {"port", std::to_string(port_)},
      {"unix_socket_directories", "'" + socket_folder() + "'"},
      {"fsync", options_.fsync ? "on" : "off"},
      {"max_connections", "30"},
      {"shared_buffers", "'16MB'"},
      {"log_line_prefix", "'%m [%p] '"},
  };
  if (options_.archive) {
    sys::make_folders(archive_folder());
    if (::chown(archive_folder().c_str(), user.uid, user.gid) != 0)
      throw system_error(errno, "cannot give away", archive_folder());
    const std::string to = archive_folder() + "/";
    settings["archive_mode"] = "on";
    settings["archive_command"] =
        "'test ! -e " + to + "%f && cp %p " + to + ".%f.tmp && mv " + to + ".%f.tmp " + to + "%f'";
  }
  for (const auto& [name, text] : options_.settings) settings[name] = text;
  std::ofstream file(data() + "/postgresql.conf", std::ios::app);
  for (const auto& [name, text] : settings) file << name << " = " << text << "\n";
  if (!file.flush()) throw Error(ErrorKind::permanent, "cannot write", data() + "/postgresql.conf", "");
  file.close();
  start();
}

Postgres::~Postgres() {
  stop(Stop::immediate);
}

void Postgres::start() {
  const sys::User user = sys::user_named("postgres");
  const std::string program = Postgres::program("postgres"), folder = data(), log_file = log();
  const char* const argv[] = {program.c_str(), "-D", folder.c_str(), nullptr};
  std::vector<const char*> env = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8"};
  for (const std::string& one : options_.env) env.push_back(one.c_str());
  env.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw system_error(errno, "cannot start", program);
  if (pid_ == 0) {  // only what is safe after a fork
    const int log_fd = ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    const int nothing = ::open("/dev/null", O_RDONLY);
    const gid_t group = user.gid;
    if (log_fd < 0 || nothing < 0 || ::dup2(nothing, 0) < 0 || ::dup2(log_fd, 1) < 0 ||
        ::dup2(log_fd, 2) < 0 || ::setsid() < 0 || ::setgroups(1, &group) != 0 || ::setgid(user.gid) != 0 ||
        ::setuid(user.uid) != 0)
      ::_exit(126);
    ::close_range(3, ~0u, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);  // after setuid, which clears it: an immediate shutdown
    if (::getppid() != parent) ::_exit(125);
    ::execve(program.c_str(), const_cast<char**>(argv), const_cast<char**>(env.data()));
    ::_exit(127);
  }
  std::string why = "it does not answer within 60 s";
  const bool up = sys::wait_until(60s, 10ms, {}, [&] {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      why = "it has ended";
      return true;
    }
    const std::string lines = sys::read_file_if_there(data() + "/postmaster.pid").value_or("");
    return lines.find("\nready") != std::string::npos;
  });
  if (up && pid_ > 0) return;
  stop(Stop::kill);
  const std::string text = sys::read_file_if_there(log()).value_or("");
  throw Error(
      ErrorKind::permanent, "cannot start", data(),
      why + "; its log ends with: " + text.substr(text.size() - std::min<std::size_t>(text.size(), 2000)));
}

void Postgres::stop(Stop how) {
  if (pid_ <= 0) return;
  ::kill(pid_, how == Stop::fast ? SIGINT : how == Stop::immediate ? SIGQUIT : SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

void Postgres::reload() const {
  const std::string before = value("select pg_conf_load_time()");
  execute("select pg_reload_conf()");
  if (!sys::wait_until(60s, 10ms, {}, [&] { return value("select pg_conf_load_time()") != before; }))
    throw Error(ErrorKind::permanent, "cannot reload", data(), "it has not within 60 s");
}

std::string Postgres::conninfo(const std::string& database) const {
  return "host=" + socket_folder() + " port=" + std::to_string(port_) + " user=postgres dbname=" + database;
}

std::string Postgres::url(const std::string& database) const {
  return "postgresql://postgres@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

sys::Sql Postgres::connect(const std::string& database) const {
  return sys::Sql(conninfo(database));
}

void Postgres::execute(const std::string& sql, const std::string& database) const {
  connect(database).execute(sql);
}

std::string Postgres::value(const std::string& sql, const std::string& database) const {
  return connect(database).query(sql).one();
}

std::string Postgres::archive_now() const {
  sys::Sql sql = connect();
  sql.query(
      "select pg_logical_emit_message(false, 'test', 'a record, so that there is something to switch')");
  const std::string name = sql.query("select pg_walfile_name(pg_switch_wal())").one();
  if (!sys::wait_until(60s, 10ms, {}, [&] { return sys::exists(archive_folder() + "/" + name); }))
    throw Error(ErrorKind::permanent, "cannot archive", name, "it has not come within 60 s");
  return name;
}

void Postgres::base_backup(const std::string& to, const std::vector<std::string>& arguments) const {
  const sys::User user = sys::user_named("postgres");
  sys::make_folders(to);
  if (::chown(to.c_str(), user.uid, user.gid) != 0 || ::chmod(to.c_str(), 0700) != 0)
    throw system_error(errno, "cannot give away", to);
  std::vector<std::string> all{"--pgdata=" + to, "--checkpoint=fast", "--no-sync"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  run("pg_basebackup", all);
}

std::string Postgres::run(const std::string& program, const std::vector<std::string>& arguments) const {
  sys::Command command;
  command.argv = {Postgres::program(program)};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.env = {{{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                  {"LC_ALL", "C.UTF-8"},
                  {"PGHOST", socket_folder()},
                  {"PGPORT", std::to_string(port_)},
                  {"PGUSER", "postgres"}}};
  command.cwd = "/";
  command.as = "postgres";
  return sys::output_of(command, "cannot run " + program);
}

}  // namespace relight
