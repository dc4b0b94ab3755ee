#include "steps/postgres/lib/new_cluster.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/memory.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/control.h"
#include "steps/postgres/lib/dump_at_once.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/rename_definition.h"
#include "steps/postgres/lib/server.h"
#include "steps/postgres/lib/start_needs.h"
#include "steps/postgres/lib/taken_settings.h"

namespace relight::postgres {
namespace {

constexpr std::uint64_t mebi = 1u << 20;

// What one sort has freed the session keeps for the next: asked of the kernel anew for each index, page by
// page, it takes a fifth of their building. (glibc, malloc tunables; others pass over it.)
constexpr const char* keep_memory =
    "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=4294967296:glibc.malloc.top_pad=67108864";

void run(const std::string& program, sys::Command command, const std::string& what, Call& call) {
  const sys::Result result = call.run_program(std::move(command));
  if (result.ok()) return;
  const std::string why = told_errors(result.err_tail);
  throw Error(ErrorKind::permanent, what, program,
              why.empty() ? "it exited with " + std::to_string(result.exit_code) : why,
              "see the step's log; the target is as it was");
}

void configure(const NewCluster& cluster, int major, int jobs, const std::string& sockets) {
  const std::string work = cluster.folder + "/" + work_folder;
  sys::make_folders(work, 0700);
  sys::write_file(work + "/pg_hba.conf", quiet_hba(), 0600);
  sys::write_file(work + "/pg_ident.conf", "", 0600);
  Settings settings = quiet_settings(major, Demands(), cluster.folder);
  // The programs come by a folder of their own: a socket's path is short, and the cluster's may be long.
  settings.emplace_back("unix_socket_directories", std::string(work_folder) + "," + sockets);
  sys::write_file(work + "/postgresql.conf",
                  config_text(settings) + config_text(loading_settings(major, sys::spare_memory(), jobs)),
                  0600);
}

// Has the disk write what is loaded while the rest is loaded, so that the last sync is short. The kernel
// tells of a fault once: one that is told here is told by no later sync.
class SyncAhead {
 public:
  explicit SyncAhead(const std::string& folder)
      : path_(folder), folder_(open(folder.c_str(), O_RDONLY | O_CLOEXEC)), thread_([this] { run(); }) {}
  ~SyncAhead() { end(); }
  SyncAhead(const SyncAhead&) = delete;

  void finish() {  // throws what a sync came to
    end();
    if (fault_ != 0) throw system_error(fault_, "cannot sync", path_);
  }

 private:
  void end() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  void run() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::seconds(1), [this] { return over_; })) {
      lock.unlock();
      const int fault = syncfs(folder_.get()) == 0 ? 0 : errno;
      lock.lock();
      if (fault_ == 0) fault_ = fault;
    }
  }

  const std::string path_;
  const sys::Fd folder_;
  int fault_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

// What its server reads once it runs in its container.
void settle_in_image(const NewCluster& cluster, const Programs& programs) {
  if (!sys::exists(cluster.was + "/PG_VERSION")) {
    const std::string hba = cluster.folder + "/pg_hba.conf";
    sys::write_file(hba, sys::read_file(hba) + "host all all all scram-sha-256\n", 0600);
  }
  const std::string config = cluster.folder + "/postgresql.conf";
  if (!sys::exists(config)) return;  // the compose file names another
  const StartNeeds needs = start_needs(programs, config, cluster.folder);
  if (needs.problems.empty()) return;
  const Problem& first = needs.problems.front();
  throw Error(ErrorKind::permanent, first.what, first.on, first.why, first.hint);
}

}  // namespace

Settings loading_settings(int major, std::uint64_t memory, int jobs) {
  const auto between = [](std::uint64_t bytes, std::uint64_t least, std::uint64_t most) {
    return std::to_string(std::clamp(bytes / mebi, least, most)) + "MB";
  };
  Settings settings = {
      // Nothing of it is needed after a crash.
      {"fsync", "off"},
      {"synchronous_commit", "off"},
      {"full_page_writes", "off"},
      {"wal_level", "minimal"},
      {"max_wal_senders", "0"},
      {"checkpoint_timeout", "1d"},
      {"max_wal_size", "64GB"},
      {"wal_buffers", "64MB"},
      {"autovacuum", "off"},
      {"max_locks_per_transaction", "512"},
      // Rows and indexes pass it by, and every index that is built looks through all of it.
      {"shared_buffers", "128MB"},
      {"maintenance_work_mem",
       between(memory / 16 / static_cast<std::uint64_t>(std::max(jobs, 1)), 64, 1024)},
  };
  // The session that builds an index works, too.
  const unsigned cores = std::max(std::thread::hardware_concurrency(), 1u);
  settings.emplace_back("max_parallel_maintenance_workers", std::to_string(std::min(cores - 1, 4u)));
  // What is small would go into the WAL, too.
  if (major >= 13) settings.emplace_back("wal_skip_threshold", "0");
  return settings;
}

Json make_cluster(const NewCluster& cluster, const Programs& programs, DumpLoad load, const DumpLook& look,
                  const Globals& globals, Call& call) {
  std::vector<std::string> arguments = {
      "--pgdata=" + cluster.folder,
      "--username=" + cluster.role,
      "--locale=" + cluster.locale,
      "--encoding=UTF8",
      std::string("--auth-local=") + (programs.of_image() ? "trust" : "peer"),
      "--auth-host=scram-sha-256",
      "--no-sync",
      "--no-instructions"};
  if (cluster.checksums) arguments.push_back("--data-checksums");
  call.progress("initdb", 0, 0);
  DumpFeed feed(load, look);
  feed.decode_ahead(sys::spare_memory() / 8);
  std::vector<std::string> places;
  if (programs.of_image()) {  // it sees no other folder, and this one must be there
    sys::make_folders(cluster.folder, 0700);
    places = {cluster.folder};
  }
  run("initdb", programs.command("initdb", arguments, places), "cannot make a cluster", call);
  failpoint("postgres.load:made");
  const sys::TempFolder sockets;
  load.program.also_sees(sockets.path());
  configure(cluster, programs.major(), load.jobs, sockets.path());
  Json restored;
  SyncAhead ahead(cluster.folder);
  {
    QuietServer quiet(programs, cluster.folder, call, {sockets.path()}, {{"GLIBC_TUNABLES", keep_memory}});
    quiet.await(cluster.role, 0);
    failpoint("postgres.load:started");
    const DatabaseServer server({{"host", sockets.path()}, {"port", "5432"}, {"user", cluster.role}},
                                load.database, call);
    sys::Sql sql = server.connect(call);
    make_missing_roles(globals, sql, call, cluster.role);
    if (!cluster.password.empty()) set_password(sql, cluster.role, cluster.password);
    const bool spread = !cluster.tablespaces.empty();
    for (const NewTablespace& one : cluster.tablespaces) {
      sql.execute("CREATE TABLESPACE " + sys::quote_identifier(one.was) + " LOCATION " +
                  sys::quote_literal(one.folder));
      own_tablespace(globals, one.was, sql);
    }
    // What pg_restore leaves out with --no-tablespaces.
    sql.execute(creation(load.database, spread ? look.definition : without_tablespace(look.definition), ""));
    failpoint("postgres.load:created");
    if (load.format == DumpFormat::plain) {
      load_plain(load, server, call);
    } else {
      load_archive_at_once(load, look, server, spread, feed, call);
    }
    for (const std::string& statement : carried(load.database, look.definition, "")) sql.execute(statement);
    failpoint("postgres.load:loaded");
    call.progress("analyze", 0, 0);
    ClientProgram vacuumdb = programs.client("vacuumdb");
    vacuumdb.also_sees(sockets.path());
    std::map<std::string, std::string> variables = server.environment();
    variables["LC_ALL"] = "C";
    run("vacuumdb",
        vacuumdb.command({"--analyze-only", "--no-password", "--quiet", "--jobs=" + std::to_string(load.jobs),
                          "--dbname=" + load.database},
                         {}, std::move(variables)),
        "cannot gather statistics", call);
    restored = checked_restore(call, server, load.database, look, false);
    call.progress("stop", 0, 0);
    quiet.stop();
  }
  failpoint("postgres.load:stopped");
  if (const std::string state = read_control(programs, cluster.folder).state; state != "shut down")
    throw Error(ErrorKind::permanent, "the new cluster was not shut down cleanly", cluster.folder,
                "pg_control says \"" + state + "\"", "resume the run: it is made anew");
  take_settings_over(cluster.was, cluster.folder);
  if (programs.of_image()) settle_in_image(cluster, programs);
  sys::remove_tree(cluster.folder + "/" + work_folder);
  failpoint("postgres.load:unsynced");
  call.progress("sync", 0, 0);
  ahead.finish();
  for (const NewTablespace& one : cluster.tablespaces) sys::sync_tree(one.folder);
  sys::sync_tree(cluster.folder);
  return restored;
}

}  // namespace relight::postgres
