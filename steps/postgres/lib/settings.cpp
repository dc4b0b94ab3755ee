#include "steps/postgres/lib/settings.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "runner/sys/text.h"

namespace relight::postgres {

Settings quiet_settings(int major, const Demands& demands, const std::string& data) {
  const std::string work = data + "/" + work_folder;
  Settings settings = {
      {"data_directory", data},
      {"hba_file", work + "/pg_hba.conf"},
      {"ident_file", work + "/pg_ident.conf"},
      // Nobody reaches it.
      {"listen_addresses", ""},
      {"port", "5432"},
      {"unix_socket_directories", work_folder},
      {"unix_socket_permissions", "0700"},
      {"ssl", "off"},
      {"bonjour", "off"},
      // It reaches nobody, and does nothing of its own accord.
      {"archive_mode", "off"},
      {"archive_command", ""},
      {"primary_conninfo", ""},
      {"primary_slot_name", ""},
      {"max_logical_replication_workers", "0"},
      {"shared_preload_libraries", ""},
      {"session_preload_libraries", ""},
      {"local_preload_libraries", ""},
      {"autovacuum", "off"},
      {"jit", "off"},
      // What the WAL was written with: a lower value is FATAL, or loses what the primary had.
      {"wal_level", demands.wal_level == "logical" ? "logical" : "replica"},
      {"max_connections", std::to_string(demands.max_connections)},
      {"max_worker_processes", std::to_string(demands.max_worker_processes)},
      {"max_wal_senders", std::to_string(demands.max_wal_senders)},
      {"max_prepared_transactions", std::to_string(demands.max_prepared_transactions)},
      {"max_locks_per_transaction", std::to_string(demands.max_locks_per_transaction)},
      {"track_commit_timestamp", demands.track_commit_timestamp ? "on" : "off"},
      {"hot_standby", "on"},
      // Works without /dev/shm, as in a chroot.
      {"dynamic_shared_memory_type", "sysv"},
      {"restart_after_crash", "off"},
      {"logging_collector", "off"},
      {"log_destination", "stderr"},
      {"log_line_prefix", "%m [%p] "},
      {"log_min_messages", "warning"},
      {"log_timezone", "UTC"},
      {"timezone", "UTC"},
      {"lc_messages", "C"},
      {"cluster_name", "relight"},
  };
  // The unpacker has synced the tree: a sync of every file by itself took seconds.
  if (major >= 14) settings.emplace_back("recovery_init_sync_method", "syncfs");
  if (major >= 17) settings.emplace_back("event_triggers", "off");
  return settings;
}

Settings recovery_settings(const Stop& stop) {
  return {
      // exec: the shell has nothing left to wait for.
      {"restore_command", "exec " + std::string(work_folder) + "/restore-wal %f %p"},
      {"recovery_target_lsn", show_lsn(stop.lsn)},
      {"recovery_target_inclusive", stop.inclusive ? "on" : "off"},
      {"recovery_target_timeline", std::to_string(stop.timeline)},
      {"recovery_target_action", "pause"},
  };
}

Settings replay_settings(std::uint64_t spare) {
  // The default at the least; nothing is gained by more than most databases' hot pages.
  const std::uint64_t mebibytes = std::clamp<std::uint64_t>(spare / 4 >> 20, 128, 4096);
  // Huge pages are kept for somebody: the service that is to come up, or one that runs beside.
  return {{"shared_buffers", std::to_string(mebibytes) + "MB"},
          {"huge_pages", "off"},
          // The next segments' names are the feeder's to give.
          {"wal_recycle", "off"}};
}

Settings holding_settings(const Stop& stop) {
  Settings settings = recovery_settings(stop);
  settings[0].second = "exit 1";
  // A checkpoint of its own at its very goal would leave the next start nothing to find it by.
  settings.emplace_back("checkpoint_timeout", "1d");
  return settings;
}

std::string single_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += c;
    quoted += c;
  }
  return quoted + "'";
}

std::string config_text(const Settings& settings) {
  std::string text;
  for (const auto& [name, value] : settings) text += name + " = " + single_quoted(value) + "\n";
  return text;
}

namespace {

// The setting that a line of a configuration file sets, in small letters; empty: none.
std::string name_in(const std::string& line) {
  std::string name = sys::trim(line);
  name = name.substr(0, name.find_first_of(" \t="));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

// For /bin/sh, within a command in which the server knows %p and %f.
std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : c == '%' ? "%%" : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::string with_archive(const std::string& auto_conf, const std::string& folder) {
  std::string text;
  for (const std::string& line : sys::split(auto_conf, '\n'))
    if (!line.empty() && name_in(line).rfind("archive_", 0) != 0) text += line + "\n";
  // Under its name only when it is whole, and never over another: asked again after a crash, the same is
  // done.
  const std::string whole = shell_quoted(folder) + "/%f", part = shell_quoted(folder) + "/.%f.part";
  const std::string command = "cmp -s %p " + whole + " || { test ! -e " + whole + " && cp %p " + part +
                              " && sync " + part + " && mv " + part + " " + whole + " && sync " +
                              shell_quoted(folder) + "; }";
  return text + config_text({{"archive_mode", "on"}, {"archive_command", command}});
}

std::string without_recovery_settings(const std::string& auto_conf) {
  static constexpr std::array<std::string_view, 7> names = {
      "restore_command",   "recovery_end_command", "archive_cleanup_command", "primary_conninfo",
      "primary_slot_name", "promote_trigger_file", "recovery_min_apply_delay"};
  std::string text;
  const std::vector<std::string> lines = sys::split(auto_conf, '\n');
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i + 1 == lines.size() && lines[i].empty()) break;  // what follows the last newline
    const std::string name = name_in(lines[i]);
    const bool steers =
        name.rfind("recovery_target", 0) == 0 || std::find(names.begin(), names.end(), name) != names.end();
    text += (steers ? "# put out of force by relight: " : "") + lines[i] + "\n";
  }
  return text;
}

std::string quiet_hba() {
  // The socket lies in a folder of mode 0700, so that only the server's own user comes this far.
  return "local all all trust\n";
}

}  // namespace relight::postgres
