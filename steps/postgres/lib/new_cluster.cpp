#include "steps/postgres/lib/new_cluster.h"

#include <unistd.h>

#include <algorithm>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/control.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/dump_program.h"
#include "steps/postgres/lib/rename_definition.h"
#include "steps/postgres/lib/server.h"
#include "steps/postgres/lib/taken_settings.h"

namespace relight::postgres {
namespace {

constexpr std::uint64_t mebi = 1u << 20;

void run(sys::Command command, const std::string& what, Call& call) {
  const std::string program = sys::name_of_path(command.argv[0]);
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
  const auto pages = static_cast<std::uint64_t>(std::max(sysconf(_SC_PHYS_PAGES), 1L));
  const auto page = static_cast<std::uint64_t>(std::max(sysconf(_SC_PAGESIZE), 1L));
  Settings settings = quiet_settings(major, Demands(), cluster.folder);
  // The programs come by a folder of their own: a socket's path is short, and the cluster's may be long.
  settings.emplace_back("unix_socket_directories", std::string(work_folder) + "," + sockets);
  sys::write_file(work + "/postgresql.conf",
                  config_text(settings) + config_text(loading_settings(pages * page, jobs)), 0600);
}

}  // namespace

Settings loading_settings(std::uint64_t memory, int jobs) {
  const auto between = [](std::uint64_t bytes, std::uint64_t least, std::uint64_t most) {
    return std::to_string(std::clamp(bytes / mebi, least, most)) + "MB";
  };
  return {
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
      {"shared_buffers", between(memory / 16, 128, 1024)},
      {"maintenance_work_mem",
       between(memory / 16 / static_cast<std::uint64_t>(std::max(jobs, 1)), 64, 1024)},
  };
}

Json make_cluster(const NewCluster& cluster, const Programs& programs, DumpLoad load, const DumpLook& look,
                  const Globals& globals, Call& call) {
  std::vector<std::string> arguments = {"--pgdata=" + cluster.folder,
                                        "--username=" + cluster.role,
                                        "--locale=" + cluster.locale,
                                        "--encoding=UTF8",
                                        "--auth-local=peer",
                                        "--auth-host=scram-sha-256",
                                        "--no-sync",
                                        "--no-instructions"};
  if (cluster.checksums) arguments.push_back("--data-checksums");
  call.progress("initdb", 0, 0);
  run(programs.command("initdb", arguments), "cannot make a cluster", call);
  failpoint("postgres.load:made");
  const sys::TempFolder sockets;
  configure(cluster, programs.major(), load.jobs, sockets.path());
  Json restored;
  {
    QuietServer quiet(programs, cluster.folder, call);
    quiet.await(cluster.role, 0);
    failpoint("postgres.load:started");
    const DatabaseServer server({{"host", sockets.path()}, {"port", "5432"}, {"user", cluster.role}},
                                load.database, call);
    sys::Sql sql = server.connect(call);
    make_missing_roles(globals, sql, call, cluster.role);
    sql.execute(creation(load.database, look.definition, ""));
    failpoint("postgres.load:created");
    if (load.format == DumpFormat::plain) {
      load_plain(load, server, call);
    } else {
      std::vector<DumpEntry> chosen;
      for (const DumpEntry& entry : look.entries)
        if (look.selection.numbers.contains(entry.number)) chosen.push_back(entry);
      DumpProgram(load, look, server, call)
          .run(chosen, {"--jobs=" + std::to_string(load.jobs), "--no-tablespaces"});
    }
    for (const std::string& statement : carried(load.database, look.definition, "")) sql.execute(statement);
    failpoint("postgres.load:loaded");
    call.progress("analyze", 0, 0);
    sys::Command analyze =
        programs.command("vacuumdb", {"--analyze-only", "--no-password", "--quiet",
                                      "--jobs=" + std::to_string(load.jobs), "--dbname=" + load.database});
    for (const auto& [name, value] : server.environment()) analyze.extra_env[name] = value;
    run(std::move(analyze), "cannot gather statistics", call);
    restored = checked_restore(call, server, load.database, look, false);
    call.progress("stop", 0, 0);
    quiet.stop();
  }
  failpoint("postgres.load:stopped");
  if (const std::string state = read_control(programs, cluster.folder).state; state != "shut down")
    throw Error(ErrorKind::permanent, "the new cluster was not shut down cleanly", cluster.folder,
                "pg_control says \"" + state + "\"", "resume the run: it is made anew");
  take_settings_over(cluster.was, cluster.folder);
  sys::remove_tree(cluster.folder + "/" + work_folder);
  failpoint("postgres.load:unsynced");
  call.progress("sync", 0, 0);
  sys::sync_tree(cluster.folder);
  return restored;
}

}  // namespace relight::postgres
