#include "steps/postgres/lib/quieted.h"

#include "steps/postgres/lib/config.h"

namespace relight::postgres {
namespace {

void add_rows(const sys::Rows& rows, std::vector<std::string>& lines) {
  for (const auto& row : rows.rows) lines.push_back(row[0].value_or(""));
}

}  // namespace

std::vector<std::string> quieted_by_catalog(QuietServer& server, const std::string& role) {
  std::vector<std::string> lines;
  sys::Sql any = server.connect("template1", role);
  // Not its connection: that holds a password.
  add_rows(
      any.query("select 'the subscription ' || subname || ' of database ' || datname || ' reaches for its "
                "publisher' || coalesce(', by the slot ' || subslotname, '') "
                "from pg_subscription s join pg_database d on d.oid = s.subdbid where subenabled order by 1"),
      lines);
  for (const auto& row : any.query("select datname from pg_database where datallowconn order by 1").rows) {
    const std::string database = row[0].value_or("");
    sys::Sql sql = server.connect(database, role);
    if (sql.query("select 1 from pg_extension where extname = 'pg_cron'").rows.empty()) continue;
    add_rows(
        sql.query("select 'the job ' || jobid || ' of pg_cron runs at ' || schedule || ': ' || "
                  "left(regexp_replace(command, '\\s+', ' ', 'g'), 80) from cron.job where active order by "
                  "jobid"),
        lines);
  }
  return lines;
}

std::vector<std::string> quieted_by_settings(const Programs& programs, const std::string& config_file,
                                             const std::string& data_folder) {
  const auto told = [&](const char* name) { return setting(programs, config_file, data_folder, name); };
  std::vector<std::string> lines;
  if (const std::string addresses = told("listen_addresses"); !addresses.empty())
    lines.push_back("it listens by TCP on " + addresses + ", port " + told("port"));
  if (told("archive_mode") != "off") {
    const std::string command = told("archive_command");
    lines.push_back("it archives its WAL" + (command.empty() ? "" : ": " + command));
  }
  if (const std::string libraries = told("shared_preload_libraries"); !libraries.empty())
    lines.push_back("it loads " + libraries);
  return lines;
}

}  // namespace relight::postgres
