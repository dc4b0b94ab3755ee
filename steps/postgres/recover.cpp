// postgres.recover: a cluster from its base backup and WAL archive, to a moment. How: see lib/recovery.h.
#include <fmt/core.h>

#include "runner/step/access.h"
#include "runner/step/newer.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/step/via.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/content.h"
#include "steps/postgres/lib/copy.h"
#include "steps/postgres/lib/field.h"
#include "steps/postgres/lib/made_cluster.h"
#include "steps/postgres/lib/outputs.h"
#include "steps/postgres/lib/recovery.h"
#include "steps/postgres/lib/replay.h"
#include "steps/postgres/lib/survey.h"
#include "steps/postgres/lib/window.h"

namespace relight {
namespace {

using namespace postgres;

std::string moment_of(const Target& target) {
  return std::string(target.stop.inclusive ? "" : "before ") + show_lsn(target.stop.lsn);
}

class Recover : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    const bool pause = params.text_or("action", "") == "pause";
    if (params.has("via") && !pause) return via_target(params);
    std::vector<std::string> targets;
    for (const char* field : {"data", "config_into"})
      for (const std::string& target : path_target(params, field)) targets.push_back(target);
    if (params.has("config") && !params.has("config_into") && params.known("data"))
      if (const std::string config = debian_config_of(params.text("data")); !config.empty())
        targets.push_back("path:" + config);
    return targets;
  }

  Preview preview(const Params& params, Call& call) const override;
  Json apply(const Params& params, Call& call) const override {
    return Recovery(read_wish(params, call), call).apply();
  }
  void undo(const Params& params, Call& call, const Json*) const override {
    if (nothing_begun(params, call)) return;
    Recovery(read_wish(params, call), call).undo();
  }
  void discard(const Params& params, Call& call, const Json*) const override {
    if (nothing_begun(params, call)) return;
    Recovery(read_wish(params, call), call).discard();
  }
  Json kept(const Params& params, Call& call, const Json*) const override {
    if (nothing_begun(params, call)) return Json::array();
    return Recovery(read_wish(params, call), call).kept();
  }
  void settle(const Params& params, Call& call) const override {
    if (nothing_begun(params, call)) return;
    Recovery(read_wish(params, call), call).settle();
  }
  Done check(const Params& params, Call& call, Json& outputs) const override {
    if (nothing_begun(params, call)) return Done::no;
    if (!Recovery(read_wish(params, call), call).done()) return Done::no;
    outputs = call.notes()["outputs"];
    return Done::yes;
  }
  // All that a server writes passes through its WAL.
  std::vector<std::string> newer(const Params& params, Call& call, sys::Time since) const override {
    const Wish wish = read_wish(params, call);
    const std::string& data = wish.data;
    if (wish.pause) return {};  // nobody can
    if (newer_since(since, data + "/pg_wal").empty()) return {};
    return {"the cluster in " + data + " was written to" + taken_away};
  }

  std::string state_digest(const Params& params, Call& call) const override {
    const Wish wish = read_wish(params, call);
    if (wish.pause) return copy_digest(wish.data, call);
    if (wish.container) return sys::tree_digest(wish.data);
    return content_digest(wish.data, call) + " " +
           sys::tree_digest(wish.config.empty() ? "" : wish.config_into);
  }
};

// What of its end can be told wrong before its beginning.
void foresee_end(const Wish& wish, Preview& preview) {
  try {
    if (!wish.heartbeat.empty()) heartbeat_query(wish.heartbeat);
  } catch (const Error& error) {
    preview.problems.push_back({error.failed, error.on, error.why, error.hint});
  }
  if (wish.archive_into.empty()) return;
  if (wish.pause)
    preview.problems.push_back({"a paused copy archives nothing", wish.archive_into, "its server is quiet",
                                "leave archive_into out, or give it to postgres.promote"});
  else
    foresee_archive(wish.archive_into, preview);
}

Field of_family(const char* name, std::vector<Field> parts) {
  Field family = field(name, FieldType::table, false, "", "", "");
  family.parts = std::move(parts);
  return family;
}

Field repository_field() {
  Field repository =
      field("repository", FieldType::tagged, false, "",
            "in place of base: a repository of pgBackRest or Barman, read by that tool's own command, of "
            "which the newest backup that leads to the moment is taken, or the one of `set`, and whose WAL "
            "is used",
            "pgbackrest{ stanza = \"main\", config = \"/etc/pgbackrest/pgbackrest.conf\" }");
  const Field config = field("config", FieldType::path, false, "", "the tool's configuration", "");
  const Field set = field("set", FieldType::text, false, "", "the label of the one backup to take", "");
  repository.choices = {"pgbackrest", "barman"};
  repository.parts = {
      of_family("pgbackrest",
                {field("stanza", FieldType::text, true, "", "the stanza", ""), config,
                 field("path", FieldType::path, false, "", "the repository's folder, as repo1-path", ""),
                 field("repo", FieldType::integer, false, "", "which of several repositories", ""), set}),
      of_family(
          "barman",
          {field("server", FieldType::text, true, "", "the server", ""), config, set,
           field("host", FieldType::text, false, "",
                 "where Barman runs, as ssh takes it, without a password: its backups and WAL come by ssh",
                 "\"barman@backup\"")})};
  return repository;
}

Preview Recover::preview(const Params& params, Call& call) const {
  Preview preview;
  for (const char* field : {"base", "repository", "wal", "to", "data", "config", "config_into", "lost_at",
                            "tablespaces", "database", "archive_into", "heartbeat", "via"}) {
    if (params.known(field)) continue;
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.summary = "recover a cluster; " + std::string(field) + " is " + shown(params.all()[field]);
    return preview;
  }
  std::optional<Wish> read;
  try {
    if (nothing_begun(params, call)) preview.summary = "recover the cluster of " + shown_via(params);
    if (!foresee_container(params, call, preview)) return preview;
    read = read_wish(params, call);
  } catch (const Error& error) {
    if (error.kind == ErrorKind::transient) throw;
    preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    if (preview.summary.empty()) preview.summary = "recover a cluster";
    return preview;
  }
  const Wish wish = *read;
  if (Recovery(wish, call).done()) {
    preview.verdict = Preview::Verdict::nothing_to_do;
    preview.summary = "this run has recovered the cluster already";
    return preview;
  }
  SurveyOptions options;
  options.every_byte = call.full_depth();
  options.run = call.run();
  options.stop = [&] { return call.stop_wanted(); };
  Survey found = survey(wish, options);
  if (wish.pause) foresee_copy(wish, found);
  preview.problems = found.problems;
  preview.hints = found.hints;
  foresee_end(wish, preview);
  preview.space = found.space;
  if (!wish.pause && (found.there.kind == ClusterThere::Kind::cluster ||
                      found.there.kind == ClusterThere::Kind::empty_cluster))
    preview.keeps.push_back("the cluster at " + wish.data + " (" + sys::show_size(found.there.bytes) + ")");
  if (!wish.config.empty() && sys::exists(wish.config_into))
    preview.keeps.push_back("the configuration at " + wish.config_into);
  if (!found.unknown.empty()) preview.verdict = Preview::Verdict::cannot_yet_tell;
  if (!found.base) {
    preview.summary = "recover " + wish.data;
    return preview;
  }
  const Manifest& manifest = found.base->manifest;
  preview.summary =
      "unpack " + sys::show_count(manifest.files.size()) + " files, " + sys::show_size(manifest.bytes());
  if (found.target)
    preview.summary += fmt::format(
        ", replay {} segments to {}{} on timeline {}{}", sys::show_count(found.target->segments.size()),
        wish.moment.kind == Moment::Kind::time ? sys::show_time(wish.moment.time) + ", " : "",
        moment_of(*found.target), found.target->stop.timeline,
        found.target->last_commit.empty() ? "" : ", last commit " + found.target->last_commit);
  else
    preview.summary +=
        ", replay WAL to " + shown(wish.moment) + (found.unknown.empty() ? "" : " (" + found.unknown + ")");
  if (wish.pause) preview.summary += "; and hold it there, read-only, at " + wish.data;
  return preview;
}

Json peek_params(const Json& params, const std::string& folder, const std::string& moment) {
  Json copy = params;
  for (const char* of_production :
       {"config", "config_into", "tablespaces", "port", "replace", "lost_at", "archive_into", "heartbeat"})
    copy.erase(of_production);
  copy["data"] = folder;
  copy["action"] = "pause";
  if (!moment.empty()) copy["to"] = moment;
  return copy;
}

}  // namespace

extern const StepType postgres_recover;
const StepType postgres_recover = {
    .name = "postgres.recover",
    .doc =
        "Bring a PostgreSQL cluster back from its base backup and WAL archive, to a moment.\n"
        "The base backup is unpacked beside the data directory, every file checked against its manifest. A "
        "quiet server "
        "(private socket, no archiving, no subscriptions, no preloaded library) replays the WAL, pauses at "
        "the position "
        "that the plan has worked out by reading every record, and is promoted only when position, timeline "
        "and last "
        "commit are those asked for. Then it is shut down and exchanged for what lay there, which is kept (a "
        "mount "
        "point keeps its place, and its entries are switched one by one). "
        "Tablespaces are "
        "made anew in folders beside the old ones, and stay there. Nothing is protected until a base backup "
        "of the new "
        "timeline is made.\n"
        "What the server will need of this host is proved before it replays: the libraries that its settings "
        "preload, the locales they name, the block size of its pg_control; in the plan where that can be "
        "read "
        "(a plain base backup, or `config`), else when it is unpacked. Collations and extensions that are "
        "others here are told in the log once the quiet server is up, with the indexes to REINDEX.\n"
        "A repository of pgBackRest may lie on another host, or be encrypted: its own command lists and "
        "hands "
        "out what is in it, checks every file as it restores it, and its configuration is all that it needs. "
        "Barman's command names its folders, of this host, or of the `host` that ssh reaches without a "
        "password: its base "
        "backups are taken as "
        "pg_basebackup has left them there (backup_method = postgres). Neither writes into it.\n"
        "With action = \"pause\" it is not promoted: `data` is then a folder of this host, beside "
        "production, "
        "of "
        "which nothing is touched; with `via` the service may run, and its image serves the copy. A quiet "
        "server holds the copy there, read-only, after the run has ended, "
        "and "
        "answers at `url`; undo stops it and takes it away. postgres.advance and postgres.promote go on from "
        "there, and `relight peek` pulls single rows out of such a copy.",
    .example =
        "postgres.recover \"database\" {\n"
        "  base = \"/backup/base\", wal = { \"/backup/wal\" }, to = \"latest\",\n"
        "  data = \"/var/lib/postgresql/15/main\", config = \"/backup/etc-postgresql\", database = "
        "\"aihummer\",\n"
        "  as = \"postgres\",\n"
        "}",
    .fields =
        {field("base", FieldType::location, false, "",
               "the base backup: a folder of pg_basebackup, plain or with its tars, a tar, or a folder of "
               "several, "
               "of which the newest that ends before the moment is taken",
               "\"/backup/base\""),
         repository_field(),
         field(
             "wal", FieldType::locations, false, "[]",
             "folders of archived WAL, read before what a repository holds; segments may be compressed, and "
             "named as "
             "pgBackRest or Barman names them",
             "{ \"/backup/wal\" }"),
         field("to", FieldType::moment, false, "\"latest\"", "where to stop", "\"2026-11-21T10:26:00Z\""),
         field("inclusive", FieldType::boolean, false, "true",
               "keep what is of that very time, position or transaction; false: stop before it", "false"),
         {.name = "past_end",
          .type = FieldType::choice,
          .required = false,
          .fallback = "\"refuse\"",
          .doc = "a time after the last commit: refuse it, or recover all that there is",
          .example = "\"latest\"",
          .choices = {"refuse", "latest"}},
         field("old_wal", FieldType::boolean, false, "true",
               "read what the archive does not hold from the pg_wal of the old cluster at `data`", "false"),
         field("lost_at", FieldType::time, false, "", "when the host was lost: tells what was lost with it",
               "\"2026-11-21T10:30:00Z\""),
         made_data_field(),
         made_via_field(),
         field("config", FieldType::location, false, "",
               "the folder that was /etc/postgresql/V/NAME, restored with it", "\"/backup/etc-postgresql\""),
         field("config_into", FieldType::path, false, "",
               "where it goes; not given: /etc/postgresql/V/NAME, by the data directory's name",
               "\"/etc/postgresql/15/main\""),
         field("archive_into", FieldType::path, false, "",
               "a folder, empty or not there yet, into which the recovered cluster archives its WAL from its "
               "new "
               "timeline on, by its postgresql.auto.conf; not given: as its configuration says",
               "\"/backup/new/wal\""),
         field("tablespaces", FieldType::texts, false, "",
               "old location (or OID) of a tablespace -> its new folder; not given: beside the old",
               "{ [\"/srv/fast\"] = \"/srv/fast-new\" }"),
         field(
             "heartbeat", FieldType::text, false, "",
             "a column that is written at short intervals, SCHEMA.TABLE.COLUMN: without it an idle database "
             "cannot be told from a lost one, and what was lost is a range",
             "\"public.heartbeat.at\""),
         field("database", FieldType::text, false, "\"postgres\"",
               "the database that must open, and that `url` names", "\"aihummer\""),
         field("role", FieldType::text, false, "\"postgres\"", "a superuser of the cluster", "\"postgres\""),
         field("port", FieldType::integer, false, "", "for `url`; not given: as the configuration says",
               "5433"),
         {.name = "action",
          .type = FieldType::choice,
          .required = false,
          .fallback = "\"promote\"",
          .doc = "what becomes of it at the moment; pause: a read-only copy in a folder of its own",
          .example = "\"pause\"",
          .choices = {"promote", "pause"}},
         field("replace", FieldType::boolean, false, "false", "put a cluster that holds data aside", "true"),
         field("version", FieldType::integer, false, "",
               "the major version that is expected; not given: the backup's", "15"),
         field("timeline", FieldType::integer, false, "",
               "the timeline to follow; not given: the newest that leads on from the backup", "2")},
    .outputs = recovery_outputs(),
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .make = make_step<Recover>,
    .window = tell_window,
    .peek = peek_params,
};

}  // namespace relight
