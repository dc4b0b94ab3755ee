// postgres.base_backup: a base backup by pg_basebackup, every file checked against its manifest.
#include <sys/stat.h>

#include "runner/step/access.h"
#include "runner/step/addition.h"
#include "runner/step/in_image.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/base.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/dump_look.h"
#include "steps/postgres/lib/set_parts.h"

namespace relight {
namespace {

using namespace postgres;

std::string path_of(const Params& params, const char* field, Call& call) {
  return call.place(sys::absolute(params.text(field)));
}

// What the server says of itself.
struct Facts {
  int major = 0;
  std::string version, data, config;  // config: the folder of its configuration, where it lies outside
  std::uint64_t bytes = 0;
};

Facts facts_of(sys::Sql& sql) {
  const sys::Rows rows = sql.query(
      "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'), "
      "current_setting('data_directory'), regexp_replace(current_setting('config_file'), '/[^/]*$', ''), "
      "(SELECT sum(pg_tablespace_size(oid)) FROM pg_tablespace)");
  const auto& row = rows.rows.at(0);
  Facts facts = {.major = std::stoi(row[0].value()),
                 .version = row[1].value(),
                 .data = row[2].value(),
                 .config = row[3].value_or(""),
                 .bytes = std::stoull(row[4].value())};
  if (facts.config == facts.data) facts.config.clear();
  return facts;
}

class BaseBackupStep : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "into");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    const Json& all = params.all();
    preview.summary = "take a base backup into " + shown(all["into"]);
    for (const char* field : {"server", "via", "into", "config_into"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(all[field]).begin();
        return preview;
      }
    preview.cannot_undo = "the base backup";
    try {
      const Addition base(call, path_of(params, "into", call));
      if (base.placed()) {
        preview.verdict = Preview::Verdict::nothing_to_do;
        preview.summary = "the base backup is there: " + base.path();
        return preview;
      }
      base.foresee(0, preview);
      if (params.has("config_into")) Addition(call, path_of(params, "config_into", call)).foresee(0, preview);
      check_given(params);
      foresee_server(DatabaseServer(params, call), base, call, preview);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    check_given(params);
    Addition base(call, path_of(params, "into", call));
    std::optional<Addition> config;
    if (params.has("config_into")) config.emplace(call, path_of(params, "config_into", call));
    if (!base.whole()) {
      base.begin();
      if (config) config->begin();
      failpoint("postgres.base_backup:begun");
      make(params, base, config ? config->beside() : "", call);
      if (config && sys::exists(config->beside())) config->mark();
      base.mark();
    }
    if (config && config->whole()) config->place();
    failpoint("postgres.base_backup:config_placed");
    base.place();
    failpoint("postgres.base_backup:placed");
    Json outputs = call.notes().at("taken");
    outputs["path"] = base.path();
    outputs["protected"] = true;
    return outputs;
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    Addition base(call, path_of(params, "into", call));
    if (base.placed()) return;
    base.take_back();
    if (params.has("config_into")) Addition(call, path_of(params, "config_into", call)).remove();
  }

  void discard(const Params& params, Call& call, const Json*) const override {
    Addition(call, path_of(params, "into", call)).discard();
    if (params.has("config_into")) Addition(call, path_of(params, "config_into", call)).discard();
  }

  void settle(const Params& params, Call& call) const override {
    if (!call.notes().contains("taking")) return;
    end_left_at_server(params, call);
  }

  std::string state_digest(const Params& params, Call& call) const override {
    return sys::tree_digest(path_of(params, "into", call));
  }

 private:
  static void check_given(const Params& params) {
    if (params.has("via") && params.has("config_into"))
      throw Error(ErrorKind::refused, "cannot copy the configuration", "config_into",
                  "it lies in the container, and is no folder of this host",
                  "take config_into out: what compose mounts there is backed up by blobs.archive");
  }

  static void foresee_server(const DatabaseServer& server, const Addition& base, Call& call,
                             Preview& preview) {
    std::optional<sys::Sql> sql = server.foresee(call, preview);
    if (!sql) return;
    const Facts facts = facts_of(*sql);
    for (auto& [folder, needed] : preview.space) needed += facts.bytes;
    preview.summary =
        "take a base backup (" + sys::show_size(facts.bytes) + " before packing) into " + base.path();
    if (const auto program = server.program("pg_basebackup", facts.major, call); !program.there())
      throw Error(ErrorKind::refused, "cannot take a base backup", "pg_basebackup",
                  "there is no such program", program.mend());
    const std::string senders = sql->query("SHOW max_wal_senders").one();
    if (senders == "0" || senders == "1")
      throw Error(ErrorKind::refused, "cannot take a base backup", "max_wal_senders",
                  "it is " + senders + ", and a base backup takes two", "set it to 4 or more, and restart");
  }

  static void make(const Params& params, const Addition& base, const std::string& config, Call& call) {
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    const Facts facts = facts_of(sql);
    const std::string system = sql.query("SELECT system_identifier FROM pg_control_system()").one();
    call.note("taking", server.session());
    const bool plain = params.text("format") == "plain";
    const EndsInImage ends(call, server.in_container());
    std::vector<std::string> arguments = {
        "--no-password",       "--pgdata=" + base.beside(), "--format=" + params.text("format"),
        "--wal-method=stream", "--checkpoint=fast",         "--manifest-checksums=SHA256"};
    if (!plain) arguments.push_back("--compress=client-zstd");
    const sys::Result result = call.run_program(
        server.program("pg_basebackup", facts.major, call)
            .command(std::move(arguments), {sys::parent_of(base.beside())}, server.environment()));
    if (!result.ok())
      throw Error(ErrorKind::permanent, "cannot take a base backup", base.path(),
                  told_errors(result.err_tail));
    failpoint("postgres.base_backup:made");
    const BaseBackup taken = verified(base.beside(), call);
    if (!config.empty() && !facts.config.empty()) {
      sys::copy_tree(facts.config, config);
      failpoint("postgres.base_backup:config_copied");
    }
    if (chmod(base.beside().c_str(), 0700) != 0)
      throw system_error(errno, "cannot set the mode", base.beside());
    sys::sync_tree(base.beside());
    const auto started = taken.manifest.started();
    call.note("taken", {{"start_lsn", show_lsn(taken.manifest.start)},
                        {"end_lsn", show_lsn(taken.manifest.end)},
                        {"timeline", taken.manifest.timeline},
                        {"taken_at", started ? Json(sys::show_time(*started)) : Json(nullptr)},
                        {"server_version", facts.version},
                        {"system_identifier", system},
                        {"bytes", sys::tree_bytes(base.beside())}});
  }

  // Every byte, also within the tars, which pg_verifybackup of 15 cannot read.
  static BaseBackup verified(const std::string& folder, Call& call) {
    BaseBackup base = open_base(folder);
    std::vector<Problem> problems;
    std::vector<std::string> hints;
    check_base(base, true, problems, hints, [&] {
      call.stop_here_if_wanted();
      return false;
    });
    if (!problems.empty()) {
      const Problem& first = problems.front();
      throw Error(ErrorKind::permanent, first.what, first.on, first.why,
                  "the disk or the memory of this host is at fault: see its log");
    }
    return base;
  }
};

}  // namespace

extern const StepType postgres_base_backup;
const StepType postgres_base_backup = {
    .name = "postgres.base_backup",
    .doc =
        "Take a base backup of a cluster by pg_basebackup, with the WAL that makes it consistent.\n"
        "Every file is checked against the manifest, within the tars too, before the backup takes its place; "
        "what is there already is never replaced. With the WAL archived from here on, postgres.recover "
        "brings back any moment after it. Undo leaves a backup that is whole.",
    .example =
        "postgres.base_backup \"base\" { into = \"/backup/base\", config_into = \"/backup/etc-postgresql\",\n"
        "  as = \"postgres\" }",
    .fields =
        {
            {.name = "into",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the folder of the backup",
             .example = "\"/backup/base\"",
             .choices = {}},
            {.name = "config_into",
             .type = FieldType::path,
             .required = false,
             .fallback = "",
             .doc = "where the folder of the server's configuration is copied to, when it lies outside the "
                    "data directory, as Debian's does",
             .example = "\"/backup/etc-postgresql\"",
             .choices = {}},
            {.name = "format",
             .type = FieldType::choice,
             .required = false,
             .fallback = "\"tar\"",
             .doc = "tar is packed by zstd; plain is a data directory",
             .example = "\"plain\"",
             .choices = {"tar", "plain"}},
            server_via_field(),
            server_field(),
            password_field(),
        },
    .outputs =
        {
            {.name = "path", .doc = "the backup"},
            {.name = "start_lsn", .doc = "where the WAL that it needs begins"},
            {.name = "end_lsn", .doc = "the first position that it can be recovered to"},
            {.name = "timeline", .doc = "on which it was taken"},
            {.name = "taken_at", .doc = "when it was begun, in UTC"},
            {.name = "server_version", .doc = "of the server"},
            {.name = "system_identifier", .doc = "of the cluster"},
            {.name = "bytes", .doc = "its size on disk"},
            {.name = "protected", .doc = "true: the cluster has a base backup of its timeline"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "a base backup that is whole",
    .drill = Drill::runs,
    .is_probe = false,
    .make = make_step<BaseBackupStep>,
    .verify = postgres::verify_base_part,
};

}  // namespace relight
