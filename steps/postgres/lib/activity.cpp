#include "steps/postgres/lib/activity.h"

#include <vector>

#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::postgres {

Json activity_of(const DatabaseServer& server, sys::Sql& administration, const Call& call) {
  Json seen;
  {
    sys::Sql sql = server.connect(call, server.database());
    const sys::Rows rows = sql.query(
        "SELECT coalesce(sum(n_tup_ins), 0), coalesce(sum(n_tup_upd), 0), coalesce(sum(n_tup_del), 0), "
        "(SELECT coalesce(stats_reset::text, '') FROM pg_stat_database WHERE datname = current_database()) "
        "FROM pg_stat_user_tables");
    const auto number = [&](std::size_t column) { return std::stoull(rows.rows[0][column].value_or("0")); };
    seen = {{"inserted", number(0)},
            {"updated", number(1)},
            {"deleted", number(2)},
            {"reset", rows.rows[0][3].value_or("")}};
  }
  // A session that is still on its way out would be in the way of a copy or a rename.
  end_sessions_named(administration, server.session());
  return seen;
}

std::string written_between(const Json& before, const Json& now) {
  const char* const unknown = "how many rows were written is not known: the server's statistics began anew";
  if (before["reset"] != now["reset"]) return unknown;
  std::vector<std::string> parts;
  for (const char* how : {"inserted", "updated", "deleted"}) {
    const auto then = before[how].get<std::uint64_t>(), today = now[how].get<std::uint64_t>();
    if (today < then) return unknown;
    if (today > then)
      parts.push_back(sys::show_count(today - then) +
                      (!parts.empty()      ? " "
                       : today - then == 1 ? " row was "
                                           : " rows were ") +
                      how);
  }
  return parts.empty() ? "" : "at least " + sys::join(parts, ", ");
}

}  // namespace relight::postgres
