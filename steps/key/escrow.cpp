// key.escrow: what a recovery set must know of a key, and the key itself in a place that is not the backup.
#include <climits>
#include <cstdlib>

#include "runner/step/access.h"
#include "runner/step/env_file.h"
#include "runner/step/placed_file.h"
#include "runner/step/recovery_set.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/key/lib/fingerprint.h"

namespace relight {
namespace {

constexpr mode_t key_mode = 0600, fingerprint_mode = 0644;

// Where a path leads, links followed as far as it is there.
std::string real(const std::string& path) {
  std::string there = sys::absolute(path), rest;
  while (!sys::exists(there) && there != "/") {
    rest = "/" + sys::name_of_path(there) + rest;
    there = sys::parent_of(there);
  }
  char text[PATH_MAX];
  if (realpath(there.c_str(), text) == nullptr) throw system_error(errno, "cannot follow the path", there);
  return (there == "/" ? "" : std::string(text)) + rest;
}

struct Places {
  Places(const Params& params, Call& call) : set(call.place(sys::absolute(params.text("set")))) {
    if (!params.has("into")) return;
    into = call.place(sys::absolute(params.text("into")));
    const std::string where = real(into), backup = real(set);
    if ((where + "/").starts_with(backup + "/"))
      throw Error(ErrorKind::refused, "a key does not belong into the backup that it opens", into,
                  "it lies within " + set, "keep it where a thief of the backup does not find it");
    if (sys::parent_of(where) == sys::parent_of(backup))
      throw Error(ErrorKind::refused, "a key does not belong beside the backup that it opens", into,
                  "what copies " + sys::parent_of(set) + " away takes both",
                  "keep it where a thief of the backup does not find it");
  }
  // What backup.json binds must not change any more.
  void refuse_sealed() const {
    if (sys::exists(set + "/" + set_file))
      throw Error(ErrorKind::refused, "the recovery set is sealed already", set,
                  "it would not verify with other fingerprints", "name a new folder for each backup");
  }
  std::string fingerprints() const { return set + "/fingerprints.json"; }
  std::string set, into;  // into: empty where the key is kept elsewhere already
};

// Name and text of each key of the secret.
std::vector<std::pair<std::string, std::string>> keys_of(const Params& params, std::string_view secret) {
  if (!params.has("variables")) return {{params.text("name"), std::string(secret)}};
  const EnvFile file(std::string(secret), "the secret in `key`");
  std::vector<std::pair<std::string, std::string>> keys;
  for (const std::string& name : params.list("variables")) {
    const auto value = file.value(name);
    if (!value)
      throw Error(ErrorKind::refused, "the key is missing", name, "`key` has no line " + name + "=...",
                  "check that `key` is the env file with the keys of this host");
    keys.emplace_back(name, *value);
  }
  return keys;
}

// The key as it is kept: the file, or the lines of the variables alone.
std::string kept_text(const Params& params, std::string_view secret) {
  if (!params.has("variables")) return std::string(secret);
  const EnvFile file(std::string(secret), "the secret in `key`");
  EnvFile lines("", "");
  for (const std::string& name : params.list("variables")) lines.take(file, name);
  return lines.text();
}

class Escrow : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "into");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    const Json& all = params.all();
    preview.summary = "write the fingerprint of the key into " + shown(all["set"]);
    if (params.has("into")) preview.summary += ", and the key itself to " + shown(all["into"]);
    for (const char* field : {"set", "into", "variables", "name"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        return preview;
      }
    try {
      const Places places(params, call);
      places.refuse_sealed();
      if (const Secret* secret = params.peek_secret("key"))
        for (const auto& [name, text] : keys_of(params, secret->view()))
          fingerprint_json(text, params.text("encoding"), name, "");
      else
        preview.hints.push_back("the key is not read by this plan: --check-secrets does it");
      PlacedFile(call, places.fingerprints(), fingerprint_mode).foresee(preview);
      if (!places.into.empty()) {
        PlacedFile(call, places.into, key_mode).foresee(preview);
        if (sys::device_of(places.into) == sys::device_of(places.set))
          preview.hints.push_back(places.into +
                                  " is on the same file system as the backup: both are lost with one disk");
      } else {
        preview.hints.push_back("the key itself is kept by nobody here: keep a copy that outlives this host");
      }
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const Places places(params, call);
    places.refuse_sealed();
    const Secret& secret = params.secret("key");
    Json fingerprints = Json::object();
    if (sys::exists(places.fingerprints())) fingerprints = recorded(places.fingerprints());
    for (const auto& [name, text] : keys_of(params, secret.view()))
      fingerprints[name] = fingerprint_json(text, params.text("encoding"), name, call.run());
    if (!places.into.empty())
      PlacedFile(call, places.into, key_mode).put(kept_text(params, secret.view()), {});
    const Json file = {{"format", set_format}, {"fingerprints", fingerprints}};
    PlacedFile(call, places.fingerprints(), fingerprint_mode).put(file.dump(2) + "\n", {});
    return {{"fingerprints", places.fingerprints()}, {"into", places.into}};
  }

  void undo(const Params& params, Call& call, const Json* outputs) const override {
    if (outputs != nullptr) return;  // a part of a backup, which stays
    const Places places(params, call);
    PlacedFile(call, places.fingerprints(), fingerprint_mode).undo();
    if (!places.into.empty()) PlacedFile(call, places.into, key_mode).undo();
  }

  void discard(const Params& params, Call& call, const Json*) const override {
    const Places places(params, call);
    PlacedFile(call, places.fingerprints(), fingerprint_mode).discard();
    if (!places.into.empty()) PlacedFile(call, places.into, key_mode).discard();
  }

  Json kept(const Params& params, Call& call, const Json*) const override {
    const Places places(params, call);
    Json all = PlacedFile(call, places.fingerprints(), fingerprint_mode).kept();
    if (!places.into.empty())
      for (const Json& one : PlacedFile(call, places.into, key_mode).kept()) all.push_back(one);
    return all;
  }

  // Stretched and salted with the run: the plain hash of a weak secret could be guessed back.
  std::string state_digest(const Params& params, Call& call) const override {
    constexpr int iterations = 100'000;
    const Places places(params, call);
    std::string state = PlacedFile(call, places.fingerprints(), fingerprint_mode).state_digest();
    if (!places.into.empty()) state += PlacedFile(call, places.into, key_mode).state_digest();
    return sys::to_hex(sys::pbkdf2_sha256(state, call.run(), iterations, 32));
  }

 private:
  // What other steps wrote there.
  static Json recorded(const std::string& file) {
    read_fingerprints(file);
    return sys::parse_json(sys::read_file(file)).value("fingerprints", Json::object());
  }
};

void verify_fingerprints(const RecoverySet& set, bool, Call&, SetReport& report) {
  const auto fingerprints = read_fingerprints(set.folder + "/" + set_file);
  if (fingerprints.empty()) {
    report.hints.push_back("no fingerprint of a key is recorded: a wrong key is found out when it is used");
    return;
  }
  std::string names;
  for (const auto& [name, one] : fingerprints) names += (names.empty() ? "" : ", ") + name;
  report.parts.push_back({"keys", "fingerprints of " + names});
}

}  // namespace

extern const StepType key_escrow;
const StepType key_escrow = {
    .name = "key.escrow",
    .doc =
        "Write a key's fingerprint into a recovery set, and the key itself to a place that is not the "
        "backup.\n"
        "The fingerprint (salted, PBKDF2 of 600,000 iterations) tells a wrong key at a restore and helps "
        "nobody to guess the right one; it goes to fingerprints.json in the set, which backup.seal takes "
        "over. The key itself is written only with `into`, which is refused within the set and beside it.",
    .example =
        "key.escrow \"keys\" { key = secret.file \"/etc/aihummer/env\", variables = { "
        "\"AIHUMMER_MASTER_KEY\" },\n  set = input.backup, into = \"/media/keys/aihummer.env\" }",
    .fields =
        {
            {.name = "key",
             .type = FieldType::secret,
             .required = true,
             .fallback = "",
             .doc = "the key file's bytes, or an env file that holds the variables",
             .example = "secret.file \"/etc/aihummer/env\"",
             .choices = {}},
            {.name = "variables",
             .type = FieldType::list,
             .required = false,
             .fallback = "",
             .doc = "the variables of the env file that are keys",
             .example = "{ \"AIHUMMER_MASTER_KEY\" }",
             .choices = {}},
            {.name = "name",
             .type = FieldType::text,
             .required = false,
             .fallback = "\"key\"",
             .doc = "without `variables`: the name of the key in the set, as its file is named",
             .example = "\"vault.key\"",
             .choices = {}},
            {.name = "set",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the folder of the recovery set",
             .example = "input.backup",
             .choices = {}},
            {.name = "into",
             .type = FieldType::path,
             .required = false,
             .fallback = "",
             .doc = "where the key itself is kept; when not given, it is kept by somebody else",
             .example = "\"/media/keys/aihummer.env\"",
             .choices = {}},
            {.name = "encoding",
             .type = FieldType::choice,
             .required = false,
             .fallback = "\"auto\"",
             .doc = "how the key is written",
             .example = "\"base64\"",
             .choices = {"auto", "hex", "base64", "raw"}},
        },
    .outputs =
        {
            {.name = "fingerprints", .doc = "the file with the fingerprints"},
            {.name = "into", .doc = "where the key is kept; empty: elsewhere"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "the fingerprint and the key, once both are written",
    .drill = Drill::runs,
    .is_probe = false,
    .make = make_step<Escrow>,
    .verify = verify_fingerprints,
};

}  // namespace relight
