#include "steps/postgres/lib/control.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "runner/sys/error.h"
#include "runner/sys/text.h"

namespace relight::postgres {

namespace {

std::uint64_t number(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

Control parse_control(const std::string& text, const std::string& on) {
  std::map<std::string, std::string> lines;
  for (const std::string& line : sys::split(text, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos) lines[line.substr(0, colon)] = sys::trim(line.substr(colon + 1));
  }
  const auto value = [&](const std::string& name) -> const std::string& {
    const auto found = lines.find(name);
    if (found == lines.end())
      throw Error(ErrorKind::permanent, "cannot read pg_control", on,
                  "pg_controldata does not tell \"" + name + "\"");
    return found->second;
  };
  Control control;
  control.system_identifier = value("Database system identifier");
  control.state = value("Database cluster state");
  control.timeline = static_cast<Timeline>(number(value("Latest checkpoint's TimeLineID")));
  control.recovery_timeline = static_cast<Timeline>(number(value("Min recovery ending loc's timeline")));
  control.block_size = number(value("Database block size"));
  control.checksums = value("Data page checksum version") != "0";
  control.segment_size = number(value("Bytes per WAL segment"));
  if (!is_segment_size(control.segment_size))
    throw Error(ErrorKind::permanent, "cannot read pg_control", on,
                "a WAL segment of " + value("Bytes per WAL segment") + " bytes cannot be",
                "the file is damaged: take another base backup");
  Demands& demands = control.demands;
  demands.max_connections = number(value("max_connections setting"));
  demands.max_worker_processes = number(value("max_worker_processes setting"));
  demands.max_wal_senders = number(value("max_wal_senders setting"));
  demands.max_prepared_transactions = number(value("max_prepared_xacts setting"));
  demands.max_locks_per_transaction = number(value("max_locks_per_xact setting"));
  demands.wal_level = value("wal_level setting");
  demands.track_commit_timestamp = value("track_commit_timestamp setting") == "on";
  return control;
}

Control read_control(const Programs& programs, const std::string& data_folder) {
  const std::string text = sys::output_of(
      programs.command("pg_controldata", {"-D", data_folder}, {data_folder}), "cannot read pg_control");
  // It only warns of a checksum that is off, and prints what it read.
  if (text.find("WARNING: Calculated CRC checksum does not match") != std::string::npos)
    throw Error(ErrorKind::permanent, "cannot read pg_control", data_folder + "/global/pg_control",
                "its checksum does not match");
  return parse_control(text, data_folder + "/global/pg_control");
}

bool raise_demands(Demands& demands, const std::string& parameter_change) {
  bool rollable = true;
  for (const std::string& word : sys::split(parameter_change, ' ')) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = word.substr(0, equals), text = word.substr(equals + 1);
    const auto raise = [&](std::uint64_t& demand) { demand = std::max(demand, number(text)); };
    if (name == "max_connections") raise(demands.max_connections);
    if (name == "max_worker_processes") raise(demands.max_worker_processes);
    if (name == "max_wal_senders") raise(demands.max_wal_senders);
    if (name == "max_prepared_xacts") raise(demands.max_prepared_transactions);
    if (name == "max_locks_per_xact") raise(demands.max_locks_per_transaction);
    if (name == "wal_level" && text == "minimal") rollable = false;
  }
  return rollable;
}

}  // namespace relight::postgres
