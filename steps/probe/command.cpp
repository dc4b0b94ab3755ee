// probe.command: a program says that all is well.
#include <unistd.h>

#include "runner/step/inside.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/probe/lib/expect.h"
#include "steps/probe/lib/patience.h"

namespace relight {
namespace {

constexpr std::size_t tail_limit = 64u << 10;
constexpr const char* hint =
    "run it by hand; the new data stays in place, `relight rollback` puts the old back";

Json expected(const Params& params) {
  const Json expect = params.has("expect") ? params["expect"] : Json::object();
  check_expect_names(expect, {"exit", "output"});
  if (expect.contains("exit") && !expect["exit"].is_number_integer())
    throw Error(ErrorKind::refused, "cannot tell what is expected", "expect.exit",
                "it is " + expect["exit"].dump(), "write an exit code");
  if (expect.contains("output") && !expect["output"].is_string())
    throw Error(ErrorKind::refused, "cannot tell what is expected", "expect.output",
                "it is " + expect["output"].dump(), "write a text that its output must contain");
  return expect;
}

std::string end_of(const std::string& text) {
  const std::string end = sys::trim(text);
  return end.size() <= 400 ? excerpt(end, 400) : "..." + excerpt(end.substr(end.size() - 400), 400);
}

// Why the program's end is not the one that was expected; empty: it is.
std::string difference(const Json& expect, int exit_code, const std::string& out, const std::string& err) {
  const int wanted = expect.value("exit", 0);
  if (exit_code != wanted) {
    const std::string said = end_of(err.empty() ? out : out + "\n" + err);
    return "it exited with " + std::to_string(exit_code) +
           (wanted == 0 ? "" : ", not " + std::to_string(wanted)) + (said.empty() ? "" : ": " + said);
  }
  if (expect.contains("output") && out.find(expect["output"].get<std::string>()) == std::string::npos)
    return "its output does not contain " + expect["output"].dump() + (out.empty() ? "" : ": " + end_of(out));
  return "";
}

class CommandProbe : public Step {
 public:
  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    std::vector<std::string> words;
    for (const Json& word : params.all()["command"]) words.push_back(shown(word));
    preview.summary = "run " + sys::join(words, " ");
    try {
      preview.summary += show(patience_of(params));
      if (params.known("expect")) expected(params);
      if (!params.known("command")) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(params.all()["command"]).begin();
        return preview;
      }
      if (params.has("via")) {
        preview.summary += " in the container of " + shown_via(params);
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        if (params.known("via")) {
          preview.verdict = Preview::Verdict::would_change;
          foresee_inside(*via_of(params, call), call, preview);
        }
        return preview;
      }
      const std::string program = sys::find_program(params.list("command")[0]);
      if (program.empty() || !sys::exists(program)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.hints.push_back("the program " + words[0] +
                                " is not there yet: an earlier step must bring it");
      } else if (access(program.c_str(), X_OK) != 0) {
        preview.problems.push_back({"cannot be run", program, "it is not executable", "chmod +x it"});
      }
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  void settle(const Params& params, Call& call) const override {
    if (params.has("via")) end_inside(call);
  }

  Json apply(const Params& params, Call& call) const override {
    const Json expect = expected(params);
    sys::Command command;
    command.argv = params.list("command");
    command.extra_env = params.environment("env");
    const auto via = via_of(params, call);
    command.cwd = params.text_or("cwd", via ? "" : "/");
    command.capture_limit = tail_limit;
    command.capture_tail = true;
    int exit_code = 0;
    ask_until_passed(call, patience_of(params), sys::join(command.argv, " "), hint, [&] {
      const sys::Result result = via ? run_inside(*via, command, call) : call.run_program(command);
      exit_code = result.exit_code;
      return difference(expect, result.exit_code, result.out, result.err_tail);
    });
    return {{"exit", exit_code}};
  }

  std::string state_digest(const Params&, Call&) const override { return "changes nothing"; }

  // Asked once, it is a program and nothing more.
  std::optional<Child> child(const Params& params) const override {
    const Patience patience = patience_of(params);
    if (params.has("via")) return std::nullopt;
    if (patience.within.count() > 0 || patience.consecutive > 1 || patience.hold.count() > 0)
      return std::nullopt;
    expected(params);
    Child child;
    child.argv = params.list("command");
    child.env = params.environment("env");
    child.cwd = params.text_or("cwd", "/");
    return child;
  }

  Json child_done(const Params& params, int exit_code, const std::string& tail) const override {
    const std::string why = difference(expected(params), exit_code, tail, "");
    if (!why.empty())
      throw Error(ErrorKind::permanent, "the probe did not pass", sys::join(params.list("command"), " "), why,
                  hint);
    return {{"exit", exit_code}};
  }
};

std::vector<Field> fields() {
  std::vector<Field> fields = {
      {"command",
       FieldType::argv,
       true,
       "",
       "the program and its arguments; the program is absolute, or found in PATH",
       "{ \"/opt/aihummer/current/deploy/host/smoke.sh\" }",
       {}},
      via_field("the service in whose container it runs; `cwd` is a folder there"),
      {"expect",
       FieldType::table,
       false,
       "",
       "`exit`: its exit code, 0 when not given; `output`: a text in its stdout",
       "{ exit = 0, output = \"all good\" }",
       {}},
      {"env",
       FieldType::env,
       false,
       "",
       "variables over relight's own environment; secrets belong here",
       "{ TOKEN = secret.file \"/root/token\" }",
       {}},
      {"cwd",
       FieldType::path,
       false,
       "",
       "the folder that it runs in; / when not given",
       "\"/opt/aihummer\"",
       {}},
  };
  for (Field& field : patience_fields("")) fields.push_back(std::move(field));
  return fields;
}

}  // namespace

extern const StepType probe_command;
const StepType probe_command = {
    .name = "probe.command",
    .doc =
        "Prove by a program of your own that all is well.\n"
        "Run once, or with `within` again and again until it says so. It should change nothing: it may be "
        "run more "
        "than once.",
    .example = "probe.command \"smoke\" { command = { \"/opt/aihummer/current/deploy/host/smoke.sh\" } }",
    .fields = fields(),
    .outputs = {{"exit", "its exit code"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .is_probe = true,
    .make = make_step<CommandProbe>,
};

}  // namespace relight
