// backup.seal: the one file that binds the parts of a backup to one moment, one version and their hashes.
#include <algorithm>

#include "runner/step/access.h"
#include "runner/step/addition.h"
#include "runner/step/passphrase.h"
#include "runner/step/recovery_set.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

std::string set_of(const Params& params, Call& call) {
  return call.place(sys::absolute(params.text("set")));
}

std::string file_of(const Params& params, Call& call) {
  return set_of(params, call) + "/" + set_file;
}

// A path within the set is written as one below it: the set may be carried to another host.
std::string below(const std::string& set, const std::string& text) {
  return text.starts_with(set + "/") ? text.substr(set.size() + 1) : text;
}

// Every file that must be in the set and is not.
std::vector<std::string> lacking(const Params& params, const std::string& set) {
  std::vector<std::string> names;
  if (params.has("must_hold"))
    for (const std::string& name : params.list("must_hold"))
      if (!sys::exists(set + "/" + below(set, name))) names.push_back(name);
  for (const auto& [field, keys] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"database", {"dump", "base"}}, {"blobs", {"archive", "manifest"}}})
    if (params.has(field)) {
      const auto texts = params.texts(field);
      for (const std::string& key : keys)
        if (texts.contains(key) && !sys::exists(set + "/" + below(set, texts.at(key))))
          names.push_back(texts.at(key));
    }
  return names;
}

Error lacks(const std::string& set, const std::string& names) {
  return Error(ErrorKind::refused, "the recovery set is not whole", set, "it lacks " + names,
               "the step that makes it must come before this one, and write into the set");
}

Json releases_in(const std::string& set, const std::string& product) {
  Json releases = Json::array();
  if (!sys::is_folder(set + "/releases")) return releases;
  for (const std::string& name : sys::names_in(set + "/releases"))
    for (const std::string_view suffix : {".tar.zst", ".tar.gz"})
      if (name.starts_with(product + "-") && name.ends_with(suffix))
        releases.push_back(
            {{"version", name.substr(product.size() + 1, name.size() - product.size() - 1 - suffix.size())},
             {"path", "releases/" + name}});
  return releases;
}

class Seal : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override { return path_target(params, "set"); }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    const Json& all = params.all();
    preview.summary = "bind " + shown(all["set"]) + " as a backup of " + shown(all["product"]) + " " +
                      shown(all["version"]);
    preview.cannot_undo = "the seal";
    try {
      if (params.has("passphrase") && params.peek_secret("passphrase") != nullptr)
        passphrase_json(*params.peek_secret("passphrase"), "");
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    if (!params.known("set")) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      return preview;
    }
    const Addition file(call, file_of(params, call));
    if (file.placed()) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = "the set is sealed: " + file.path();
    } else if (sys::exists(file.path())) {
      preview.problems.push_back({"the recovery set is sealed already", file.path(),
                                  "another backup lies there", "name a new folder for each backup"});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const std::string set = set_of(params, call);
    Addition file(call, file_of(params, call));
    if (!file.whole()) {
      const auto missing = lacking(params, set);
      if (!missing.empty()) throw lacks(set, sys::join(missing, ", "));
      if (!call.notes().contains("time")) call.note("time", sys::show_time(sys::now()));
      file.begin();
      const Json json = contents(params, set, call);
      sys::write_new_file(file.beside(), json.dump(2) + "\n", 0644);
      call.note("sealed", {{"files", json.at("files").size()}, {"time", json.at("time")}});
      failpoint("backup.seal:written");
      file.mark();
    }
    file.place();
    failpoint("backup.seal:placed");
    Json outputs = call.notes().at("sealed");
    outputs["set"] = set;
    outputs["path"] = file.path();
    return outputs;
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    Addition(call, file_of(params, call)).take_back();
  }

  void discard(const Params& params, Call& call, const Json*) const override {
    Addition(call, file_of(params, call)).discard();
  }

  std::string state_digest(const Params& params, Call& call) const override {
    return sys::tree_digest(file_of(params, call));
  }

 private:
  static Json contents(const Params& params, const std::string& set, Call& call) {
    Json json = {{"format", set_format},
                 {"product", params.text("product")},
                 {"version", params.text("version")},
                 {"time", call.notes().at("time")}};
    std::string base;
    for (const char* field : {"database", "blobs"})
      if (params.has(field)) {
        Json part = Json::object();
        for (const auto& [key, text] : params.texts(field)) part[key] = below(set, text);
        if (part.contains("base")) base = part["base"].get<std::string>();
        json[field] = part;
      }
    if (params.has("passphrase"))
      json["passphrase"] = passphrase_json(params.secret("passphrase"), call.run());
    if (const auto text = sys::read_file_if_there(set + "/fingerprints.json"))
      json["fingerprints"] = sys::parse_json(*text).value("fingerprints", Json::object());
    if (const Json releases = releases_in(set, params.text("product")); !releases.empty())
      json["releases"] = releases;
    // The archive grows, and the manifest of a base backup binds the rest of it.
    const auto left_out = [&](const std::string& path) {
      return path.starts_with("wal/") ||
             (!base.empty() && path.starts_with(base + "/") && path != base + "/backup_manifest");
    };
    json["files"] = files_to_bind(set, left_out, call);
    if (json["files"].empty()) throw lacks(set, "any file");
    return json;
  }
};

}  // namespace

extern const StepType backup_seal;
const StepType backup_seal = {
    .name = "backup.seal",
    .doc =
        "Bind what lies in a folder into one recovery set, by a backup.json.\n"
        "It names product and version, the parts, their position in the WAL, the fingerprints of the keys "
        "(fingerprints.json, as key.escrow writes it) and the SHA-256 of every file; hidden files, wal/ and "
        "what "
        "the manifest of a base backup binds are left out. Of `passphrase` it holds a check value only "
        "(salted, PBKDF2 of 600,000 iterations), by which a wrong one is told before it is needed. A set is "
        "sealed once. `relight verify` and backup.verify check it. Undo leaves a set that is sealed.",
    .example =
        "backup.seal \"seal\" { set = input.backup, product = \"aihummer\", version = input.version,\n"
        "  database = { name = \"aihummer\", dump = \"aihummer.dump\" },\n"
        "  blobs = { archive = \"blobs.tar.zst\", manifest = \"blobs.sha256\" } }",
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
             .required = true,
             .fallback = "",
             .doc = "what was backed up",
             .example = "\"aihummer\"",
             .choices = {}},
            {.name = "version",
             .type = FieldType::text,
             .required = true,
             .fallback = "",
             .doc = "its version, which a restore needs",
             .example = "\"1.4.2\"",
             .choices = {}},
            {.name = "database",
             .type = FieldType::texts,
             .required = false,
             .fallback = "",
             .doc = "of the database: `name`, `dump`, `base`, `lsn` and whatever else is to be known of it",
             .example = "{ name = \"aihummer\", dump = dump.path, lsn = dump.lsn }",
             .choices = {}},
            {.name = "blobs",
             .type = FieldType::texts,
             .required = false,
             .fallback = "",
             .doc = "of the blobs: `archive` and `manifest`",
             .example = "{ archive = archive.path, manifest = archive.manifest }",
             .choices = {}},
            {.name = "passphrase",
             .type = FieldType::secret,
             .required = false,
             .fallback = "",
             .doc = "the passphrase of the product's own encrypted backups",
             .example = "secret.env \"SOPHON_BACKUP_PASSPHRASE\"",
             .choices = {}},
            {.name = "must_hold",
             .type = FieldType::list,
             .required = false,
             .fallback = "",
             .doc = "files without which the set is not sealed",
             .example = "{ \"env\", \"releases/SHA256SUMS\" }",
             .choices = {}},
        },
    .outputs =
        {
            {.name = "set", .doc = "the folder"},
            {.name = "path", .doc = "its backup.json"},
            {.name = "files", .doc = "how many files it binds"},
            {.name = "time", .doc = "when it was sealed, in UTC"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "a set that is sealed",
    .drill = Drill::runs,
    .is_probe = false,
    .make = make_step<Seal>,
};

}  // namespace relight
