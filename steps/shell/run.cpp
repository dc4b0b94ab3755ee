// shell.run: a program, by its argument vector.
#include <unistd.h>

#include <cstring>

#include "runner/step/access.h"
#include "runner/step/inside.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

constexpr std::size_t stdout_limit = 64u << 10;
constexpr std::size_t message_limit = 400;

std::string shown_argv(const Params& params, const std::string& field) {
  std::vector<std::string> parts;
  for (const Json& part : params.all()[field]) parts.push_back(shown(part));
  return sys::join(parts, " ");
}

// The last bytes of a program's output, from the start of a line where one begins in them.
std::string end_of(const std::string& output, std::size_t limit) {
  std::string text = sys::trim(output);
  if (text.size() > limit) {
    text.erase(0, text.size() - limit);
    const std::size_t line = text.find('\n');
    if (line != std::string::npos && line + 1 < text.size()) text.erase(0, line + 1);
  }
  return sys::mend_utf8(text);
}

Error failure(const std::string& program, int exit_code, const std::string& output) {
  std::string why = "it exited with " + std::to_string(exit_code);
  if (exit_code > 128 && exit_code < 128 + 65)
    why = std::string("it was ended by signal ") + std::to_string(exit_code - 128) + " (" +
          strsignal(exit_code - 128) + ")";
  const std::string end = end_of(output, message_limit);
  why += end.empty() ? ", and printed nothing" : ": " + end;
  // Whether it may pass by itself only the author knows: who writes `retry` says that it may.
  return Error(ErrorKind::transient, "the program failed", program, why,
               "the step's log has its whole output; mend the cause, then resume the run");
}

Json outputs_of(const Params& params, std::string output, int exit_code) {
  Json outputs = {{"exit", exit_code}};
  if (params.flag("secret_output")) return outputs;
  if (output.size() > stdout_limit) output.erase(0, output.size() - stdout_limit);
  if (output.ends_with('\n')) output.pop_back();
  outputs["stdout"] = sys::mend_utf8(output);
  return outputs;
}

sys::Result run_argv(const Params& params, Call& call, const std::string& field) {
  sys::Command command;
  command.argv = params.list(field);
  if (params.has("env")) command.extra_env = params.environment("env");
  const auto via = via_of(params, call);
  command.cwd = params.text_or("cwd", via ? "" : "/");
  if (field == "command") command.stdin_text = params.text_or("stdin", "");
  command.capture_limit = stdout_limit;
  command.capture_tail = true;
  sys::Result result =
      via ? run_inside(*via, std::move(command), call) : call.run_program(std::move(command));
  if (!params.flag("secret_output"))
    for (const std::string& line : sys::split(end_of(result.out, stdout_limit), '\n'))
      if (!line.empty()) call.log(line);
  return result;
}

// Nothing is asked before and nothing noted: the program is the whole step.
bool only_runs(const Params& params) {
  return !params.has("creates") && !params.has("check");
}

// What `creates` and `check` say; unknown where neither was given.
Done told(const Params& params, Call& call) {
  if (only_runs(params)) return Done::unknown;
  if (params.has("creates") && !sys::exists(call.place(params.text("creates")))) return Done::no;
  if (params.has("check") && !run_argv(params, call, "check").ok()) return Done::no;
  return Done::yes;
}

class Run : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "creates");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    preview.summary = "run " + shown_argv(params, "command");
    if (!params.has("undo")) preview.cannot_undo = "what the program changes: the step has no `undo`";

    if (params.has("creates") && params.known("creates")) {
      const std::string creates = call.place(params.text("creates"));
      if (sys::exists(creates) && !params.has("check")) {
        preview.verdict = Preview::Verdict::nothing_to_do;
        preview.summary = creates + " is there already";
        preview.cannot_undo.clear();
        return preview;
      }
    }
    if (params.has("check")) preview.summary += ", unless " + shown_argv(params, "check") + " exits with 0";
    if (params.has("via")) {
      foresee_container(params, call, preview);
      return preview;
    }
    for (const char* field : {"command", "check", "undo"})
      if (params.has(field)) look_for_program(params, field, call, preview);
    if (params.has("cwd") && params.known("cwd") && !sys::is_folder(params.text("cwd"))) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.hints.push_back("the folder " + params.text("cwd") +
                              " (cwd) is not there yet: an earlier step must make it");
    }
    return preview;
  }

  void settle(const Params& params, Call& call) const override {
    if (params.has("via")) end_inside(call);
  }

  Json apply(const Params& params, Call& call) const override {
    if (told(params, call) == Done::yes) return outputs_of(params, "", 0);
    // Undo asks for this note: a program that never ran has nothing to put back.
    call.note("ran", true);
    failpoint("shell.run:noted");
    const sys::Result result = run_argv(params, call, "command");
    failpoint("shell.run:ran");
    const std::string program = params.list("command").front();
    if (!result.ok()) {
      const bool speak = !params.flag("secret_output");
      throw failure(program, result.exit_code, speak ? result.out + "\n" + result.err_tail : result.err_tail);
    }
    if (params.has("creates") && !sys::exists(call.place(params.text("creates"))))
      throw Error(ErrorKind::permanent, "the program did not do its work", program,
                  "it exited with 0, but " + params.text("creates") + " (creates) is not there",
                  "correct `creates`, or the program");
    return outputs_of(params, result.out, 0);
  }

  Done check(const Params& params, Call& call, Json& outputs) const override {
    const Done done = told(params, call);
    if (done == Done::yes) outputs = outputs_of(params, "", 0);
    return done;
  }

  bool can_tell(const Params& params) const override { return !only_runs(params); }

  void undo(const Params& params, Call& call, const Json*) const override {
    if (!only_runs(params) && !call.notes().contains("ran")) return;
    const std::string program = params.list("command").front();
    if (!params.has("undo"))
      throw Error(
          ErrorKind::refused, "cannot be undone", program, "the step has no `undo`",
          "put back by hand what the program changed, then `relight resume --done " + call.step() + "`");
    const sys::Result result = run_argv(params, call, "undo");
    if (!result.ok())
      throw failure(params.list("undo").front(), result.exit_code,
                    params.flag("secret_output") ? result.err_tail : result.out + "\n" + result.err_tail);
  }

  std::string state_digest(const Params& params, Call& call) const override {
    if (!params.has("creates")) return "not known: the step has no `creates`";
    return sys::tree_digest(call.place(params.text("creates")));
  }

  std::optional<Child> child(const Params& params) const override {
    // What relight itself starts has all its output in the step's log.
    if (!only_runs(params) || params.flag("secret_output") || params.has("via")) return std::nullopt;
    Child child;
    child.argv = params.list("command");
    if (params.has("env")) child.env = params.environment("env");
    child.cwd = params.text_or("cwd", "/");
    child.stdin_text = params.text_or("stdin", "");
    return child;
  }

  Json child_done(const Params& params, int exit_code, const std::string& tail) const override {
    if (exit_code != 0)
      throw failure(params.list("command").front(), exit_code, params.flag("secret_output") ? "" : tail);
    return outputs_of(params, tail, exit_code);
  }

 private:
  static void foresee_container(const Params& params, Call& call, Preview& preview) {
    preview.summary += " in the container of " + shown_via(params);
    if (!params.known("via")) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      return;
    }
    try {
      foresee_inside(*via_of(params, call), call, preview);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
  }

  // A program that is not there may come from an earlier step (packages, a release), so it is told and not
  // refused; a file that is there and cannot be run is refused.
  static void look_for_program(const Params& params, const std::string& field, Call& call, Preview& preview) {
    const Json& first = params.all()[field].front();
    if (!first.is_string()) return;
    const std::string program = first.get<std::string>();
    const std::string state = call.once("program " + program, [&] { return state_of(program); });
    if (state == usable) return;
    if (state != absent) {
      preview.problems.push_back(
          {"cannot be run", program, state, "name the program itself, or chmod +x it"});
      return;
    }
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back("the program " + program + " (" + field + ") is not there yet" +
                            (program.starts_with('/') ? "" : ", nowhere in PATH") +
                            ": an earlier step must bring it");
  }

  static constexpr const char* usable = "it can be run";
  static constexpr const char* absent = "it is not there";

  static std::string state_of(const std::string& program) {
    if (!program.starts_with('/')) return sys::find_program(program).empty() ? absent : usable;
    if (!sys::exists(program)) return absent;
    if (sys::is_folder(program)) return "it is a folder";
    return access(program.c_str(), X_OK) == 0 ? usable : "it is not executable by this user";
  }
};

}  // namespace

extern const StepType shell_run;
const StepType shell_run = {
    .name = "shell.run",
    .doc =
        "Run a program by its argument vector; no shell stands in between.\n"
        "An exit code other than 0 fails the step; it is tried again where `retry` says so. Where `creates` "
        "is there "
        "already, or "
        "`check` exits with 0, nothing is run. Found in doubt after a crash, the step is run again where "
        "`creates` or "
        "`check` tells that it is not done; without them relight asks. A program that is not there when the "
        "plan is made is "
        "told, not refused: an earlier step may bring it. `undo` may be run more than once.",
    .example =
        "shell.run \"index\" { command = { \"/opt/aihummer/current/bin/reindex\", \"--all\" },\n"
        "  creates = \"/var/lib/aihummer/index\", undo = { \"rm\", \"-r\", \"/var/lib/aihummer/index\" } }",
    .fields =
        {
            {.name = "command",
             .type = FieldType::argv,
             .required = true,
             .fallback = "",
             .doc = "the program and its arguments; the program is absolute, or found in PATH",
             .example = "{ \"/usr/bin/touch\", \"/run/ready\" }",
             .choices = {}},
            via_field(
                "the service in whose container it runs, as `check` and `undo` do; `cwd` is a folder there"),
            {.name = "undo",
             .type = FieldType::argv,
             .required = false,
             .fallback = "",
             .doc = "what puts back what the program changed; without it the step cannot be undone",
             .example = "{ \"rm\", \"-f\", \"/run/ready\" }",
             .choices = {}},
            {.name = "env",
             .type = FieldType::env,
             .required = false,
             .fallback = "",
             .doc = "variables over relight's own environment; secrets belong here, never into `command`",
             .example = "{ PGPASSWORD = secret.file \"/root/pg\" }",
             .choices = {}},
            {.name = "cwd",
             .type = FieldType::path,
             .required = false,
             .fallback = "",
             .doc = "the folder that the program runs in; / when not given",
             .example = "\"/opt/aihummer/current\"",
             .choices = {}},
            {.name = "stdin",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "what the program reads; nothing when not given",
             .example = "\"yes\\n\"",
             .choices = {}},
            {.name = "creates",
             .type = FieldType::path,
             .required = false,
             .fallback = "",
             .doc = "a path that is there once the program has done its work",
             .example = "\"/var/lib/aihummer/index\"",
             .choices = {}},
            {.name = "check",
             .type = FieldType::argv,
             .required = false,
             .fallback = "",
             .doc = "a program that changes nothing and exits with 0 when the work is done already",
             .example = "{ \"systemctl\", \"is-enabled\", \"aihummer\" }",
             .choices = {}},
            {.name = "secret_output",
             .type = FieldType::boolean,
             .required = false,
             .fallback = "false",
             .doc = "the program prints secrets: its stdout is neither kept nor shown",
             .example = "true",
             .choices = {}},
        },
    .outputs =
        {
            {.name = "stdout",
             .doc = "the end of what the program printed, at most 64 KiB, without the last newline; none "
                    "with secret_output"},
            {.name = "exit", .doc = "its exit code"},
        },
    .in_doubt = InDoubt::ask,
    .undo = Undo::given,
    .stays = "",
    .drill = Drill::refused,
    .make = make_step<Run>,
};

}  // namespace relight
