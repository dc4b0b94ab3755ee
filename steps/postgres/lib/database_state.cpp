#include "steps/postgres/lib/database_state.h"

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/dump_look.h"
#include "steps/postgres/lib/rename_definition.h"

namespace relight::postgres {

std::string database_state(const DatabaseServer& server, sys::Sql& sql, const Call& call) {
  const Json definition = database_definition(sql, server.database());
  if (definition.is_null()) return "absent";
  sys::Sha256 sum;
  sum.add(creation(server.database(), definition, "") + "\n");
  for (const std::string& statement : carried(server.database(), definition, "")) sum.add(statement + "\n");
  std::string line;
  sys::Command command =
      server.program("pg_dump", server_major(sql), call)
          .command({"--no-password", "--dbname=" + server.url(server.database())}, {}, server.environment());
  command.capture_stdout = false;
  command.on_output = [&](std::string_view bytes) {
    for (const char c : bytes) {
      line += c;
      if (c != '\n') continue;
      // But for a key made anew by every pg_dump.
      const bool state = !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
      if (state) sum.add(line);
      line.clear();
    }
  };
  const sys::Result result = sys::run(command);
  if (!result.ok())
    throw Error(ErrorKind::permanent, "cannot take the state of the database", server.database(),
                told_errors(result.err_tail));
  return sum.hex();
}

}  // namespace relight::postgres
