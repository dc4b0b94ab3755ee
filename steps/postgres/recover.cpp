// postgres.recover: a cluster from its base backup and WAL archive, to a moment.
//
// All of it is made beside the target and is whole, compared and cleanly shut down before the one exchange
// that makes it current. The phases, each noted when it is durable, so that a later attempt goes on behind
// it:
//
//   decided   where to stop, as a WAL position; the new tablespaces' folders
//   unpacked  the base backup lies beside, every file checked; the server may be started on it
//   reached   the server has paused at the position, and what it told was what was asked
//   stopped   it was promoted, the database opens, it is shut down
//   ready     its own settings are back, all is synced, the configuration lies beside its target
//   COMMIT POINT: the data directory is exchanged; then the configuration folder
#include <fmt/core.h>
#include <unistd.h>

#include "runner/step/failpoint.h"
#include "runner/step/parents.h"
#include "runner/step/step.h"
#include "runner/step/switch.h"
#include "runner/step/value.h"
#include "runner/sys/archive.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/content.h"
#include "steps/postgres/lib/decision.h"
#include "steps/postgres/lib/outputs.h"
#include "steps/postgres/lib/replay.h"
#include "steps/postgres/lib/server.h"
#include "steps/postgres/lib/survey.h"
#include "steps/postgres/lib/tree.h"

namespace relight {
namespace {

using namespace postgres;

std::string moment_of(const Target& target) {
  return std::string(target.stop.inclusive ? "" : "before ") + show_lsn(target.stop.lsn);
}

// One attempt's view of the paths and of the notes.
class Recovery {
 public:
  Recovery(const Params& params, Call& call)
      : call_(call), wish_(read_wish(params, call)), data_(call, wish_.data), beside_(data_.beside()) {
    if (!wish_.config.empty() && !wish_.config_into.empty()) {
      // One folder deeper than the data's: Debian's tools take any /etc/postgresql/V/*/postgresql.conf for a
      // cluster.
      config_home_ = call.beside(wish_.config_into);
      config_.emplace(call, wish_.config_into, config_home_ + "/config");
    }
  }

  Json apply();
  void undo();
  void discard();
  void settle() {
    if (data_.state() != Switch::State::switched) end_left_behind(beside_);
  }
  Json kept() const;
  bool done() const {
    return data_.state() == Switch::State::switched &&
           (!config_ || config_->state() == Switch::State::switched) && call_.notes().contains("outputs");
  }

 private:
  bool noted(const char* phase) const {
    return call_.notes().contains(phase) && call_.notes()[phase] != nullptr;
  }
  void decide();
  void unpack();
  void clear();
  void replay();
  void make_ready();
  void refuse_while_running();
  Programs programs() const;

  Call& call_;
  const Wish wish_;
  Switch data_;
  std::optional<Switch> config_;
  const std::string beside_;
  std::string config_home_;
  Decision decision_;
};

Programs Recovery::programs() const {
  auto found = Programs::find(decision_.major);
  if (!found)
    throw Error(ErrorKind::permanent, "cannot recover", wish_.data,
                "PostgreSQL " + std::to_string(decision_.major) + " is not installed",
                "install " + package_of(decision_.major));
  return *found;
}

void Recovery::refuse_while_running() {
  if (const auto pid = running_server(wish_.data))
    throw Error(ErrorKind::refused, "a server runs on the data directory", wish_.data,
                "its pid is " + std::to_string(*pid),
                "stop it first, with service.stop in a step before this one");
}

// Looks once more, and settles for good where to stop.
void Recovery::decide() {
  if (noted("decided")) {
    decision_ = decision_from_json(call_.notes()["decided"]);
    return;
  }
  SurveyOptions options;
  options.run = call_.run();
  options.stop = [&] { return call_.stop_wanted(); };
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    call_.progress("check the WAL", done, total);
  };
  const Survey found = survey(wish_, options);
  for (const Problem& problem : found.problems)
    call_.log(problem.what + ": " + problem.on + ": " + problem.why);
  if (!found.problems.empty()) {
    const Problem& first = found.problems.front();
    throw Error(ErrorKind::refused, first.what, first.on, first.why, first.hint);
  }
  if (!found.target)
    throw Error(ErrorKind::refused, "cannot recover", wish_.data, found.unknown,
                found.hints.empty() ? "" : found.hints.back());
  decision_ = decide_by(found);
  call_.note("decided", to_json(decision_));
  failpoint("postgres.recover:decided");
}

// What an earlier attempt left beside. Tablespaces' folders are emptied only when one had begun to fill them.
void Recovery::clear() {
  clear_tree(beside_, noted("filling") ? decision_.tablespaces : std::vector<NewTablespace>());
}

void Recovery::unpack() {
  if (noted("unpacked") && sys::exists(beside_ + "/PG_VERSION")) return;
  // Half a tree is not gone on with: it is made anew, and what was noted of it counts no more.
  for (const char* phase : {"unpacked", "reached", "stopped", "outputs"})
    if (noted(phase)) call_.note(phase, nullptr);
  clear();
  failpoint("postgres.recover:cleared");
  make_parents(call_, wish_.data);
  const BaseBackup base = open_base(wish_.base);
  call_.note("filling", true);
  make_tree(base, decision_.tablespaces, beside_, call_);
  failpoint("postgres.recover:before_unpacked");
  call_.note("unpacked", {{"bytes", base.manifest.bytes()}, {"folder", beside_}});
  failpoint("postgres.recover:unpacked");
}

void Recovery::replay() {
  if (noted("stopped")) return;
  const Replayed replayed = postgres::replay(wish_, decision_, programs(), beside_, call_);
  failpoint("postgres.recover:before_stopped");
  call_.note("stopped", {{"timeline", replayed.timeline}, {"lsn", show_lsn(replayed.lsn)}});
  failpoint("postgres.recover:stopped");
}

void Recovery::make_ready() {
  const Json& notes = call_.notes();
  const Replayed replayed{.lsn = *parse_lsn(notes["stopped"]["lsn"].get<std::string>()),
                          .timeline = notes["stopped"]["timeline"].get<Timeline>()};
  tidy_tree(beside_, replayed.timeline, decision_.tablespaces);
  failpoint("postgres.recover:tidied");
  if (config_ && config_->state() == Switch::State::nothing) {
    make_parents(call_, wish_.config_into);
    sys::remove_tree(config_home_);
    sys::make_folders(config_->beside(), 0755);
    sys::UnpackOptions options;
    options.keep_owners = false;
    sys::copy_checked(decision_.config_from, config_->beside(), options);
    failpoint("postgres.recover:config_copied");
  }
  call_.note("outputs",
             outputs_of(wish_, decision_, programs(), replayed, beside_, config_ ? config_->beside() : "",
                        notes["unpacked"]["bytes"].get<std::uint64_t>()));
  // Marked last of all: from here on an attempt only exchanges.
  if (config_) config_->mark();
  data_.mark();
  failpoint("postgres.recover:marked");
}

Json Recovery::apply() {
  settle();
  if (data_.state() == Switch::State::nothing) {
    refuse_while_running();
    decide();
    unpack();
    replay();
    make_ready();
  }
  // COMMIT POINT: before this line the target is as it was, behind it the recovered cluster is current.
  if (data_.state() == Switch::State::marked) refuse_while_running();
  data_.commit();
  failpoint("postgres.recover:committed");
  if (config_) config_->commit();
  failpoint("postgres.recover:config_committed");
  return call_.notes()["outputs"];
}

void Recovery::undo() {
  settle();
  if (data_.state() == Switch::State::switched) {
    if (const auto pid = running_server(wish_.data))
      throw Error(ErrorKind::permanent, "a server runs on the data directory", wish_.data,
                  "its pid is " + std::to_string(*pid), "stop it, then roll back again");
  }
  if (noted("decided")) decision_ = decision_from_json(call_.notes()["decided"]);
  // The way back, in the other order.
  if (config_) {
    config_->revert();
    failpoint("postgres.recover:config_reverted");
    config_->drop_new();
    sys::remove_tree(config_home_);
  }
  data_.revert();
  failpoint("postgres.recover:reverted");
  data_.drop_new();
  clear();
  for (const std::string& folder : decision_.made)
    rmdir(folder.c_str());  // one that holds something by now stays
  remove_made_parents(call_);
}

void Recovery::discard() {
  data_.discard();
  if (!config_) return;
  config_->discard();
  sys::remove_tree(config_home_);
}

Json Recovery::kept() const {
  Json list = Json::array();
  const auto add = [&](const std::string& path) {
    if (!path.empty()) list.push_back({{"on", path}, {"bytes", sys::tree_bytes(path)}});
  };
  add(data_.kept());
  if (config_) add(config_->kept());
  return list;
}

class Recover : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    std::vector<std::string> targets;
    for (const char* field : {"data", "config_into"})
      if (params.has(field) && params.known(field)) targets.push_back("path:" + params.text(field));
    if (params.has("config") && !params.has("config_into") && params.known("data"))
      if (const std::string config = debian_config_of(params.text("data")); !config.empty())
        targets.push_back("path:" + config);
    return targets;
  }

  Preview preview(const Params& params, Call& call) const override;
  Json apply(const Params& params, Call& call) const override { return Recovery(params, call).apply(); }
  void undo(const Params& params, Call& call, const Json*) const override { Recovery(params, call).undo(); }
  void discard(const Params& params, Call& call, const Json*) const override {
    Recovery(params, call).discard();
  }
  Json kept(const Params& params, Call& call, const Json*) const override {
    return Recovery(params, call).kept();
  }
  void settle(const Params& params, Call& call) const override { Recovery(params, call).settle(); }
  Done check(const Params& params, Call& call, Json& outputs) const override {
    if (!Recovery(params, call).done()) return Done::no;
    outputs = call.notes()["outputs"];
    return Done::yes;
  }
  std::string state_digest(const Params& params, Call& call) const override {
    const Wish wish = read_wish(params, call);
    return content_digest(wish.data, call) + " " +
           sys::tree_digest(wish.config.empty() ? "" : wish.config_into);
  }
};

Preview Recover::preview(const Params& params, Call& call) const {
  Preview preview;
  for (const char* field :
       {"base", "wal", "to", "data", "config", "config_into", "lost_at", "tablespaces", "database"}) {
    if (params.known(field)) continue;
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.summary = "recover a cluster; " + std::string(field) + " is " + shown(params.all()[field]);
    return preview;
  }
  const Recovery recovery(params, call);
  if (recovery.done()) {
    preview.verdict = Preview::Verdict::nothing_to_do;
    preview.summary = "this run has recovered the cluster already";
    return preview;
  }
  const Wish wish = read_wish(params, call);
  SurveyOptions options;
  options.every_byte = call.full_depth();
  options.run = call.run();
  options.stop = [&] { return call.stop_wanted(); };
  const Survey found = survey(wish, options);
  preview.problems = found.problems;
  preview.hints = found.hints;
  preview.space = found.space;
  if (found.there.kind == ClusterThere::Kind::cluster ||
      found.there.kind == ClusterThere::Kind::empty_cluster)
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
        ", replay {} segments to {} on timeline {}{}", sys::show_count(found.target->segments.size()),
        moment_of(*found.target), found.target->stop.timeline,
        found.target->last_commit.empty() ? "" : ", last commit " + found.target->last_commit);
  else
    preview.summary +=
        ", replay WAL to " + wish.moment.text + (found.unknown.empty() ? "" : " (" + found.unknown + ")");
  return preview;
}

Field field(std::string name, FieldType type, bool required, std::string fallback, std::string doc,
            std::string example) {
  return {.name = std::move(name),
          .type = type,
          .required = required,
          .fallback = std::move(fallback),
          .doc = std::move(doc),
          .example = std::move(example),
          .choices = {}};
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
        "commit are those asked for. Then it is shut down and exchanged for what lay there, which is kept. "
        "Tablespaces are "
        "made anew in folders beside the old ones, and stay there. Nothing is protected until a base backup "
        "of the new "
        "timeline is made.",
    .example =
        "postgres.recover \"database\" {\n"
        "  base = \"/backup/base\", wal = { \"/backup/wal\" }, to = \"latest\",\n"
        "  data = \"/var/lib/postgresql/15/main\", config = \"/backup/etc-postgresql\", database = "
        "\"aihummer\",\n"
        "  as = \"postgres\",\n"
        "}",
    .fields =
        {field("base", FieldType::location, true, "",
               "the base backup: a folder of pg_basebackup, plain or with its tars, or a tar",
               "\"/backup/base\""),
         field("wal", FieldType::locations, false, "[]",
               "folders of archived WAL; segments may be .gz, .zst or .lz4", "{ \"/backup/wal\" }"),
         field("to", FieldType::moment, false, "\"latest\"", "where to stop", "\"2026-11-21T10:26:00Z\""),
         field("lost_at", FieldType::time, false, "", "when the host was lost: tells what was lost with it",
               "\"2026-11-21T10:30:00Z\""),
         field("data", FieldType::path, true, "", "the data directory", "\"/var/lib/postgresql/15/main\""),
         field("config", FieldType::location, false, "",
               "the folder that was /etc/postgresql/V/NAME, restored with it", "\"/backup/etc-postgresql\""),
         field("config_into", FieldType::path, false, "",
               "where it goes; not given: /etc/postgresql/V/NAME, by the data directory's name",
               "\"/etc/postgresql/15/main\""),
         field("tablespaces", FieldType::texts, false, "",
               "old location (or OID) of a tablespace -> its new folder; not given: beside the old",
               "{ [\"/srv/fast\"] = \"/srv/fast-new\" }"),
         field("database", FieldType::text, false, "\"postgres\"",
               "the database that must open, and that `url` names", "\"aihummer\""),
         field("role", FieldType::text, false, "\"postgres\"", "a superuser of the cluster", "\"postgres\""),
         field("port", FieldType::integer, false, "", "for `url`; not given: as the configuration says",
               "5433"),
         field("replace", FieldType::boolean, false, "false", "put a cluster that holds data aside", "true"),
         field("version", FieldType::integer, false, "",
               "the major version that is expected; not given: the backup's", "15"),
         field("timeline", FieldType::integer, false, "",
               "the timeline to follow; not given: the newest that leads on from the backup", "2")},
    .outputs = {{.name = "url", .doc = "of the database, by the server's own socket"},
                {.name = "data", .doc = "the data directory"},
                {.name = "lsn", .doc = "the position up to which it was replayed"},
                {.name = "timeline", .doc = "the timeline that the cluster is on now"},
                {.name = "last_commit",
                 .doc = "when the last transaction in it was committed; null: unknown"},
                {.name = "recovered_to", .doc = "the moment that was asked for"},
                {.name = "rpo_seconds", .doc = "from the last commit to lost_at; null: unknown"},
                {.name = "bytes", .doc = "what the base backup holds"},
                {.name = "segments", .doc = "archived WAL segments that were handed to the server"},
                {.name = "protected", .doc = "false: no base backup of the new timeline exists yet"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .make = make_step<Recover>,
};

}  // namespace relight
