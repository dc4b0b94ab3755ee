// backup.verify: would this recovery set restore? Every part is read, none is restored.
#include "runner/step/recovery_set.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

std::string set_of(const Params& params, Call& call) {
  return call.place(sys::absolute(params.text("set")));
}

// By how much the clocks of two hosts may differ.
constexpr std::chrono::minutes clock_slack{5};

// What the set is of, against what was expected.
void check_expected(const Params& params, const RecoverySet& set) {
  for (const char* field : {"product", "version"})
    if (params.has(field) && params.text(field) != set.text(field))
      throw Error(ErrorKind::refused, "the recovery set is of another " + std::string(field), set.folder,
                  "it is of " + (set.text(field).empty() ? "none" : set.text(field)) + ", not of " +
                      params.text(field),
                  "name the set that belongs to it");
  if (!params.has("max_age")) return;
  const auto sealed = sys::parse_time(set.text("time"));
  if (!sealed)
    throw Error(ErrorKind::refused, "cannot tell the age of the recovery set", set.folder,
                "its backup.json has no `time`", "use another copy of the backup");
  const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(sys::now() - *sealed);
  if (age < -clock_slack)
    throw Error(ErrorKind::refused, "cannot tell the age of the recovery set", set.folder,
                "it says that it was sealed at " + set.text("time") + ", which is yet to come",
                "see whose clock is wrong, this host's or that of the one that sealed it");
  if (age > params.duration("max_age"))
    throw Error(ErrorKind::refused, "the recovery set is too old", set.folder,
                "it was sealed " + sys::show_duration(age) + " ago, at " + set.text("time") +
                    ", and may be " + sys::show_duration(params.duration("max_age")) + " old",
                "take a new backup: what was written since would be lost");
}

// As backup.seal writes it: a path of the set's; null: it names none, or several.
Json part_of(const RecoverySet& set, const char* part, const char* field) {
  const Json about = set.json.value(part, Json());
  const Json path = about.is_object() ? about.value(field, Json()) : Json();
  return path.is_string() && path != "" ? Json(set.folder + "/" + path.get<std::string>()) : Json();
}

class Verify : public Step {
 public:
  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    preview.summary = "verify the recovery set " + shown(params.all()["set"]);
    for (const char* field : {"set", "product", "version"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(params.all()[field]).begin();
        return preview;
      }
    try {
      const RecoverySet set = read_set(set_of(params, call));
      check_expected(params, set);
      const Secret* passphrase = params.has("passphrase") ? params.peek_secret("passphrase") : nullptr;
      const SetReport report = verify_set(set, call.full_depth(), passphrase, call);
      preview.problems = report.problems;
      preview.hints = report.hints;
      preview.summary = "verify " + set.text("product") + " " + set.text("version") + " of " +
                        set.text("time") + " in " + set.folder;
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const RecoverySet set = read_set(set_of(params, call));
    check_expected(params, set);
    const Secret* passphrase = params.has("passphrase") ? &params.secret("passphrase") : nullptr;
    const SetReport report = verify_set(set, params.text("depth") == "full", passphrase, call);
    for (const SetReport::Part& part : report.parts) call.log(part.name + ": " + part.found);
    for (const std::string& hint : report.hints) call.log(hint);
    for (const Problem& problem : report.problems)
      call.log("problem: " + problem.what + ": " + problem.on + ": " + problem.why);
    if (!report.problems.empty()) {
      const Problem& first = report.problems.front();
      const std::size_t more = report.problems.size() - 1;
      throw Error(
          ErrorKind::permanent, first.what, first.on,
          first.why + (more == 0 ? "" : " (and " + std::to_string(more) + " more: see the step's log)"),
          first.hint);
    }
    return {{"set", set.folder},
            {"product", set.text("product")},
            {"version", set.text("version")},
            {"time", set.text("time")},
            {"dump", part_of(set, "database", "dump")},
            {"archive", part_of(set, "blobs", "archive")},
            {"manifest", part_of(set, "blobs", "manifest")}};
  }

  std::string state_digest(const Params& params, Call& call) const override {
    return sys::tree_digest(set_of(params, call));
  }
};

}  // namespace

extern const StepType backup_verify;
const StepType backup_verify = {
    .name = "backup.verify",
    .doc =
        "Check a recovery set without restoring it: every file, hash, manifest, dump and WAL record.\n"
        "What backup.json binds is there with its hash; a dump is read to its end, a base backup against its "
        "manifest, the WAL record by record from it to the archive's end, blobs against theirs. `relight "
        "verify` "
        "does the same by hand.",
    .example =
        "backup.verify \"verified\" { set = input.backup, product = \"aihummer\", version = input.version }",
    .fields =
        {
            {.name = "set",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the folder of the recovery set",
             .example = "\"/backup/2026-11-21\"",
             .choices = {}},
            {.name = "product",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "what it must be a backup of",
             .example = "\"aihummer\"",
             .choices = {}},
            {.name = "version",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "the version that it must be a backup of",
             .example = "\"1.4.2\"",
             .choices = {}},
            {.name = "max_age",
             .type = FieldType::duration,
             .required = false,
             .fallback = "",
             .doc = "how long ago it may have been sealed; any time when not given",
             .example = "\"6h\"",
             .choices = {}},
            {.name = "passphrase",
             .type = FieldType::secret,
             .required = false,
             .fallback = "",
             .doc = "the passphrase that must be the one that the set was sealed with",
             .example = "secret.env \"SOPHON_BACKUP_PASSPHRASE\"",
             .choices = {}},
            {.name = "depth",
             .type = FieldType::choice,
             .required = false,
             .fallback = "\"full\"",
             .doc = "full reads every byte; quick reads names, sizes, tables of contents, and the WAL",
             .example = "\"quick\"",
             .choices = {"quick", "full"}},
        },
    .outputs =
        {
            {.name = "set", .doc = "the folder"},
            {.name = "product", .doc = "what it is a backup of"},
            {.name = "version", .doc = "its version"},
            {.name = "time", .doc = "when it was sealed, in UTC"},
            {.name = "dump", .doc = "its dump of the database; null: it has none"},
            {.name = "archive", .doc = "its archive of the blobs; null: it has none, or several"},
            {.name = "manifest", .doc = "the manifest of that; null: it has none"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .is_probe = false,
    .make = make_step<Verify>,
};

}  // namespace relight
