#include "steps/postgres/lib/dump_restore.h"

#include <algorithm>
#include <thread>

#include "runner/step/in_image.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/dump_archive.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/dump_load.h"
#include "steps/postgres/lib/rename_definition.h"

namespace relight::postgres {
namespace {

constexpr int most_jobs = 32;

int jobs_of(const Params& params) {
  if (params.has("jobs"))
    return static_cast<int>(std::clamp<std::int64_t>(params.integer("jobs"), 1, most_jobs));
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, most_jobs);
}

}  // namespace

void restore_beside(const Params& params, Call& call, const DatabaseServer& server, sys::Sql& sql,
                    DatabaseSwitch& move, const Json& like,
                    const std::function<void(const DumpLook& dump)>& begin) {
  Preview preview;
  const DumpLook dump = foresee_dump(params, call, server, &sql, preview, planned_depth(call));
  if (!preview.problems.empty()) {
    const Problem& first = preview.problems.front();
    throw Error(ErrorKind::refused, first.what, first.on, first.why, first.hint);
  }
  const std::string name = dump.format == DumpFormat::plain ? "psql" : "pg_restore";
  const EndsInImage ends(call, server.in_container());
  const ClientProgram program = server.program(name, server_major(sql), call);
  if (!program.there())
    throw Error(ErrorKind::refused, "cannot restore the dump", name, "there is no such program",
                program.mend());
  begin(dump);
  const std::string owner = params.text_or("owner", "");
  const DumpLoad load{.program = program,
                      .path = sys::absolute(params.text("dump")),
                      .database = move.fresh(),
                      .format = dump.format,
                      .jobs = jobs_of(params),
                      .mend =
                          "mend the cause, then resume the run, which goes on with what is loaded; the "
                          "current database was not touched"};
  const std::string create =
      like.is_null() ? creation(move.fresh(), dump.definition, owner) : creation(move.fresh(), like, owner);
  try {
    if (dump.format == DumpFormat::plain) {
      move.make(create);
      failpoint("postgres.restore:made");
      load_plain(load, server, call);
    } else {
      load_archive(load, dump, create, server, move, call);
    }
    failpoint("postgres.restore:loaded");
    Json restored = checked_restore(call, server, move.fresh(), dump);
    const auto moment = moment_of_dump(params, dump);
    restored["last_commit"] = moment ? Json(sys::show_time(*moment)) : Json(nullptr);
    call.note("restored", restored);
  } catch (const Error& error) {
    // What is loaded is kept for a resume, but where it is the disk that it fills.
    const bool goes_on = !move.reached().empty() && error.why.find("No space left") == std::string::npos;
    if (error.kind != ErrorKind::transient && !goes_on) move.drop_new();
    throw;
  }
  failpoint("postgres.restore:checked");
  move.mark();
}

}  // namespace relight::postgres
