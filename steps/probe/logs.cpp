// probe.logs: what a service has logged since it was started.
#include <algorithm>
#include <fstream>

#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/step/via.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/probe/lib/owner.h"
#include "steps/probe/lib/patience.h"
#include "steps/probe/lib/patterns.h"

namespace relight {
namespace {

constexpr const char* hint =
    "read the whole log; the new data stays in place, `relight rollback` puts the old back";

Patterns patterns_of(const Params& params) {
  const auto list = [&](const char* field) {
    return params.has(field) ? params.list(field) : std::vector<std::string>();
  };
  if (list("must").empty() && list("must_not").empty())
    throw Error(ErrorKind::refused, "nothing would be proved", "probe.logs", "no pattern is given",
                "write must_not = { \"PATTERN\" }, or must");
  return Patterns(list("must"), list("must_not"));
}

void check_source(const Params& params) {
  const int given = static_cast<int>(params.has("via")) + params.has("log") + params.has("unit");
  if (given != 1)
    throw Error(ErrorKind::refused, "cannot tell which log is meant", "probe.logs",
                given == 0 ? "none is named" : "more than one is named",
                "give one of `via`, `log` and `unit`");
}

std::string shown_source(const Params& params) {
  if (params.has("via")) return shown_via(params);
  return params.has("log") ? shown(params.all()["log"]) : "unit " + shown(params.all()["unit"]);
}

// What a program prints, line by line; both of its streams, in the order in which they were written.
void read_program(std::vector<std::string> argv, const std::string& what, Call& call, Patterns& patterns) {
  sys::Command command;
  command.argv = {"sh", "-c", "exec \"$@\" 2>&1", "-"};
  command.argv.insert(command.argv.end(), argv.begin(), argv.end());
  command.capture_stdout = false;
  std::string end;
  command.on_output = [&](std::string_view bytes) {
    patterns.take(bytes);
    end = std::string(bytes.substr(bytes.size() - std::min<std::size_t>(bytes.size(), 400)));
  };
  command.stop = [&call] { return call.stop_wanted(); };
  const sys::Result result = sys::run(command);
  if (result.stopped) throw Stopped();
  patterns.end();
  if (!result.ok())
    throw Error(ErrorKind::permanent, "cannot read the log", what, sys::mend_utf8(sys::trim(end)),
                "see that it is kept where it can be read");
}

Hopeless started_again(const std::string& service) {
  return Hopeless{Error(ErrorKind::permanent, "the service has ended", service, "it was started again since",
                        "look into its log for why it ended")};
}

void read_container(const Params& params, Call& call, Patterns& patterns) {
  const Via via = *via_of(params, call);
  const auto wanted = service_of_probe(params);
  const auto all = compose_of(via, call).containers(via.service);
  if (all.size() != 1)
    throw Error(ErrorKind::permanent, "cannot read the log", via.text(),
                "it has " + std::to_string(all.size()) + " containers, not one", "start it: service.start");
  const sys::Container& one = all[0];
  if (wanted && wanted->container &&
      (one.id != wanted->container->id || one.started_at != wanted->container->started_at))
    throw started_again(via.text());
  std::vector<std::string> argv = {"docker", "logs"};
  if (!one.ended_before.empty() && one.runs()) argv.insert(argv.end(), {"--since", one.ended_before});
  argv.push_back(one.id);
  read_program(std::move(argv), via.text(), call, patterns);
}

void read_journal(const Params& params, Call& call, Patterns& patterns) {
  const std::string unit = params.text("unit");
  const auto wanted = service_of_probe(params);
  for (const char* program : {"systemctl", "journalctl"})
    if (sys::find_program(program).empty() || !sys::is_folder(call.place("/run/systemd/system")))
      throw Error(ErrorKind::refused, "cannot read the journal", unit, "systemd does not run on this host",
                  "give the file that it logs to: `log`");
  sys::Command ask;
  ask.argv = {"systemctl", "show", "--property", "InvocationID", "--value", unit};
  const std::string start = sys::trim(sys::output_of(ask, "cannot ask systemd"));
  if (start.empty())
    throw Error(ErrorKind::permanent, "cannot read the journal", unit, "it was not started",
                "start it: service.start");
  // Asked after the start that is read: systemd restarts a unit by itself.
  if (wanted && !wanted->container && !sys::alive(wanted->process)) throw started_again("unit " + unit);
  ask.argv = {"journalctl", "--sync"};
  call.run_program(ask);
  read_program({"journalctl", "--no-pager", "--quiet", "-o", "cat", "_SYSTEMD_INVOCATION_ID=" + start}, unit,
               call, patterns);
}

void read_file(const Params& params, Call& call, Patterns& patterns) {
  const std::string path = call.place(params.text("log"));
  std::ifstream file(path, std::ios::binary);
  if (!file) throw system_error(errno, "cannot read the log", path);
  file.seekg(0, std::ios::end);
  const auto size = static_cast<std::uint64_t>(std::max<std::streamoff>(0, file.tellg()));
  file.seekg(0);
  std::uint64_t before =
      params.has("from") ? static_cast<std::uint64_t>(std::max<std::int64_t>(0, params.integer("from"))) : 0;
  if (before > size) before = 0;  // another file since
  std::string block(1u << 16, '\0');
  for (std::uint64_t at = 0;;) {
    call.stop_here_if_wanted();
    const std::uint64_t wanted =
        at < before ? std::min<std::uint64_t>(block.size(), before - at) : block.size();
    file.read(block.data(), static_cast<std::streamsize>(wanted));
    const auto got = static_cast<std::uint64_t>(file.gcount());
    if (got == 0) break;
    patterns.take(std::string_view(block).substr(0, got), at >= before);
    at += got;
  }
  patterns.end();
}

class Logs : public Step {
 public:
  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    try {
      check_source(params);
      preview.summary = "look through the log of " + shown_source(params);
      preview.summary += show(patience_of(params));
      for (const char* field : {"via", "log", "unit", "from", "service", "must", "must_not"})
        if (params.has(field) && !params.known(field)) {
          preview.verdict = Preview::Verdict::cannot_yet_tell;
          preview.proved_after = *outputs_used(params.all()[field]).begin();
        }
      if (params.known("must") && params.known("must_not")) patterns_of(params);
      if (params.has("via") && params.known("via")) foresee_via(*via_of(params, call), call, preview);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    check_source(params);
    Patterns patterns = patterns_of(params);
    const std::string source = shown_source(params);
    const auto took =
        ask_until_passed(call, patience_of(params), "the log of " + source, hint, [&]() -> std::string {
          patterns.begin();
          params.has("via")   ? read_container(params, call, patterns)
          : params.has("log") ? read_file(params, call, patterns)
                              : read_journal(params, call, patterns);
          // A line that was written stays: to wait would not mend it.
          if (!patterns.offence().empty())
            throw Hopeless{Error(ErrorKind::permanent, "the log holds what it must not", source,
                                 patterns.offence(), hint)};
          const std::string unseen = patterns.unseen();
          return unseen.empty() ? "" : "no line matches " + unseen;
        });
    return {{"took", sys::show_duration(took)}};
  }

  std::string state_digest(const Params&, Call&) const override { return "changes nothing"; }
};

std::vector<Field> fields() {
  std::vector<Field> fields = {
      via_field("the service under docker compose whose log it is, since its container was started"),
      {"log",
       FieldType::path,
       false,
       "",
       "the file that the service logs to",
       "\"/var/log/aihummer.log\"",
       {}},
      {"from",
       FieldType::integer,
       false,
       "",
       "with `log`: the byte to begin at; the whole file when not given",
       "app.log_from",
       {}},
      {"unit",
       FieldType::text,
       false,
       "",
       "the unit of systemd whose journal it is, since it was started last",
       "\"aihummer\"",
       {}},
      {"must_not",
       FieldType::list,
       false,
       "",
       "regular expressions (RE2) that no line may match; (?i) at the start takes any case",
       "{ \"(?i)migration.*failed\", \"^FATAL\" }",
       {}},
      {"must",
       FieldType::list,
       false,
       "",
       "regular expressions, each matched by a line",
       "{ \"migrations applied\" }",
       {}},
      {"service",
       FieldType::text,
       false,
       "",
       "with `via` or `unit`, the identity of its start: the log of no other start counts",
       "app.identity",
       {}},
  };
  for (Field& field : patience_fields("")) fields.push_back(std::move(field));
  return fields;
}

}  // namespace

extern const StepType probe_logs;
const StepType probe_logs = {
    .name = "probe.logs",
    .doc =
        "Prove by a service's log since its start that nothing went wrong.\n"
        "Each line is held against regular expressions. A line that matches one of `must_not` fails the step "
        "at "
        "once and is told with its number; each of `must` is waited for, `within` at most. With `hold` the "
        "log is "
        "read again and again for that long.",
    .example =
        "probe.logs \"migrated\" { via = compose{ file = \"/srv/sophon/compose.yml\", service = "
        "\"sophon-gateway\" },\n"
        "  must_not = { \"(?i)migration.*(fail|error)\" } }",
    .fields = fields(),
    .outputs = {{"took", "the time until it had passed"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .is_probe = true,
    .make = make_step<Logs>,
};

}  // namespace relight
