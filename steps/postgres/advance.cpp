// postgres.advance: a paused copy on to a later moment. See lib/copy.h.
#include <fmt/core.h>

#include "runner/step/access.h"
#include "runner/step/in_image.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/step/via.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/postgres/lib/content.h"
#include "steps/postgres/lib/copy.h"
#include "steps/postgres/lib/field.h"
#include "steps/postgres/lib/outputs.h"
#include "steps/postgres/lib/replay.h"
#include "steps/postgres/lib/server.h"

namespace relight {
namespace {

using namespace postgres;

std::string copy_of(const Params& params, Call& call) {
  return sys::absolute(call.place(params.text("copy")));
}

// As it stands; `via`: served from now on by what image that service has.
CopyRecord standing(const Params& params, Call& call) {
  CopyRecord record = read_copy(copy_of(params, call), call);
  const auto via = via_of(params, call);
  if (!via) return record;
  if (!record.wish.container)
    throw Error(ErrorKind::refused, "the copy is not served from a container", record.wish.data,
                "it was made by a PostgreSQL of this host", "take `via` out");
  record.wish.container->image = container_of_copy(*via, record.wish.data, call).image;
  return record;
}

// The record of the copy as it is to be; where it goes is not decided yet.
CopyRecord wanted_of(const CopyRecord& stands, const Params& params, Call& call) {
  CopyRecord wanted = stands;
  wanted.wish.moment = parse_moment(params.text("to"));
  wanted.wish.moment.inclusive = params.flag("inclusive");
  wanted.wish.moment.past_end = params.text("past_end") == "latest";
  wanted.wish.timeline = params.has("timeline") ? static_cast<Timeline>(params.integer("timeline"))
                                                : stands.decision.target.stop.timeline;
  if (params.has("lost_at")) wanted.wish.lost_at = sys::parse_time(params.text("lost_at"));
  if (params.has("wal")) {
    wanted.wish.wal.clear();
    for (const std::string& folder : params.list("wal")) wanted.wish.wal.push_back(call.place(folder));
  }
  return wanted;
}

std::string shown_stop(const Target& target) {
  return (target.stop.inclusive ? "" : "before ") + show_lsn(target.stop.lsn) +
         (target.last_commit.empty() ? "" : ", last commit " + target.last_commit);
}

bool is_before(const Stop& one, const Stop& other) {
  return one.lsn < other.lsn || (one.lsn == other.lsn && !one.inclusive && other.inclusive);
}

// Where it would go, by the base backup and the archive; a server cannot go back.
Survey foresee(const CopyRecord& stands, const CopyRecord& wanted, const SurveyOptions& options) {
  Survey found = survey_backup(wanted.wish, options);
  const Target& at = stands.decision.target;
  if (!found.path.empty() && timeline_at(found.path, at.stop.lsn) != at.stop.timeline)
    found.problems.push_back(
        {"the copy is not on the way to this timeline", std::to_string(*wanted.wish.timeline),
         "it stands at " + shown_stop(at) + " on timeline " + std::to_string(at.stop.timeline) +
             ", which the other left before, or never was on",
         "bring another copy up, from the base backup, with postgres.recover timeline = " +
             std::to_string(*wanted.wish.timeline)});
  else if (found.target && is_before(found.target->stop, at.stop))
    found.problems.push_back({"the copy is past this moment", wanted.wish.moment.text,
                              "it stands at " + shown_stop(at) + ", and a server only goes forward",
                              "bring another copy up, from the base backup, with postgres.recover to = \"" +
                                  wanted.wish.moment.text + "\""});
  return found;
}

Programs programs_of(const CopyRecord& record) {
  return need_programs(record.wish, record.decision.major, "cannot advance the copy");
}

class Advance : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "copy");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    for (const char* field : {"copy", "to", "wal", "lost_at", "via"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(params.all()[field]).begin();
        preview.summary =
            "advance the copy at " + shown(params.all()["copy"]) + " to " + shown(params.all()["to"]);
        return preview;
      }
    const std::string data = copy_of(params, call);
    if (done(data, call)) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = "this run has advanced the copy already";
      return preview;
    }
    preview.summary = "advance the copy at " + data;
    try {
      const CopyRecord stands = standing(params, call), wanted = wanted_of(stands, params, call);
      SurveyOptions options;
      options.every_byte = call.full_depth();
      options.stop = [&] { return call.stop_wanted(); };
      const Survey found = foresee(stands, wanted, options);
      preview.problems = found.problems;
      preview.hints = found.hints;
      if (!found.unknown.empty()) preview.verdict = Preview::Verdict::cannot_yet_tell;
      if (!found.target) return preview;
      const Target& at = stands.decision.target;
      if (!is_before(at.stop, found.target->stop) && preview.problems.empty()) {
        preview.verdict = Preview::Verdict::nothing_to_do;
        preview.summary = "the copy stands there already: at " + shown_stop(at);
        return preview;
      }
      preview.summary += " from " + shown_stop(at) + " to " + shown_stop(*found.target);
      preview.cannot_undo = "the earlier moment: a copy only goes forward. Another can be brought up from " +
                            stands.wish.source() + " while that is kept";
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const std::string data = copy_of(params, call);
    const Json& notes = call.notes();
    const CopyRecord stands = standing(params, call);
    CopyRecord record = wanted_of(stands, params, call);
    const auto& container = record.wish.container;
    const EndsInImage ends(call, container.has_value());
    const auto owner = owner_for(container);
    if (container) note_container(call, *container);
    settle(params, call);
    if (!notes.contains("decided")) decide(stands, record, call);
    record.decision = decision_from_json(notes["decided"]);
    const Programs programs = programs_of(record);
    if (!notes.contains("outputs")) {
      take_down(data, container);
      failpoint("postgres.advance:stopped");
      call.note("going", true);
      failpoint("postgres.advance:going");
      const Replayed replayed = replay_to_pause(record.wish, record.decision, programs, data, call);
      prepare_copy(data, data, record, read_control(programs, data).demands);
      failpoint("postgres.advance:prepared");
      Json outputs = outputs_of(record.wish, record.decision, programs, replayed, told_heartbeat(call),
                                told_quieted(call), data, "", 0);
      for (const char* name : of_no_copy) outputs.erase(name);
      call.note("outputs", outputs);
    }
    bring_up(data, record, programs, call);
    return notes["outputs"];
  }

  Done check(const Params& params, Call& call, Json& outputs) const override {
    if (!done(copy_of(params, call), call)) return Done::no;
    outputs = call.notes()["outputs"];
    return Done::yes;
  }

  // What an earlier attempt has replayed by in its image.
  void settle(const Params&, Call& call) const override {
    if (call.notes().contains(container_note)) end_in_image(call);
  }

  // Before it has gone anywhere its server is only started again. Later it stays where it is.
  void undo(const Params& params, Call& call, const Json*) const override {
    const std::string data = copy_of(params, call);
    const Json& notes = call.notes();
    settle(params, call);
    if (!notes.contains("decided") || !sys::exists(data)) return;
    const CopyRecord record = standing(params, call);
    const auto owner = owner_for(record.wish.container);
    const bool between = notes.contains("going") && !notes.contains("outputs");
    if (between)
      call.log("the copy at " + data + " lies between two moments, and stays stopped");
    else
      bring_up(data, record, programs_of(record), call);
  }

  std::string state_digest(const Params& params, Call& call) const override {
    return copy_digest(copy_of(params, call), call);
  }

 private:
  static bool done(const std::string& data, Call& call) {
    return call.notes().contains("outputs") && is_up(data);
  }

  static void decide(const CopyRecord& stands, const CopyRecord& wanted, Call& call) {
    SurveyOptions options;
    options.stop = [&] { return call.stop_wanted(); };
    options.progress = [&](std::uint64_t now, std::uint64_t total) {
      call.progress("check the WAL", now, total);
    };
    const Survey found = foresee(stands, wanted, options);
    if (!found.problems.empty()) {
      const Problem& first = found.problems.front();
      throw Error(ErrorKind::refused, first.what, first.on, first.why, first.hint);
    }
    if (!found.target)
      throw Error(ErrorKind::refused, "cannot advance the copy", stands.wish.data, found.unknown);
    Decision decision = stands.decision;
    decision.target = *found.target;
    decision.target.segments =
        needed_from(found.target->segments, stands.decision.target.stop.lsn, found.segment_size);
    call.note("decided", to_json(decision));
    failpoint("postgres.advance:decided");
  }
};

}  // namespace

extern const StepType postgres_advance;
const StepType postgres_advance = {
    .name = "postgres.advance",
    .doc =
        "Move a paused copy on to a later moment.\n"
        "The copy of a postgres.recover with action = \"pause\": its server is stopped, replays on from "
        "where it "
        "stands, and pauses again at the later moment, which is compared with what was asked. A copy goes "
        "forward "
        "only: an earlier moment is refused in the plan, and undo does not bring one back.",
    .example =
        "postgres.advance \"later\" { copy = \"/srv/copy\", to = \"2026-11-21T10:30:00Z\", as = \"postgres\" "
        "}",
    .fields =
        {field("copy", FieldType::path, true, "", "the folder of the copy", "copy.data"),
         field("to", FieldType::moment, true, "", "where to stop, later than where it stands",
               "\"2026-11-21T10:30:00Z\""),
         field("wal", FieldType::locations, false, "",
               "folders of archived WAL; not given: those that the copy was made from",
               "{ \"/backup/wal\" }"),
         field("inclusive", FieldType::boolean, false, "true",
               "keep what is of that very time, position or transaction; false: stop before it", "false"),
         {.name = "past_end",
          .type = FieldType::choice,
          .required = false,
          .fallback = "\"refuse\"",
          .doc = "a time after the last commit: refuse it, or replay all that there is",
          .example = "\"latest\"",
          .choices = {"refuse", "latest"}},
         field("timeline", FieldType::integer, false, "",
               "the timeline to follow, which leads over where the copy stands; not given: the one that "
               "it is on",
               "2"),
         via_field(
             "of a copy that is served from a container: the service whose image it has from now on; not "
             "given: the one that it was made by"),
         field("lost_at", FieldType::time, false, "",
               "when the host was lost; not given: as the copy was told", "\"2026-11-21T10:30:00Z\"")},
    .outputs = copy_outputs(),
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "the copy at its later moment, or, in mid-way, stopped",
    .drill = Drill::runs,
    .make = make_step<Advance>,
};

}  // namespace relight
