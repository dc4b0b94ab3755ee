#include "steps/postgres/lib/made_cluster.h"

#include <unistd.h>

#include "runner/step/access.h"
#include "runner/step/in_image.h"
#include "runner/step/parents.h"
#include "runner/step/value.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/field.h"
#include "steps/postgres/lib/server.h"

namespace relight::postgres {

Field made_data_field() {
  return field("data", FieldType::path, false, "",
               "the data directory; with `via` as the container sees it, not given: its PGDATA",
               "\"/var/lib/postgresql/15/main\"");
}

Field made_via_field() {
  return via_field(
      "the service whose volume it lies on, stopped; its container is there. The programs of its image do "
      "the work, as the user that owns the data there");
}

MadeCluster::Where MadeCluster::where(const Params& params, Call& call) const {
  if (const auto via = via_of(params, call)) {
    ContainerData container = container_data(*via, params.text_or("data", ""), call);
    return {.data = container.folder, .named = container.inside, .container = std::move(container)};
  }
  if (!params.has("data"))
    throw Error(ErrorKind::refused, words().failed, "data", "it is not given",
                "write data = the data directory, or `via` for one in a container");
  return {.data = sys::absolute(call.place(params.text("data"))),
          .named = params.text("data"),
          .container = std::nullopt};
}

std::string MadeCluster::shown_place(const Params& params) {
  return params.has("via") ? "the volume of " + shown_via(params) : shown(params.all()["data"]);
}

bool MadeCluster::done(const Params& params, Call& call) const {
  return call.notes().contains("outputs") &&
         Switch(call, where(params, call).data).state() == Switch::State::switched;
}

std::vector<std::string> MadeCluster::targets(const Params& params) const {
  return params.has("via") ? via_target(params) : path_target(params, "data");
}

void MadeCluster::settle(const Params& params, Call& call) const {
  if (nothing_begun(params, call)) return;
  const Switch move(call, where(params, call).data);
  if (move.state() != Switch::State::switched) end_left_behind(move.beside());
  if (params.has("via")) end_in_image(call);
}

Preview MadeCluster::preview(const Params& params, Call& call) const {
  Preview preview;
  preview.summary = summary(params);
  for (const char* field : words().needs)
    if (params.has(field) && !params.known(field)) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.proved_after = *outputs_used(params.all()[field]).begin();
      return preview;
    }
  if (done(params, call)) {
    preview.verdict = Preview::Verdict::nothing_to_do;
    preview.summary = std::string("this run has made ") + words().made + " already";
    return preview;
  }
  try {
    if (foresee_container(params, call, preview)) foresee(params, where(params, call), call, preview);
  } catch (const Error& error) {
    preview.problems.push_back({error.failed, error.on, error.why, error.hint});
  }
  return preview;
}

MadeCluster::Place MadeCluster::foresee_place(const Params& params, const Where& where,
                                              Preview& preview) const {
  const std::string& data = where.data;
  Place place{look_at(data), switch_outlook(data)};
  using Kind = ClusterThere::Kind;
  if (place.there.kind == Kind::other)
    preview.problems.push_back(
        {words().failed, data, "what lies there is no cluster", "correct `data`, or take it away"});
  if (place.there.kind == Kind::cluster && !params.flag("replace"))
    preview.problems.push_back(
        {words().failed, data, "the cluster there holds data", "write replace = true to have it put aside"});
  if (place.there.kind == Kind::cluster || place.there.kind == Kind::empty_cluster)
    preview.keeps.push_back("the cluster at " + data + " (" + sys::show_size(place.there.bytes) + ")");
  if (!place.way.hint.empty()) preview.hints.push_back(place.way.hint);
  if (place.way.obstacle) preview.problems.push_back(*place.way.obstacle);
  if (geteuid() == 0 && !where.container)
    preview.problems.push_back(
        {"PostgreSQL does not run as root", data, "this step would run as root", "write as = \"postgres\""});
  if (geteuid() != 0 && where.container)
    preview.problems.push_back({"a container's volume is root's to enter", data,
                                "this step would run as " + sys::current_user().name,
                                "leave `as` out, and run relight as root"});
  if (const std::string served = server_on(data, where.container); !served.empty()) {
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back(data + ": " + served + ": stop it in a step before this one, with service.stop");
  }
  return place;
}

Json MadeCluster::apply(const Params& params, Call& call) const {
  const Where where = this->where(params, call);
  const EndsInImage ends(call, where.container.has_value());
  const auto owner = owner_for(where.container);
  if (where.container) note_container(call, *where.container);
  Switch move(call, where.data);
  settle(params, call);
  if (move.state() == Switch::State::nothing) {
    refuse_while_served(where.data, where.container, ErrorKind::refused, stop_first);
    move.prepare();
    make(params, where, call, move);
  }
  if (move.state() == Switch::State::marked)
    refuse_while_served(where.data, where.container, ErrorKind::refused, stop_first);
  move.commit();
  failpoint("postgres.made_cluster:committed");
  return call.notes()["outputs"];
}

void MadeCluster::undo(const Params& params, Call& call, const Json*) const {
  if (nothing_begun(params, call)) return;
  const Where where = this->where(params, call);
  Switch move(call, where.data);
  settle(params, call);
  if (move.state() == Switch::State::switched)
    refuse_while_served(where.data, where.container, ErrorKind::refused, "stop it, then roll back again");
  move.revert();
  failpoint("postgres.made_cluster:reverted");
  move.drop_new();
  undo_elsewhere(params, call);
  remove_made_parents(call);
}

void MadeCluster::discard(const Params& params, Call& call, const Json*) const {
  if (nothing_begun(params, call)) return;
  Switch(call, where(params, call).data).discard();
}

Json MadeCluster::kept(const Params& params, Call& call, const Json*) const {
  if (nothing_begun(params, call)) return Json::array();
  const std::string old = Switch(call, where(params, call).data).kept();
  if (old.empty()) return Json::array();
  return Json::array({{{"on", old}, {"bytes", sys::tree_bytes(old)}}});
}

Done MadeCluster::check(const Params& params, Call& call, Json& outputs) const {
  if (!done(params, call)) return Done::no;
  outputs = call.notes()["outputs"];
  return Done::yes;
}

void refuse_by(const Preview& preview) {
  if (preview.problems.empty()) return;
  const Problem& first = preview.problems.front();
  throw Error(ErrorKind::refused, first.what, first.on, first.why, first.hint);
}

}  // namespace relight::postgres
