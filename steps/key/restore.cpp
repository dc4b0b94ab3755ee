// key.restore: the secrets that no backup of the data may hold, back in their place.
#include <algorithm>

#include "runner/step/access.h"
#include "runner/step/env_file.h"
#include "runner/step/placed_file.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/key/lib/fingerprint.h"
#include "steps/key/lib/key_bytes.h"

namespace relight {
namespace {

constexpr mode_t key_mode = 0600;
constexpr const char* fields_needed[] = {"into", "other", "variables", "fingerprints", "encoding", "bytes"};

std::optional<std::size_t> bytes_wanted(const Params& params) {
  if (!params.has("bytes")) return std::nullopt;
  const std::int64_t bytes = params.integer("bytes");
  if (bytes < 1)
    throw Error(ErrorKind::refused, "not a length", std::to_string(bytes), "a key has at least one byte");
  return static_cast<std::size_t>(bytes);
}

// What is compared and written; made without any effect, by preview and apply alike.
struct Restored {
  std::string bytes;                                // of the file at `into`
  std::map<std::string, std::string> fingerprints;  // name -> hash, those that were compared
  std::vector<std::string> unrecorded;              // names that the backup has no fingerprint of
};

class Making {
 public:
  Making(const Params& params, std::string into, std::string_view secret)
      : params_(params), into_(std::move(into)), secret_(secret) {
    if (params.has("fingerprints")) recorded_ = read_fingerprints(params.text("fingerprints"));
  }

  Restored make() {
    if (params_.has("variables"))
      make_variables();
    else
      make_file();
    return std::move(restored_);
  }

 private:
  void make_variables() {
    const EnvFile keys(std::string(secret_), "the secret in `from`");
    EnvFile file = lines_that_stay();
    for (const std::string& name : params_.list("variables")) {
      const auto value = keys.value(name);
      if (!value)
        throw Error(ErrorKind::refused, "the key is missing", name, "`from` has no line " + name + "=...",
                    "check that `from` is the env file with the keys of this host");
      expect(*value, name);
      if (recorded_) compare(*value, name, name);
      file.take(keys, name);
    }
    restored_.bytes = file.text();
  }

  void make_file() {
    const std::string name = sys::name_of_path(into_);
    expect(secret_, name);
    if (recorded_) {
      // By the file's name; a set that recorded one key only leaves no doubt either.
      const bool alone = recorded_->size() == 1 && !recorded_->contains(name);
      compare(secret_, alone ? recorded_->begin()->first : name, name);
    }
    restored_.bytes = secret_;
  }

  EnvFile lines_that_stay() const {
    if (params_.has("other")) {
      const std::string other = params_.text("other");
      return EnvFile(sys::read_file(other), other);
    }
    return EnvFile(sys::read_file_if_there(into_).value_or(""), into_);
  }

  void expect(std::string_view value, const std::string& name) const {
    key_bytes(value, params_.text("encoding"), bytes_wanted(params_), name);
  }

  void compare(std::string_view value, const std::string& recorded_name, const std::string& name) {
    const auto fingerprint = recorded_->find(recorded_name);
    if (fingerprint == recorded_->end()) {
      restored_.unrecorded.push_back(name);
      return;
    }
    if (!has_fingerprint(value, fingerprint->second))
      throw Error(
          ErrorKind::refused, "the wrong key", name,
          "its fingerprint is not the one that the backup recorded in " + params_.text("fingerprints"),
          "find the key that was in use when the backup was made; nothing was written");
    restored_.fingerprints[recorded_name] = fingerprint->second.hash;
  }

  const Params& params_;
  std::string into_;
  std::string_view secret_;
  std::optional<std::map<std::string, Fingerprint>> recorded_;
  Restored restored_;
};

// A set that recorded not one of the keys proves nothing, and was named to prove something.
void refuse_unproven(const Params& params, const Restored& restored) {
  if (params.has("fingerprints") && restored.fingerprints.empty())
    throw Error(ErrorKind::refused, "the key cannot be compared", sys::join(restored.unrecorded, ", "),
                "no fingerprint of it is recorded in " + params.text("fingerprints"),
                "name the backup.json of the right recovery set, or leave `fingerprints` out");
}

std::string into_of(const Params& params, Call& call) {
  return call.place(params.text("into"));
}

PlacedFile placed(const Params& params, Call& call) {
  return PlacedFile(call, into_of(params, call), key_mode);
}

class Restore : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "into");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    const Json& all = params.all();
    preview.summary =
        "restore " +
        (params.has("variables") && params.known("variables") ? sys::join(params.list("variables"), ", ")
                                                              : std::string("the key file")) +
        " into " + shown(all["into"]);
    const auto access = access_foreseen(params, preview);
    for (const char* field : fields_needed)
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        return preview;
      }
    const PlacedFile file = placed(params, call);
    try {
      if (params.has("fingerprints")) read_fingerprints(params.text("fingerprints"));
      const Secret* secret = params.peek_secret("from");
      if (!secret) {
        preview.hints.push_back(
            "the key is not read by this plan, so its fingerprint is not compared yet: --check-secrets does "
            "it");
      } else {
        const Restored restored = Making(params, into_of(params, call), secret->view()).make();
        refuse_unproven(params, restored);
        for (const std::string& name : restored.unrecorded)
          preview.hints.push_back("no fingerprint of " + name + " is recorded: it is taken as it is");
        if (access && file.is(restored.bytes, *access)) {
          preview.verdict = Preview::Verdict::nothing_to_do;
          preview.summary = into_of(params, call) + " is as wanted";
          return preview;
        }
        if (!restored.fingerprints.empty()) preview.summary += ", fingerprint as recorded";
      }
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    file.foresee(preview);
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const Access access = access_wanted(params);
    const std::string into = into_of(params, call);
    const Restored restored = Making(params, into, params.secret("from").view()).make();
    refuse_unproven(params, restored);
    placed(params, call).put(restored.bytes, access);
    return {{"into", into}, {"fingerprint", restored.fingerprints}};
  }

  void undo(const Params& params, Call& call, const Json*) const override { placed(params, call).undo(); }
  void discard(const Params& params, Call& call, const Json*) const override {
    placed(params, call).discard();
  }
  Json kept(const Params& params, Call& call, const Json*) const override {
    return placed(params, call).kept();
  }

  // Stretched and salted with the run: the plain hash of a weak secret could be guessed back.
  std::string state_digest(const Params& params, Call& call) const override {
    constexpr int iterations = 100'000;
    return sys::to_hex(sys::pbkdf2_sha256(placed(params, call).state_digest(), call.run(), iterations, 32));
  }
};

}  // namespace

extern const StepType key_restore;
const StepType key_restore = {
    .name = "key.restore",
    .doc =
        "Put a key file, or the secret lines of an env file, back in their place.\n"
        "Without `variables` the secret is the whole file. With them it is an env file, whose lines of these "
        "names are put "
        "into the file at `into`: among the lines of `other`, or of the file that is there, every other byte "
        "of which "
        "stays. Keys are compared with the fingerprints that the backup recorded before anything is written; "
        "a wrong one is "
        "refused, by the plan already where the secret is an `env` or a `file`. The file is written whole, "
        "in one atomic "
        "move, its mode 0600 unless said otherwise; the old one is kept until it is freed.",
    .example =
        "key.restore \"keys\" { from = input.keys, into = \"/etc/aihummer/env\", other = input.backup / "
        "\"env\",\n"
        "  variables = { \"AIHUMMER_MASTER_KEY\" }, fingerprints = input.backup / \"backup.json\" }",
    .fields =
        {
            {.name = "from",
             .type = FieldType::secret,
             .required = true,
             .fallback = "",
             .doc = "the key file's bytes, or an env file that holds the variables",
             .example = "secret.file \"/media/key/env\"",
             .choices = {}},
            {.name = "into",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the file to write",
             .example = "\"/etc/aihummer/env\"",
             .choices = {}},
            {.name = "variables",
             .type = FieldType::list,
             .required = false,
             .fallback = "",
             .doc = "the names whose lines are restored; not given: the whole file",
             .example = "{ \"AIHUMMER_MASTER_KEY\" }",
             .choices = {}},
            {.name = "other",
             .type = FieldType::location,
             .required = false,
             .fallback = "",
             .doc = "an env file with the lines that are not secret; not given: those of the file at `into` "
                    "stay",
             .example = "input.backup / \"env\"",
             .choices = {}},
            {.name = "fingerprints",
             .type = FieldType::location,
             .required = false,
             .fallback = "",
             .doc = "the backup.json with the fingerprints that were recorded",
             .example = "input.backup / \"backup.json\"",
             .choices = {}},
            {.name = "encoding",
             .type = FieldType::choice,
             .required = false,
             .fallback = "\"auto\"",
             .doc = "how the keys are written",
             .example = "\"base64\"",
             .choices = {"auto", "base64", "hex", "raw"}},
            {.name = "bytes",
             .type = FieldType::integer,
             .required = false,
             .fallback = "",
             .doc = "how long each key is, decoded",
             .example = "32",
             .choices = {}},
            mode_field("the file's mode, in octal digits", "\"0600\""),
            owner_field(
                "the file's owner, by name or number; not given: as the old file's, else relight's own"),
            group_field(),
        },
    .outputs =
        {
            {.name = "into", .doc = "the file's path"},
            {.name = "fingerprint",
             .doc = "a table of the recorded fingerprints that the keys were compared with, by name"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .make = make_step<Restore>,
};

}  // namespace relight
