#include "runner/lang/words.h"

#include "runner/lang/script.h"
#include "runner/plan/plan.h"
#include "runner/sys/json_whole.h"

namespace relight::lang {

namespace {

// The engine asks the person; a step is made for its preview only.
class Approve : public Step {
 public:
  Preview preview(const Params& params, Call&) const override {
    Preview preview;
    preview.summary = "wait for a yes to: " + (params.known("prompt") ? params.text("prompt") : "its prompt");
    return preview;
  }
  Json apply(const Params&, Call& call) const override {
    throw Error(ErrorKind::needs_person, "waits for an approval", call.step(), "only a person can give it");
  }
  void undo(const Params&, Call&, const Json*) const override {}  // it changed nothing
  std::string state_digest(const Params&, Call&) const override { return "nothing"; }
};

}  // namespace

const StepType& approve_word() {
  static const StepType type = {
      .name = approve_type,
      .doc =
          "Ask a person, and wait for a yes.\n"
          "No step below starts before the answer. Without a terminal the run ends with 6, and is resumed "
          "when the answer "
          "is there; --yes does not answer.",
      .example = "approve \"fenced\" { prompt = \"Is the old host off, or cut from the network?\" }",
      .fields = {{"prompt",
                  FieldType::text,
                  true,
                  "",
                  "the question, to be answered with yes",
                  "\"Is the old host off?\"",
                  {}}},
      .outputs = {},
      .in_doubt = InDoubt::again,
      .undo = Undo::whole,
      .stays = "",
      .drill = Drill::runs,
      .is_probe = false,
      .make = make_step<Approve>,
  };
  return type;
}

const StepType& script_word() {
  static const StepType type = {
      .name = script_type,
      .doc =
          "Run a Lua function, with helpers for programs, HTTP, SQL, files, notes and the log.\n"
          "The function runs in a process of its own, which evaluates the frozen runbook again. It must come "
          "to the same end "
          "when it is run again. ctx.run { ... } runs a program and returns its stdout, ctx.process { argv = "
          "... } gives exit, "
          "stdout and stderr; ctx.http { url = ... }, ctx.sql(conninfo, sql, parameters), "
          "ctx.read_file(path), "
          "ctx.write_file(path, text, mode), ctx.note(key, value) (durable on return: call it before the "
          "effect), "
          "ctx.notes, ctx.log(text), ctx.encode(value), ctx.decode(json); ctx.params, ctx.secrets and "
          "ctx.outputs.STEP.OUTPUT "
          "hold what the fields below give. The locals of steps that a function names are known in it. "
          "ctx.write_file, killed on its way, leaves .NAME.tmp beside the file: an undo removes it, too.",
      .example =
          "script \"warm\" { outputs = { \"pages\" },\n"
          "  run = function(ctx) return { pages = ctx.http { url = \"http://127.0.0.1:8080/warm\" }.body } "
          "end }",
      .fields = script_fields(),
      .outputs = {},
      .in_doubt = InDoubt::ask,
      .undo = Undo::given,
      .stays = "",
      .drill = Drill::refused,
      .is_probe = false,
      .make = make_script,
  };
  return type;
}

std::vector<const StepType*> with_words(const std::vector<const StepType*>& types) {
  std::vector<const StepType*> all;
  for (const StepType* type : types)
    if (type != &approve_word() && type != &script_word()) all.push_back(type);
  all.push_back(&approve_word());
  all.push_back(&script_word());
  return all;
}

}  // namespace relight::lang
