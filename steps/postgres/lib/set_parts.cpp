#include "steps/postgres/lib/set_parts.h"

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/dump_look.h"
#include "steps/postgres/lib/survey.h"

namespace relight::postgres {
namespace {

// A path of the set's, or "" where the field is absent.
std::string path_in(const RecoverySet& set, const Json& value) {
  const Json path = value.is_object() ? value.value("path", Json()) : value;
  return path.is_string() && !path.empty() ? set.folder + "/" + path.get<std::string>() : "";
}

Json database_of(const RecoverySet& set) {
  const Json database = set.json.value("database", Json());
  return database.is_object() ? database : Json::object();
}

}  // namespace

void verify_dump_part(const RecoverySet& set, bool every_byte, Call& call, SetReport& report) {
  const std::string dump = path_in(set, database_of(set).value("dump", Json()));
  if (dump.empty()) return;
  if (!sys::exists(dump))
    throw Error(ErrorKind::refused, "the dump is missing", dump, "backup.json names it",
                "use another copy of the backup");
  const ClientProgram program = ClientProgram::of_host("pg_restore", 0);
  if (!program.there())
    throw Error(ErrorKind::refused, "cannot look into the dump", "pg_restore", "there is no such program",
                program.mend() + ", and verify again");
  const DumpLook look =
      look_at_dump(dump, program, every_byte ? DumpDepth::every_byte : DumpDepth::its_end, call);
  report.parts.push_back({"dump", sys::show_count(look.content.tables.size()) +
                                      (look.content.tables.size() == 1 ? " table, " : " tables, ") +
                                      sys::show_size(look.bytes) +
                                      (look.made_at.empty() ? "" : ", begun " + look.made_at)});
}

Wish wish_of(const RecoverySet& set) {
  const Json database = database_of(set);
  Wish wish;
  wish.base = path_in(set, database.value("base", Json()));
  wish.moment = parse_moment("latest");
  if (const Json from = database.value("repository", Json()); from.is_object() && from.size() == 1) {
    wish.repository = repository_from_json(from);
    for (std::string* path : {&wish.repository->config, &wish.repository->path})
      if (!path->empty() && path->front() != '/' && wish.repository->host.empty())  // else the other host's
        *path = set.folder + "/" + *path;
  }
  const Json archives = database.value("wal", Json());
  if (archives.is_array())
    for (const Json& one : archives) wish.wal.push_back(path_in(set, one));
  else if (sys::is_folder(set.folder + "/wal"))
    wish.wal.push_back(set.folder + "/wal");
  return wish;
}

void verify_base_part(const RecoverySet& set, bool every_byte, Call& call, SetReport& report) {
  const Wish wish = wish_of(set);
  if (!wish.has_base()) return;
  SurveyOptions options;
  options.every_byte = every_byte;
  options.stop = [&] {
    call.stop_here_if_wanted();
    return false;
  };
  Survey survey = survey_backup(wish, options);
  if (!survey.unknown.empty() && survey.problems.empty())
    survey.problems.push_back({"the WAL cannot be looked at", wish.source(), survey.unknown,
                               "install what is missing here, and verify again"});
  report.problems.insert(report.problems.end(), survey.problems.begin(), survey.problems.end());
  report.hints.insert(report.hints.end(), survey.hints.begin(), survey.hints.end());
  if (!survey.base) return;
  const Manifest& manifest = survey.base->manifest;
  std::string found = sys::show_count(manifest.files.size()) + " files, " + sys::show_size(manifest.bytes()) +
                      ", consistent at " + show_lsn(manifest.end);
  report.parts.push_back({"base backup", found});
  if (!survey.target) return;
  const std::size_t segments = survey.target->segments.size();
  found = sys::show_count(segments) + (segments == 1 ? " segment" : " segments") + " without a gap, up to " +
          show_lsn(survey.target->upto);
  if (!survey.target->last_commit.empty()) found += ", last commit " + survey.target->last_commit;
  report.parts.push_back({"WAL", found});
}

}  // namespace relight::postgres
