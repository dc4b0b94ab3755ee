// postgres.promote: the end of a paused copy's recovery, in place of a production cluster or where it lies.
// It is the recovery's own end: see lib/recovery.h.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "runner/step/access.h"
#include "runner/step/newer.h"
#include "runner/step/step.h"
#include "runner/step/switch.h"
#include "runner/step/value.h"
#include "runner/step/via.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/content.h"
#include "steps/postgres/lib/copy.h"
#include "steps/postgres/lib/field.h"
#include "steps/postgres/lib/outputs.h"
#include "steps/postgres/lib/recovery.h"
#include "steps/postgres/lib/server.h"

namespace relight {
namespace {

using namespace postgres;

std::string copy_of(const Params& params, Call& call) {
  return sys::absolute(call.place(params.text("copy")));
}

// Where it goes.
void place(Wish& wish, const Params& params, Call& call) {
  wish.call = &call;
  if (const auto via = via_of(params, call)) {
    refuse_in_container(params);
    wish.container = container_data(*via, params.text_or("into", ""), call);
    wish.data = wish.container->folder;
    wish.data_named = wish.container->inside;
    return;
  }
  wish.data = wish.data_named =
      params.has("into") ? sys::absolute(call.place(params.text("into"))) : copy_of(params, call);
}

// The rest it brings with it.
Wish wish_of(const Params& params, Call& call) {
  const std::string copy = copy_of(params, call);
  Wish wish;
  place(wish, params, call);
  if (params.has("config")) wish.config = call.place(params.text("config"));
  wish.config_into =
      params.has("config_into") ? call.place(params.text("config_into")) : wish.config_outside();
  if (params.has("port")) wish.port = params.integer("port");
  wish.replace = params.flag("replace");
  if (params.has("archive_into")) wish.archive_into = sys::absolute(call.place(params.text("archive_into")));
  // Noted before anything is changed: the copy's own record goes with its recovery.
  if (!call.notes().contains("copy")) {
    const CopyRecord record = read_copy(copy, call);
    Json told = {{"wal", record.wish.wal},
                 {"to", record.wish.moment.text},
                 {"database", record.wish.database},
                 {"role", record.wish.role},
                 {"heartbeat", record.wish.heartbeat}};
    if (record.wish.lost_at) told["lost_at"] = sys::show_time(*record.wish.lost_at);
    if (wish.data == copy) wish.container = record.wish.container;
    if (!call.previewing()) {
      if (wish.container) note_container(call, *wish.container);
      call.note("copy", told);
    }
    wish.wal = record.wish.wal;
    wish.moment = record.wish.moment;
    wish.database = record.wish.database;
    wish.role = record.wish.role;
    wish.heartbeat = record.wish.heartbeat;
    wish.lost_at = record.wish.lost_at;
    return wish;
  }
  if (call.notes().contains(container_note))
    wish.container = container_data_from(call.notes()[container_note]);
  const Json& told = call.notes()["copy"];
  wish.wal = told["wal"].get<std::vector<std::string>>();
  wish.moment = parse_moment(told["to"]);
  wish.database = told["database"];
  wish.role = told["role"];
  wish.heartbeat = told["heartbeat"];
  if (told.contains("lost_at")) wish.lost_at = sys::parse_time(told["lost_at"].get<std::string>());
  return wish;
}

class Promote : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    std::vector<std::string> targets = via_target(params);
    if (params.has("via")) {
      for (const std::string& copy : path_target(params, "copy")) targets.push_back(copy);
      return targets;
    }
    for (const char* field : {"copy", "into", "config_into"})
      for (const std::string& target : path_target(params, field)) targets.push_back(target);
    if (params.has("config") && !params.has("config_into") && params.has("into") && params.known("into"))
      if (const std::string config = debian_config_of(params.text("into")); !config.empty())
        targets.push_back("path:" + config);
    return targets;
  }

  Preview preview(const Params& params, Call& call) const override;

  Json apply(const Params& params, Call& call) const override { return recovery(params, call).apply(); }
  void undo(const Params& params, Call& call, const Json*) const override {
    if (call.notes().contains("copy")) recovery(params, call).undo();
  }
  void discard(const Params& params, Call& call, const Json*) const override {
    if (call.notes().contains("copy")) recovery(params, call).discard();
  }
  Json kept(const Params& params, Call& call, const Json*) const override {
    return call.notes().contains("copy") ? recovery(params, call).kept() : Json::array();
  }
  void settle(const Params& params, Call& call) const override {
    if (call.notes().contains("copy")) recovery(params, call).settle();
  }
  Done check(const Params& params, Call& call, Json& outputs) const override {
    if (!call.notes().contains("copy") || !recovery(params, call).done()) return Done::no;
    outputs = call.notes()["outputs"];
    return Done::yes;
  }
  std::vector<std::string> newer(const Params& params, Call& call, sys::Time since) const override {
    const std::string data = wish_of(params, call).data;
    if (newer_since(since, data + "/pg_wal").empty()) return {};
    return {"the cluster in " + data + " was written to" + taken_away};
  }
  std::string state_digest(const Params& params, Call& call) const override {
    const std::string copy = copy_of(params, call);
    const std::string held = is_up(copy) ? copy_digest(copy, call) : "";
    Wish where;
    place(where, params, call);
    const std::string& into = where.data;
    if (where.container) return held + " " + sys::tree_digest(into);
    if (!held.empty()) return held + (into == copy ? "" : " " + content_digest(into, call));
    const std::string config =
        params.has("config_into") ? call.place(params.text("config_into")) : where.config_outside();
    return content_digest(into, call) + (params.has("config") ? " " + sys::tree_digest(config) : "");
  }

 private:
  static Recovery recovery(const Params& params, Call& call) {
    return {wish_of(params, call), call, copy_of(params, call)};
  }
};

// A rename leads from the one to the other: not from mount to mount, though it be of one file system.
bool one_mount(const std::string& one, const std::string& other) {
  const auto mount_of = [](const std::string& path) {
    struct statx told {};
    if (statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &told) != 0)
      throw system_error(errno, "cannot look at", path);
    return told.stx_mnt_id;
  };
  return mount_of(one) == mount_of(other);
}

// What is in the way of the copy where it goes.
void foresee_target(const Wish& wish, const std::string& copy, Preview& preview) {
  const auto problem = [&](std::string what, std::string on, std::string why, std::string hint) {
    preview.problems.push_back({std::move(what), std::move(on), std::move(why), std::move(hint)});
  };
  const SwitchOutlook outlook = switch_outlook(wish.data);
  if (!outlook.hint.empty()) preview.hints.push_back(outlook.hint);
  if (outlook.obstacle)
    preview.problems.push_back(*outlook.obstacle);
  else if (access(outlook.folder.c_str(), W_OK | X_OK) != 0)
    problem("cannot write beside the target", wish.data,
            outlook.folder + " is not writable for " + sys::current_user().name,
            "make that folder the user's own, as Debian's packages do");
  if (!one_mount(copy, outlook.folder))
    problem("the copy lies on another file system", copy, "it is moved into its place, and not copied",
            "bring it up beside " + wish.data + ": postgres.recover with data in " + outlook.folder);
  if (const std::string served = server_on(wish.data, wish.container); !served.empty()) {
    preview.hints.push_back(wish.data + ": " + served +
                            ": stop it in a step before this one, with service.stop");
    preview.verdict = Preview::Verdict::cannot_yet_tell;
  }
  const ClusterThere there = look_at(wish.data);
  if (there.kind == ClusterThere::Kind::other)
    problem("something else is in the way", wish.data, "it is not empty, and no cluster",
            "move it away yourself, or name another folder");
  if (there.kind == ClusterThere::Kind::cluster && !wish.replace)
    problem("a cluster with data is in the way", wish.data, "it holds tables or databases",
            "write replace = true to put it aside, or name another folder");
  if (there.kind == ClusterThere::Kind::cluster || there.kind == ClusterThere::Kind::empty_cluster)
    preview.keeps.push_back("the cluster at " + wish.data + " (" + sys::show_size(there.bytes) + ")");
}

// A copy goes where it was made for: to a cluster of this host, or to a container.
void foresee_images(const Wish& wish, const CopyRecord& record, Preview& preview) {
  const auto problem = [&](std::string why, std::string hint) {
    preview.problems.push_back({"the copy does not fit there", wish.data, std::move(why), std::move(hint)});
  };
  const auto& made_by = record.wish.container;
  const std::string another = "bring another copy up, with postgres.recover";
  if (made_by && !wish.container)
    return problem("it is served from a container", "name that in `via`, or " + another + " without `via`");
  if (!wish.container) return;
  if (!made_by)
    problem("it was made by a PostgreSQL of this host", another + " and the same `via`");
  else if (made_by->owner.uid != wish.container->owner.uid)
    problem("its files are of user " + std::to_string(made_by->owner.uid) + ", and those of " +
                wish.container->service + " of " + std::to_string(wish.container->owner.uid),
            another + " and the same `via`");
  if (!programs_for(wish, record.decision.major))
    problem("the image of " + wish.container->service + " runs no PostgreSQL " +
                std::to_string(record.decision.major),
            "pin the image of that version, and make the container anew");
}

Preview Promote::preview(const Params& params, Call& call) const {
  Preview preview;
  for (const char* field : {"copy", "into", "via", "config", "config_into", "archive_into"})
    if (params.has(field) && !params.known(field)) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.proved_after = *outputs_used(params.all()[field]).begin();
      preview.summary = "promote the copy at " + shown(params.all()["copy"]) +
                        (params.has("via")    ? " and put it in place of what " + shown_via(params) + " has"
                         : params.has("into") ? " and put it in place of " + shown(params.all()["into"])
                                              : "");
      return preview;
    }
  const std::string copy = copy_of(params, call);
  preview.summary = "promote the copy at " + copy;
  try {
    if (call.notes().contains("copy") && recovery(params, call).done()) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = "this run has promoted the copy already";
      return preview;
    }
    if (!call.notes().contains("copy") && !foresee_container(params, call, preview)) return preview;
    const Wish wish = wish_of(params, call);
    const CopyRecord record = read_copy(copy, call);
    const Target& target = record.decision.target;
    preview.summary += ", at " + show_lsn(target.stop.lsn) +
                       (target.last_commit.empty() ? "" : ", last commit " + target.last_commit);
    foresee_images(wish, record, preview);
    if (wish.data != copy) {
      preview.summary += ", and put it in place of " + wish.data;
      foresee_target(wish, copy, preview);
    }
    if (!wish.config.empty()) {
      if (wish.config_into.empty())
        throw Error(ErrorKind::refused, "cannot tell where the configuration goes", wish.data,
                    "it is not named as Debian names its clusters",
                    "write config_into = \"/etc/postgresql/V/NAME\"");
      const std::string from = find_config(wish.config, wish.config_into);
      const auto programs = Programs::find(record.decision.major);
      if (programs && geteuid() != 0)
        check_config(*programs, from, wish.data_named, preview.problems, preview.hints);
    }
    if (!wish.archive_into.empty()) foresee_archive(wish.archive_into, preview);
    preview.cannot_undo = "the pause: once promoted the copy can be advanced no more";
  } catch (const Error& error) {
    preview.problems.push_back({error.failed, error.on, error.why, error.hint});
  }
  return preview;
}

}  // namespace

extern const StepType postgres_promote;
const StepType postgres_promote = {
    .name = "postgres.promote",
    .doc =
        "End the recovery of a paused copy at its moment, and put it in place of a cluster.\n"
        "The copy of a postgres.recover with action = \"pause\", or of a postgres.advance, is promoted "
        "there, shut "
        "down cleanly and exchanged for what lies at `into`, which is kept; both lie on one file system. "
        "Without "
        "`into` it stays where it is, a cluster like any other. With `via` it replaces what the service "
        "keeps "
        "in its volume. Start it with service.start. Undo makes the "
        "exchange the other way. Nothing is protected until a base backup of the new timeline is made.",
    .example =
        "postgres.promote \"database\" {\n"
        "  copy = \"/srv/copy\", into = \"/var/lib/postgresql/15/main\", replace = true, as = \"postgres\",\n"
        "}",
    .fields =
        {field("copy", FieldType::path, true, "", "the folder of the copy", "copy.data"),
         field("into", FieldType::path, false, "",
               "the data directory that it replaces; not given: it stays where it is; with `via` as the "
               "container sees it, not given: its PGDATA",
               "\"/var/lib/postgresql/15/main\""),
         via_field("the service in whose volume it goes, stopped; its container is there. The copy was made "
                   "with the same"),
         field("replace", FieldType::boolean, false, "false", "put a cluster that holds data aside", "true"),
         field("config", FieldType::location, false, "",
               "the folder that was /etc/postgresql/V/NAME, restored with it; not given: the one that is "
               "there stays",
               "\"/backup/etc-postgresql\""),
         field("config_into", FieldType::path, false, "",
               "where it goes; not given: /etc/postgresql/V/NAME, by the data directory's name",
               "\"/etc/postgresql/15/main\""),
         field("archive_into", FieldType::path, false, "",
               "a folder, empty or not there yet, into which the cluster archives its WAL from its new "
               "timeline on; not given: as its configuration says",
               "\"/backup/new/wal\""),
         field("port", FieldType::integer, false, "", "for `url`; not given: as the configuration says",
               "5433")},
    .outputs = recovery_outputs(),
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "the copy, promoted and stopped, at its own folder",
    .drill = Drill::runs,
    .make = make_step<Promote>,
};

}  // namespace relight
