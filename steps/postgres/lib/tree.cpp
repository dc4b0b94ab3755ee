#include "steps/postgres/lib/tree.h"

#include <sys/stat.h>
#include <unistd.h>

#include "runner/step/parents.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/memory.h"
#include "steps/postgres/lib/repository.h"
#include "steps/postgres/lib/settings.h"

namespace relight::postgres {

namespace {

constexpr const char* auto_conf = "postgresql.auto.conf";

void empty_folder(const std::string& folder) {
  if (!sys::is_folder(folder)) return;
  for (const std::string& name : sys::names_in(folder)) sys::remove_tree(folder + "/" + name);
}

// By the repository's tool; of what it brings the WAL is taken away: the server has it of the archive.
void bring(const BaseBackup& base, const std::vector<NewTablespace>& tablespaces, const std::string& folder,
           Call& call) {
  std::vector<NewPlace> places;
  for (const NewTablespace& tablespace : tablespaces) {
    make_parents(call, tablespace.folder);
    sys::make_folders(tablespace.folder, 0700);
    places.push_back({tablespace.oid, tablespace.folder});
  }
  base.repository->bring(base, folder, places, call);
  sys::remove_tree(folder + "/pg_wal");
  for (const char* name : {"/backup.manifest", "/tablespace_map", "/postmaster.pid", "/standby.signal"})
    sys::remove_file(folder + name);
}

}  // namespace

void clear_tree(const std::string& folder, const std::vector<NewTablespace>& tablespaces) {
  sys::remove_tree(folder);
  for (const NewTablespace& tablespace : tablespaces) empty_folder(tablespace.folder);
}

void make_tree(const BaseBackup& base, const std::vector<NewTablespace>& tablespaces,
               const std::string& folder, Call& call) {
  const std::uint64_t total = base.manifest.bytes();
  std::uint64_t before = 0;
  const auto unpack = [&](const BasePart& part, const std::string& into) {
    unpack_part(
        base, part, into, [&](std::uint64_t bytes) { call.progress("unpack", before + bytes, total); },
        [&] { return call.stop_wanted(); }, [&](const std::string& line) { call.log(line); });
    before += base.bytes_of(part);
  };

  sys::make_folders(folder, 0700);
  if (base.is_brought())
    bring(base, tablespaces, folder, call);
  else
    unpack(base.data(), folder);
  failpoint("postgres.recover:data_unpacked");
  for (const char* name : {"/pg_wal", "/pg_wal/archive_status", "/pg_tblspc"})
    sys::make_folders(folder + name, 0700);

  for (const NewTablespace& tablespace : tablespaces) {
    if (base.is_brought()) break;
    for (const BasePart& part : base.parts) {
      if (part.oid != tablespace.oid) continue;
      make_parents(call, tablespace.folder);
      sys::make_folders(tablespace.folder, 0700);
      unpack(part, tablespace.folder);
    }
    const std::string link = folder + "/pg_tblspc/" + tablespace.oid;
    if (symlink(tablespace.folder.c_str(), link.c_str()) != 0)
      throw system_error(errno, "cannot link a tablespace", link);
    failpoint("postgres.recover:tablespace_unpacked");
  }
  check_links(folder, tablespaces);

  // Its settings are set aside until the recovery is over: the server would obey them above the quiet ones.
  const std::string work = folder + "/" + work_folder;
  sys::make_folders(work, 0700);
  if (const auto settings = sys::read_file_if_there(folder + "/" + auto_conf))
    sys::write_file(work + "/" + auto_conf, *settings, 0600);
  sys::write_file(folder + "/" + auto_conf, "", 0600);
  sys::write_file(folder + "/recovery.signal", "", 0600);
  sys::sync_tree(folder);
}

void check_links(const std::string& folder, const std::vector<NewTablespace>& tablespaces) {
  sys::walk(folder, [&](const sys::Entry& entry) {
    if (entry.kind != 'l' || entry.path.rfind(std::string(work_folder) + "/", 0) == 0) return;
    for (const NewTablespace& tablespace : tablespaces)
      if (entry.path == "pg_tblspc/" + tablespace.oid && entry.link == tablespace.folder) return;
    throw Error(ErrorKind::refused, "a link leaves the new data directory", folder + "/" + entry.path,
                "it leads to " + entry.link, "a server started there would write into what it leads to");
  });
}

namespace {

Demands raised_by(const Target& target, Demands all) {
  const auto raise = [](std::uint64_t& one, std::uint64_t other) { one = std::max(one, other); };
  raise(all.max_connections, target.raised.max_connections);
  raise(all.max_worker_processes, target.raised.max_worker_processes);
  raise(all.max_wal_senders, target.raised.max_wal_senders);
  raise(all.max_prepared_transactions, target.raised.max_prepared_transactions);
  raise(all.max_locks_per_transaction, target.raised.max_locks_per_transaction);
  return all;
}

void write_configuration(const std::string& folder, const std::string& settings) {
  const std::string work = folder + "/" + work_folder;
  sys::write_file(work + "/pg_hba.conf", quiet_hba(), 0600);
  sys::write_file(work + "/pg_ident.conf", "", 0600);
  sys::write_file(work + "/postgresql.conf", settings, 0600);
}

}  // namespace

void prepare_server(const std::string& folder, int major, const Target& target, const Demands& demands) {
  write_configuration(folder, config_text(quiet_settings(major, raised_by(target, demands), folder)) +
                                  config_text(recovery_settings(target.stop)) +
                                  config_text(replay_settings(sys::spare_memory())));
}

void prepare_holder(const std::string& folder, const std::string& data, int major, const Target& target,
                    const Demands& demands) {
  write_configuration(folder, config_text(quiet_settings(major, raised_by(target, demands), data)) +
                                  config_text(holding_settings(target.stop)));
}

bool still_recovering(const std::string& folder) {
  return sys::exists(folder + "/recovery.signal");
}

void recover_again(const std::string& folder, Timeline timeline) {
  const std::string wal = folder + "/pg_wal";
  for (const std::string& name : sys::names_in(wal)) {
    const auto history = parse_history_name(name);
    const auto segment = parse_segment(name.substr(0, 24), smallest_segment_size);
    if ((history && *history > timeline) || (segment && segment->timeline > timeline))
      sys::remove_file(wal + "/" + name);
  }
  sys::write_file(folder + "/recovery.signal", "", 0600);
}

void tidy_tree(const std::string& folder, Timeline timeline, const std::vector<NewTablespace>& tablespaces) {
  const std::string work = folder + "/" + work_folder;
  if (const auto settings = sys::read_file_if_there(work + "/" + auto_conf))
    sys::write_file(folder + "/" + auto_conf, without_recovery_settings(*settings), 0600);
  // The quiet server archived nothing. Without its history in the archive the new timeline cannot be followed
  // from an older backup, and a second recovery would take the same number.
  const std::string history = history_name(timeline), status = folder + "/pg_wal/archive_status/" + history;
  if (sys::exists(folder + "/pg_wal/" + history) && !sys::exists(status + ".done"))
    sys::write_file(status + ".ready", "", 0600);
  for (const char* name : {"/postmaster.opts", "/recovery.signal", "/standby.signal", "/backup_label.old"})
    sys::remove_file(folder + name);
  failpoint("postgres.recover:half_tidied");
  sys::remove_tree(work);
  check_links(folder, tablespaces);
  for (const NewTablespace& tablespace : tablespaces) sys::sync_tree(tablespace.folder);
  sys::sync_tree(folder);
}

}  // namespace relight::postgres
