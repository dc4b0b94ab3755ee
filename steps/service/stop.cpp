// service.stop: a service, ended, its port free.

#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/step/via.h"
#include "runner/sys/digest.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sockets.h"
#include "steps/service/lib/service.h"

namespace relight {
namespace {

class Stop : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override { return service_targets(params); }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    try {
      for (const char* field : {"unit", "via", "pid_file", "command"})
        if (!params.known(field)) {
          preview.verdict = Preview::Verdict::cannot_yet_tell;
          preview.proved_after = *outputs_used(params.all()[field]).begin();
          preview.summary = "stop the service of " + shown(params.all()[field]);
          return preview;
        }
      if (const auto via = via_of(params, call); via && !foresee_via(*via, call, preview)) {
        preview.summary = "stop " + via->text();
        return preview;
      }
      auto service = service_of(params, call);
      const bool there = service->exists();
      if (!there || service->ended()) {
        preview.verdict = Preview::Verdict::nothing_to_do;
        preview.summary = service->name() + (there ? " does not run" : " does not exist");
        foresee_port(params, call, *service, preview);
        return preview;
      }
      const auto running = service->running();
      preview.summary = "stop " + service->name();
      if (running && running->pid > 0) preview.summary += ", " + sys::show_process(running->pid);
      if (!service->can_start())
        preview.cannot_undo = "that it is stopped: without `command` it is not known how it is started";
      foresee_port(params, call, *service, preview);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    auto service = service_of(params, call);
    const bool there = service->exists();
    if (!call.notes().contains("before"))
      call.note("before", {{"running", there && service->meant_to_run()}});
    failpoint("service.stop:noted");
    if (there && (!service->ended() || half_stopped(*service, call)))
      service->stop(call, params.duration("within"));
    failpoint("service.stop:stopped");
    if (params.has("port")) wait_for_free_port(call, port_of(params, call), params.duration("within"));
    return {{"was_running", call.notes()["before"]["running"]}};
  }

  Done check(const Params& params, Call& call, Json& outputs) const override {
    auto service = service_of(params, call);
    if (service->exists() && (!service->ended() || half_stopped(*service, call))) return Done::no;
    if (params.has("port") && !strangers_on(port_of(params, call), std::nullopt).empty()) return Done::no;
    const Json& notes = call.notes();
    outputs = {{"was_running", notes.contains("before") && notes["before"]["running"] == true}};
    return Done::yes;
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    const Json& notes = call.notes();
    if (!notes.contains("before") || notes["before"]["running"] != true) return;
    auto service = service_of(params, call);
    if (service->exists() && service->running()) return;
    if (!service->can_start()) {
      call.log(service->name() + " stays stopped: without `command` it is not known how it is started");
      return;
    }
    refuse_lacks(*service);
    service->start(call, token_of(call), params.duration("within"));
    failpoint("service.stop:undone");
  }

  std::string state_digest(const Params& params, Call& call) const override {
    return sys::sha256_hex(service_state(params, call));
  }

 private:
  // Ended by an attempt that died before it had taken away what the service left.
  static bool half_stopped(const Service& service, const Call& call) {
    const Json& notes = call.notes();
    return notes.contains("before") && notes["before"]["running"] == true && service.left_over();
  }

  static int port_of(const Params& params, Call& call) {
    return call.port(static_cast<int>(params.integer("port")));
  }

  static void foresee_port(const Params& params, Call& call, const Service& service, Preview& preview) {
    if (!params.has("port")) return;
    std::string strangers = service.strangers(port_of(params, call));
    if (strangers.empty()) return;
    preview.problems.push_back({"the port will not be free", std::to_string(port_of(params, call)),
                                strangers + ", and is not this service",
                                "stop that process too, or correct `port`"});
  }
};

}  // namespace

extern const StepType service_stop;
const StepType service_stop = {
    .name = "service.stop",
    .doc =
        "Stop a service: ended, with all that it started, and its `port` free.\n"
        "By `unit` under systemd; where none runs, by `pid_file`, or a PostgreSQL cluster by its unit's name "
        "`postgresql@V-NAME`; by `via` under docker compose, its container ended. What does not run, or does "
        "not exist, is done already. Undo starts it again if "
        "it ran "
        "before.",
    .example = "service.stop \"stop\" { unit = \"aihummer\", port = 8080 }",
    .fields = service_fields(false),
    .outputs = {{"was_running", "whether it ran before"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "it stopped, where its `pid_file` alone is known and no `command`",
    .drill = Drill::refused,
    .is_probe = false,
    .make = make_step<Stop>,
};

}  // namespace relight
