#include "runner/lang/frozen.h"

#include <map>

#include "runner/lang/captures.h"
#include "runner/lang/child.h"
#include "runner/lang/evaluate.h"
#include "runner/lang/library.h"
#include "runner/lang/words.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight::lang {

namespace {

struct Memory {
  std::string plan_text, digest;
  std::vector<SourceFile> sources;
  std::vector<const StepType*> types;
};
Memory& memory() {
  static Memory kept;
  return kept;
}

Error damaged(const std::string& why) {
  return Error(ErrorKind::needs_person, "cannot call a function of the runbook", "the run's frozen runbook",
               why,
               "the run's folder was changed by hand, or the run was started by another version of relight");
}

// `o`: o.STEP.OUTPUT of the steps that `step` waits for.
void push_outputs(lua_State* lua, const std::map<std::string, Json>& outputs) {
  lua_newtable(lua);
  for (const auto& [name, values] : outputs) {
    push_json(lua, values);
    lua_setfield(lua, -2, name.c_str());
  }
  lock_table(lua, "o");
}

bool evaluate_when(const std::string& step, const Json& all_outputs) {
  FrozenEvaluation frozen;
  const std::set<std::string> before = waited_for(frozen.plan, step);
  std::map<std::string, Json> outputs;
  for (const std::string& name : before)
    if (all_outputs.contains(name)) outputs[name] = all_outputs[name];
  Evaluation& evaluation = frozen.evaluation();
  evaluation.builder().set_outputs(outputs);
  lua_State* lua = evaluation.state().lua();
  if (!push_function(lua, step, "when")) throw damaged("the step \"" + step + "\" has no `when` function");
  lua_Debug info;
  lua_pushvalue(lua, -1);
  lua_getinfo(lua, ">S", &info);
  const Place at{info.source + 1, info.linedefined};
  put_in(lua, -1, outputs);
  push_outputs(lua, outputs);
  evaluation.state().call(1, 1);
  if (lua_type(lua, -1) != LUA_TBOOLEAN)
    throw RunbookError({{at, step,
                         std::string("`when` must return true or false, but returned ") +
                             (lua_isnil(lua, -1) ? "nil" : std::string("a ") + luaL_typename(lua, -1)),
                         "compare: return o.STEP.OUTPUT == VALUE", nullptr}});
  return lua_toboolean(lua, -1) != 0;
}

}  // namespace

struct FrozenEvaluation::Parts {
  Json plan_json;
  Given given;
  Sources sources;
  Scans scans;
  Evaluation evaluation;

  explicit Parts(Json json)
      : plan_json(std::move(json)),
        given{{}, std::make_shared<const Json>(plan_json.at("inputs")), false},
        sources(plan_json.at("file").get<std::string>(), memory().sources),
        evaluation(sources, scans, memory().types, given, Limits()) {}
};

FrozenEvaluation::FrozenEvaluation() {
  frozen_runbook();
  try {
    parts = std::make_unique<Parts>(Json::parse(memory().plan_text));
  } catch (const Json::exception& error) {
    throw damaged(std::string("its plan.json cannot be read: ") + error.what());
  }
  plan = parts->evaluation.run();
  if (plan.digest != memory().digest)
    throw damaged("it gives another plan than the one that the run was started with");
}

FrozenEvaluation::~FrozenEvaluation() = default;

Evaluation& FrozenEvaluation::evaluation() {
  return parts->evaluation;
}

std::string frozen_runbook() {
  if (memory().plan_text.empty()) throw damaged("nothing was frozen for this process");
  return memory().sources.empty() ? "" : memory().sources.front().name;
}

void set_frozen(const std::string& folder, const std::string& plan_digest,
                const std::vector<const StepType*>& types) {
  Memory kept;
  kept.digest = plan_digest;
  kept.types = with_words(types);
  kept.plan_text = sys::read_file(folder + "/plan.json", 1u << 30);
  sys::walk(folder + "/runbook", [&](const sys::Entry& entry) {
    if (entry.kind == 'f')
      kept.sources.push_back({entry.path, sys::read_file(folder + "/runbook/" + entry.path)});
  });
  memory() = std::move(kept);
}

bool call_when(const std::string& step, const Json& all_outputs) {
  return in_child(Limits(), frozen_runbook(), [&] { return Json(evaluate_when(step, all_outputs)); })
      .get<bool>();
}

}  // namespace relight::lang
