#include "runner/lang/script.h"

#include "runner/lang/captures.h"
#include "runner/lang/context.h"
#include "runner/lang/frozen.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::lang {

namespace {

std::map<std::string, Json> outputs_in(const Params& params) {
  std::map<std::string, Json> outputs;
  if (!params.has("uses")) return outputs;
  const Json& uses = params.all()["uses"];
  for (auto it = uses.begin(); it != uses.end(); ++it) outputs[it.key()] = *it;
  return outputs;
}

// One call of one function, in a state of its own. What it throws is an Error of the kind that its helper
// threw.
class Function {
 public:
  Function(const Params& params, Call& call, const std::string& field)
      : outputs_(outputs_in(params)), step_(call.step()), call_(call), field_(field) {
    Evaluation& evaluation = frozen_.evaluation();
    evaluation.builder().set_outputs(outputs_);
    // Its own time is the step's: `timeout` ends it, as it ends a program.
    evaluation.state().bound_by([&call] { return call.stop_wanted(); });
    if (!push_function(lua(), step_, field))
      throw Error(ErrorKind::needs_person, "cannot call a function of the runbook", step_,
                  "it has no `" + field + "`", "the run's folder was changed by hand");
    put_in(lua(), -1, outputs_);
    push_context(lua(), params, call);
  }

  void add_argument(const Json& value) {
    push_json(lua(), value);
    ++arguments_;
  }

  // Leaves the one result on the stack.
  void call() {
    try {
      frozen_.evaluation().state().call(arguments_, 1);
    } catch (const RunbookError& error) {
      call_.stop_here_if_wanted();
      const RunbookFault& fault = error.faults().front();
      const std::string where = text_of(fault.at);
      if (fault.cause) {
        try {
          std::rethrow_exception(fault.cause);
        } catch (const Error& cause) {
          throw Error(cause.kind, cause.failed, cause.on, cause.why + " (" + where + ")", cause.hint);
        }
      }
      throw Error(ErrorKind::permanent, "the script failed", where, fault.what, fault.hint);
    }
  }

  Json result() {
    Found found;
    Json value = to_json(lua(), -1, field_, FieldType::table, found);
    if (found.faults.empty()) return value;
    throw wrong(
        "returned a value that cannot be kept: `" + found.faults[0].field + "` " + found.faults[0].what,
        found.faults[0].hint);
  }

  Error wrong(const std::string& why, const std::string& hint) const {
    return Error(ErrorKind::permanent, "the script's `" + field_ + "` went wrong", step_, "it " + why, hint);
  }

 private:
  lua_State* lua() { return frozen_.evaluation().state().lua(); }

  FrozenEvaluation frozen_;
  std::map<std::string, Json> outputs_;
  std::string step_;
  Call& call_;
  std::string field_;
  int arguments_ = 1;
};

// What the function returned, against what the step declares.
Json declared_outputs(const Params& params, const Function& function, const Json& result) {
  const std::vector<std::string> names =
      params.has("outputs") ? params.list("outputs") : std::vector<std::string>();
  const std::string hint =
      names.empty() ? "declare them: outputs = { \"NAME\" }" : "outputs are " + sys::join(names, ", ");
  if (!result.is_null() && !result.is_object() && !(result.is_array() && result.empty()))
    throw function.wrong(
        "returned " + std::string(result.is_array() ? "a list" : result.dump()) + ", not a table of outputs",
        hint);
  Json outputs = Json::object();
  for (const std::string& name : names) {
    if (!result.is_object() || !result.contains(name))
      throw function.wrong("returned no `" + name + "`", "return { " + name + " = ... }");
    outputs[name] = result[name];
  }
  for (auto it = result.begin(); result.is_object() && it != result.end(); ++it)
    if (!outputs.contains(it.key()))
      throw function.wrong("returned `" + it.key() + "`, which the step does not declare", hint);
  if (!secrets_used(outputs).empty())
    throw function.wrong("returned a secret", "outputs are kept in the journal");
  return outputs;
}

class Script : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return params.has("targets") ? params.list("targets") : std::vector<std::string>();
  }

  Preview preview(const Params& params, Call&) const override {
    Preview preview;
    preview.summary = "call the " + shown(params.all()["run"]);
    if (!params.has("undo")) preview.cannot_undo = "what the script changes: it has no `undo` function";
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    Function run(params, call, "run");
    run.call();
    return declared_outputs(params, run, run.result());
  }

  Done check(const Params& params, Call& call, Json& outputs) const override {
    if (!params.has("check")) return Done::unknown;
    Function check(params, call, "check");
    check.call();
    const Json result = check.result();
    if (result.is_null()) return Done::unknown;
    if (result == false) return Done::no;
    outputs = declared_outputs(params, check, result == true ? Json() : result);
    return Done::yes;
  }

  void undo(const Params& params, Call& call, const Json* outputs) const override {
    if (!params.has("undo"))
      throw Error(ErrorKind::permanent, "cannot be undone", call.step(), "the script has no `undo` function",
                  "put back by hand what it changed, then `relight resume --done " + call.step() + "`");
    Function undo(params, call, "undo");
    undo.add_argument(outputs ? *outputs : Json());
    undo.call();
  }

  std::string state_digest(const Params&, Call&) const override {
    return "not known: a script's state is its own";
  }
};

}  // namespace

std::unique_ptr<Step> make_script() {
  return std::make_unique<Script>();
}

std::vector<Field> script_fields() {
  return {
      {"run",
       FieldType::function,
       true,
       "",
       "does it; returns the outputs",
       "function(ctx) ctx.run { \"/usr/bin/sync\" } end",
       {}},
      {"undo",
       FieldType::function,
       false,
       "",
       "puts back what run changed; outputs is nil after a half run",
       "function(ctx, outputs) ctx.run { \"/usr/bin/rm\", \"-f\", outputs.path } end",
       {}},
      {"check",
       FieldType::function,
       false,
       "",
       "in doubt: true, or the outputs, where it is done; false where it is to be run again; nil: ask",
       "function(ctx) return ctx.read_file(\"/run/done\") ~= nil end",
       {}},
      {"outputs", FieldType::list, false, "", "the names of what run returns", "{ \"pages\" }", {}},
      {"params",
       FieldType::table,
       false,
       "",
       "values for the functions: ctx.params.NAME",
       "{ url = app.url }",
       {}},
      {"secrets",
       FieldType::env,
       false,
       "",
       "secrets for the functions, as texts: ctx.secrets.NAME",
       "{ token = input.token }",
       {}},
      {"uses",
       FieldType::table,
       false,
       "",
       "steps whose outputs the functions read as ctx.outputs.STEP.OUTPUT; those of the locals that a "
       "function names "
       "are known in it anyway",
       "{ \"database\" }",
       {}},
      {"targets",
       FieldType::list,
       false,
       "",
       "what it changes: no two runs hold the same target",
       "{ \"path:/srv/cache\" }",
       {}},
  };
}

}  // namespace relight::lang
