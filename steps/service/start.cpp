// service.start: a service, running, by its manager or detached from relight; it outlives the run.
#include <sys/stat.h>

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

Json outputs_of(const Params& params, const Service& service, const sys::ProcessId& process,
                std::uint64_t log_from) {
  return {{"identity", service.identity(process)},
          {"pid", process.pid},
          {"version", params.text_or("version", "")},
          {"log_from", log_from}};
}

// Where the log ends now: what comes behind is of the start to come.
std::uint64_t end_of_its_log(const Params& params, Call& call) {
  struct stat info {};
  if (!params.has("log") || stat(call.place(params.text("log")).c_str(), &info) != 0) return 0;
  return static_cast<std::uint64_t>(info.st_size);
}

// As noted before the start; of one that ran before it is not known.
std::uint64_t log_from(const Call& call) {
  const Json& notes = call.notes();
  return notes.contains("before") ? notes["before"].value("log_from", std::uint64_t{0}) : 0;
}

class Start : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override { return service_targets(params); }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    try {
      for (const char* field : {"unit", "via", "command", "pid_file", "env_file", "log", "cwd", "env"})
        if (!params.known(field)) {
          preview.verdict = Preview::Verdict::cannot_yet_tell;
          preview.proved_after = *outputs_used(params.all()[field]).begin();
          preview.summary = "start the service of " + shown(params.all()[field]);
          return preview;
        }
      if (const auto via = via_of(params, call); via && !foresee_via(*via, call, preview)) {
        preview.summary = "start " + via->text();
        return preview;
      }
      auto service = service_of(params, call);
      if (!service->can_start())
        throw Error(ErrorKind::refused, "cannot tell how to start", service->name(), "no `command` is given",
                    "give the service's program: command = { \"/path/of/program\" }");
      const bool enable = wants_enabled(params, *service) && !service->enabled();
      preview.summary = (enable ? "start and enable " : "start ") + service->name();
      if (auto running = service->running()) {
        if (!enable) preview.verdict = Preview::Verdict::nothing_to_do;
        preview.summary =
            (enable ? "enable " + service->name() + ", which" : service->name()) + " runs already";
        if (running->pid > 0) preview.summary += ", " + sys::show_process(running->pid);
        preview.hints.push_back("unless an earlier step stops it, it is left as it is");
        if (const std::string why = service->outdated(); !why.empty())
          preview.hints.push_back(why + ": such a start is refused");
        return preview;
      }
      if (!enable) preview.hints = service->hints();
      for (const Problem& lack : service->lacks()) {
        // An earlier step may bring it; if none does, the start itself refuses.
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.hints.push_back(lack.what + ": " + lack.on + ": " + lack.why +
                                ", unless an earlier step changes that");
      }
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    auto service = service_of(params, call);
    const bool enable = wants_enabled(params, *service);
    auto running = service->running();
    if (!call.notes().contains("before")) {
      if (!running) refuse_lacks(*service);
      Json before = {{"running", service->meant_to_run()}};
      if (enable) before["enabled"] = service->enabled();
      if (const std::uint64_t from = running ? 0 : end_of_its_log(params, call); from > 0)
        before["log_from"] = from;
      call.note("before", before);
    }
    failpoint("service.start:noted");
    if (running) refuse_outdated(*service);
    if (!running) {
      refuse_lacks(*service);
      const std::string token = token_of(call);
      call.note("token", token);
      failpoint("service.start:token-noted");
      service->start(call, token, params.duration("within"));
      running = service->running();
      failpoint("service.start:started");
    }
    if (!running)
      throw Error(ErrorKind::permanent, "the service ended at once", service->name(),
                  "it was up, and is gone", "look into its log");
    if (enable && !service->enabled()) service->set_enabled(call, true);
    failpoint("service.start:enabled");
    return outputs_of(params, *service, *running, log_from(call));
  }

  Done check(const Params& params, Call& call, Json& outputs) const override {
    auto service = service_of(params, call);
    auto running = service->running();
    if (!running || (wants_enabled(params, *service) && !service->enabled())) return Done::no;
    if (!service->outdated().empty()) return Done::no;
    outputs = outputs_of(params, *service, *running, log_from(call));
    return Done::yes;
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    const Json& notes = call.notes();
    if (!notes.contains("before")) return;
    auto service = service_of(params, call);
    if (!service->exists()) return;
    if (notes["before"].contains("enabled") && notes["before"]["enabled"] == false && service->enabled())
      service->set_enabled(call, false);
    const bool ours = notes["before"]["running"] == false;
    if (ours && (!service->ended() || (notes.contains("token") && service->left_over())))
      service->stop(call, params.duration("within"));
    failpoint("service.start:undone");
  }

  std::string state_digest(const Params& params, Call& call) const override {
    std::string state = service_state(params, call);
    if (params.flag("enable") && service_of(params, call)->enabled()) state += " enabled";
    return sys::sha256_hex(state);
  }

 private:
  static void refuse_outdated(const Service& service) {
    if (const std::string why = service.outdated(); !why.empty())
      throw Error(ErrorKind::refused, "the service runs as it was", service.name(), why,
                  "stop it before: service.stop");
  }

  static bool wants_enabled(const Params& params, const Service& service) {
    if (!params.flag("enable")) return false;
    if (!service.can_enable())
      throw Error(ErrorKind::refused, "cannot enable", service.name(), "no systemd runs it",
                  "leave `enable` out, and see to its start at boot yourself");
    return true;
  }
};

std::vector<Field> fields() {
  std::vector<Field> fields = service_fields(true);
  fields.push_back({"version",
                    FieldType::text,
                    false,
                    "",
                    "the version that it runs, for those who probe it",
                    "pinned.version",
                    {}});
  fields.push_back({"enable",
                    FieldType::boolean,
                    false,
                    "false",
                    "have it started at every boot, too; units of systemd only",
                    "true",
                    {}});
  return fields;
}

}  // namespace

extern const StepType service_start;
const StepType service_start = {
    .name = "service.start",
    .doc =
        "Start a service that outlives relight.\n"
        "By `unit` under systemd. Where none runs: by `command`, `pid_file` and what goes with them, "
        "detached, as the user "
        "`as`, or a PostgreSQL cluster by its unit's name `postgresql@V-NAME`. By `via` under docker "
        "compose: that "
        "service alone, up when it is healthy; what a container keeps outside of its volumes is gone when "
        "its "
        "file has changed. One that runs already is left "
        "as it is. After "
        "a crash the one that was started is found by its pid file and by RELIGHT_TOKEN in its environment: "
        "never a "
        "second one. Undo stops it only if it did not run before, and disables it only if it was not "
        "enabled.",
    .example = "service.start \"aihummer\" { unit = \"aihummer\", version = \"1.4.2\" }",
    .fields = fields(),
    .outputs = {{"identity", "its main process or its container, as `service` of a probe takes it"},
                {"pid", "its main process; 0 for a unit without one"},
                {"version", "as given"},
                {"log_from", "with `log`: where in it this start begins, as `from` of probe.logs takes it"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::refused,
    .is_probe = false,
    .make = make_step<Start>,
};

}  // namespace relight
