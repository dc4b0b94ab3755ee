#include "runner/lang/evaluation.h"

#include <algorithm>

#include "runner/lang/library.h"
#include "runner/lang/words.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/json_whole.h"

namespace relight::lang {

// The C functions behind the words of the language.
struct Words {
  static Evaluation& of(lua_State* lua) { return *static_cast<Evaluation*>(owner_pointer(lua)); }

  // runbook, FAMILY.TYPE, approve, script: a name first ...
  static int named(lua_State* lua) {
    const std::string word = lua_tostring(lua, lua_upvalueindex(1));
    if (lua_type(lua, 1) != LUA_TSTRING)
      throw Refusal(word + (lua_isnoneornil(lua, 1) ? " has no name" : " needs a name before its table"),
                    "write " + word + " \"NAME\" { ... }");
    if (lua_gettop(lua) > 1)
      throw Refusal(word + " takes its name and its table one after the other",
                    "write " + word + " \"NAME\" { ... }");
    Evaluation& evaluation = of(lua);
    lua_pushvalue(lua, lua_upvalueindex(2));
    lua_pushvalue(lua, 1);
    lua_pushinteger(lua, static_cast<lua_Integer>(evaluation.pending_.size()));
    evaluation.pending_.push_back({place_of(lua), word + " \"" + lua_tostring(lua, 1) + "\"", false});
    lua_pushcclosure(lua, word == "runbook" ? guarded<runbook> : guarded<step>, 3);
    return 1;
  }

  // ... then a table.
  static void table_for(lua_State* lua) {
    Evaluation::Pending& pending =
        of(lua).pending_[static_cast<std::size_t>(lua_tointeger(lua, lua_upvalueindex(3)))];
    pending.done = true;
    if (lua_type(lua, 1) == LUA_TTABLE) return;
    throw Refusal(pending.text + " needs a table, but got a " + luaL_typename(lua, 1),
                  "write " + pending.text + " { ... }");
  }

  static int runbook(lua_State* lua) {
    table_for(lua);
    of(lua).builder_.head(lua, lua_tostring(lua, lua_upvalueindex(2)), 1, place_of(lua));
    return 0;
  }

  static int step(lua_State* lua) {
    table_for(lua);
    const auto* type = static_cast<const StepType*>(lua_touserdata(lua, lua_upvalueindex(1)));
    std::size_t size = 0;
    const char* name = lua_tolstring(lua, lua_upvalueindex(2), &size);
    push_handle(lua, of(lua).builder_.add(lua, type, {name, size}, 1, place_of(lua)));
    return 1;
  }

  static int inputs(lua_State* lua) {
    lua_remove(lua, 1);  // `inputs` itself, which is called
    Evaluation& evaluation = of(lua);
    const Place at = place_of(lua);
    if (lua_type(lua, 1) != LUA_TTABLE)
      throw Refusal("inputs needs a table", "write local input = inputs { NAME = { doc = \"...\" } }");
    if (evaluation.inputs_at_)
      throw Refusal("inputs is called twice; first at " + text_of(*evaluation.inputs_at_),
                    "declare them in one table");
    evaluation.inputs_at_ = at;
    Found found;
    const Json declared = to_json(lua, 1, "inputs", FieldType::table, found);
    std::vector<RunbookFault> faults;
    for (const Fault& fault : found.faults)
      faults.push_back({at, "", "`" + fault.field + "` " + fault.what, fault.hint});
    if (faults.empty()) {
      const auto place = [&](const std::string& input) {
        return evaluation.builder_.place_of_field(at, input);
      };
      const InputValues values = values_of_inputs(declared, evaluation.given_, place, faults);
      evaluation.input_values_ = values.all;
      evaluation.given_values_ = values.given;
    }
    if (!faults.empty()) {
      // With an input that is not known nothing below can be judged.
      for (RunbookFault& fault : faults) evaluation.builder_.fault(std::move(fault));
      throw Refusal("");
    }
    lua_settop(lua, 1);
    lua_newtable(lua);
    lua_createtable(lua, 0, 3);
    push_json(lua, *evaluation.input_values_);
    lua_pushvalue(lua, 1);
    lua_pushcclosure(lua, guarded<input>, 2);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, guarded<write_input>);
    lua_setfield(lua, -2, "__newindex");
    lua_pushliteral(lua, "locked");
    lua_setfield(lua, -2, "__metatable");
    lua_setmetatable(lua, -2);
    return 1;
  }

  static int index_inputs(lua_State* lua) {
    const std::string name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "NAME";
    throw Refusal("`inputs." + name + "` is not there: inputs { ... } returns the values",
                  "write `local input = inputs { ... }`, then input." + name);
  }

  static int input(lua_State* lua) {
    lua_pushvalue(lua, 2);
    if (lua_rawget(lua, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    lua_pushvalue(lua, 2);
    if (lua_rawget(lua, lua_upvalueindex(2)) != LUA_TNIL) {
      lua_pushnil(lua);
      return 1;
    }
    if (lua_type(lua, 2) != LUA_TSTRING) throw Refusal("inputs have names, not numbers", "write input.NAME");
    const std::string name = lua_tostring(lua, 2);
    std::vector<std::string> names;
    for (lua_pushnil(lua); lua_next(lua, lua_upvalueindex(2)); lua_pop(lua, 1))
      names.emplace_back(lua_tostring(lua, -2));
    const std::string near = near_name(name, names);
    throw Refusal("there is no input `" + name + "`",
                  near.empty() ? "declare it in inputs { ... }" : "did you mean `" + near + "`?");
  }

  static int write_input(lua_State*) {
    throw Refusal("an input cannot be written to", "keep what you make of it in a local of its own");
  }

  // A step type that is not there is told, and its steps are passed over, so that more can be told.
  static int absent_type(lua_State* lua) {
    Evaluation& evaluation = of(lua);
    const std::string family = lua_tostring(lua, lua_upvalueindex(1));
    const std::string name = family + "." + (lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?");
    std::string near = near_name(name, evaluation.type_names_);
    std::string of_family;
    for (const std::string& type : evaluation.type_names_)
      if (type.starts_with(family + ".")) of_family += (of_family.empty() ? "" : ", ") + type;
    evaluation.builder_.fault({place_of(lua), "", "there is no step type " + name,
                               near.empty() ? "there are " + of_family : "did you mean " + near + "?"});
    push_constructor(lua, name, nullptr);
    return 1;
  }

  // FAMILY{ ... }: the table under the family's name, for a field that takes such a value.
  static int call_family(lua_State* lua) {
    const std::string family = lua_tostring(lua, lua_upvalueindex(1));
    if (of(lua).tags_.count(family) != 0 && lua_type(lua, 2) == LUA_TTABLE) {
      lua_createtable(lua, 0, 1);
      lua_pushvalue(lua, 2);
      lua_setfield(lua, -2, family.c_str());
      return 1;
    }
    throw Refusal("`" + family + "` is a family of step types", "write " + family + ".TYPE \"NAME\" { ... }");
  }

  static void push_constructor(lua_State* lua, const std::string& word, const StepType* type) {
    lua_pushstring(lua, word.c_str());
    lua_pushlightuserdata(lua, const_cast<StepType*>(type));
    lua_pushcclosure(lua, guarded<named>, 2);
  }

  static void open_family(lua_State* lua, const std::string& family,
                          const std::vector<const StepType*>& types) {
    lua_createtable(lua, 0, 8);
    for (const StepType* type : types) {
      if (!type->name.starts_with(family + ".")) continue;
      push_constructor(lua, type->name, type);
      lua_setfield(lua, -2, type->name.c_str() + family.size() + 1);
    }
    lock_table(lua, family.c_str(), guarded<absent_type>);
    lua_getmetatable(lua, -1);
    lua_pushstring(lua, family.c_str());
    lua_pushcclosure(lua, guarded<call_family>, 1);
    lua_setfield(lua, -2, "__call");
    lua_pop(lua, 1);
    set_global(lua, family.c_str());
  }

  static std::string text_argument(lua_State* lua, const char* word, const char* example) {
    if (lua_type(lua, 1) != LUA_TSTRING)
      throw Refusal(std::string(word) + " wants a text that is known now", example);
    std::size_t size = 0;
    const char* text = lua_tolstring(lua, 1, &size);
    return {text, size};
  }

  static int secret_env(lua_State* lua) {
    const Json reference =
        secret_reference("env:" + text_argument(lua, "secret.env", "write secret.env \"NAME\""));
    if (reference.is_null())
      throw Refusal("secret.env wants the name of a variable", "write secret.env \"PGPASSWORD\"");
    push_secret(lua, reference);
    return 1;
  }

  static int secret_file(lua_State* lua) {
    const std::string path = text_argument(lua, "secret.file", "write secret.file \"/root/key\"");
    if (path.empty() || path[0] != '/')
      throw Refusal("secret.file wants an absolute path", "write secret.file \"/root/key\"");
    push_secret(lua, Json{{"$secret", {{"file", path}}}});
    return 1;
  }

  static int secret_command(lua_State* lua) {
    Found found;
    const Json argv = to_json(lua, 1, "secret.command", FieldType::argv, found);
    Field field;
    field.name = "secret.command";
    field.type = FieldType::argv;
    std::vector<Fault> faults = std::move(found.faults);
    if (faults.empty()) faults = check_value(field, argv);
    if (faults.empty() && !outputs_used(argv).empty())
      faults.push_back({field.name, "holds what is not known yet", ""});
    if (!faults.empty())
      throw Refusal("`" + faults[0].field + "` " + faults[0].what,
                    "write secret.command { \"/usr/bin/pass\", \"backup\" }");
    push_secret(lua, Json{{"$secret", {{"command", argv}}}});
    return 1;
  }

  static int call_secret(lua_State*) {
    throw Refusal("`secret` takes no text: a secret is never written into a runbook",
                  "write secret.env \"NAME\", secret.file \"PATH\" or secret.command { ... }");
  }

  static int require(lua_State* lua) {
    Evaluation& evaluation = of(lua);
    const std::string name = text_argument(lua, "require", "write require \"NAME\"");
    luaL_getsubtable(lua, LUA_REGISTRYINDEX, "relight.modules");
    const SourceFile& source = evaluation.sources_.module(name);
    if (const auto open = evaluation.loading_.find(source.name); open != evaluation.loading_.end())
      throw Refusal(
          "the module \"" + name + "\" requires itself in the end; first at " + text_of(open->second),
          "move what both need into a third module");
    if (lua_getfield(lua, -1, source.name.c_str()) != LUA_TNIL) return 1;
    lua_pop(lua, 1);
    evaluation.loading_[source.name] = place_of(lua);
    evaluation.state_.load(source.name, source.bytes);
    evaluation.look_at(source);
    lua_call(lua, 0, 1);
    if (lua_isnil(lua, -1)) {
      lua_pop(lua, 1);
      lua_pushboolean(lua, 1);
    }
    lua_pushvalue(lua, -1);
    lua_setfield(lua, -3, source.name.c_str());
    evaluation.loading_.erase(source.name);
    return 1;
  }

  static void open_secret(lua_State* lua) {
    lua_newtable(lua);
    lua_pushcfunction(lua, guarded<secret_env>);
    lua_setfield(lua, -2, "env");
    lua_pushcfunction(lua, guarded<secret_file>);
    lua_setfield(lua, -2, "file");
    lua_pushcfunction(lua, guarded<secret_command>);
    lua_setfield(lua, -2, "command");
    lock_table(lua, "secret");
    lua_getmetatable(lua, -1);
    lua_pushcfunction(lua, guarded<call_secret>);
    lua_setfield(lua, -2, "__call");
    lua_pop(lua, 1);
    set_global(lua, "secret");
  }
};

Evaluation::Evaluation(Sources& sources, Scans& scans, const std::vector<const StepType*>& types,
                       const Given& given, const Limits& limits)
    : sources_(sources),
      scans_(scans),
      types_(types),
      given_(given),
      builder_(sources, scans),
      state_(limits, this),
      input_values_(std::make_shared<const Json>(Json::object())),
      given_values_(input_values_) {
  for (const StepType* type : types) {
    const std::size_t dot = type->name.find('.');
    if (dot == std::string::npos) continue;
    families_.insert(type->name.substr(0, dot));
    type_names_.push_back(type->name);
    for (const Field& field : type->fields)
      if (field.type == FieldType::tagged) tags_.insert(field.choices.begin(), field.choices.end());
  }
  families_.insert(tags_.begin(), tags_.end());
  open_words();
}

Evaluation::~Evaluation() = default;

void Evaluation::open_words() {
  lua_State* lua = state_.lua();
  open_values(lua);
  for (const std::string& family : families_) Words::open_family(lua, family, types_);
  Words::push_constructor(lua, approve_type, &approve_word());
  set_global(lua, approve_type);
  Words::push_constructor(lua, script_type, &script_word());
  set_global(lua, script_type);
  Words::push_constructor(lua, "runbook", nullptr);
  set_global(lua, "runbook");
  lua_newtable(lua);
  lock_table(lua, "inputs", guarded<Words::index_inputs>);
  lua_getmetatable(lua, -1);
  lua_pushcfunction(lua, guarded<Words::inputs>);
  lua_setfield(lua, -2, "__call");
  lua_pop(lua, 1);
  set_global(lua, "inputs");
  lua_pushcfunction(lua, guarded<Words::require>);
  set_global(lua, "require");
  Words::open_secret(lua);
}

void Evaluation::look_at(const SourceFile& source) {
  const auto [scanned, is_new] = scans_.try_emplace(source.name);
  if (is_new) scanned->second = scan(source, families_);
  for (const RunbookFault& fault : scanned->second.faults) builder_.fault(fault);
}

Plan Evaluation::run() {
  const SourceFile& source = sources_.runbook();
  try {
    loading_[source.name] = {source.name, 1};
    state_.load(source.name, source.bytes);
    look_at(source);
    state_.call(0, 0);
  } catch (const RunbookError& error) {
    std::vector<RunbookFault> faults = builder_.faults();
    for (const RunbookFault& fault : error.faults())
      if (!fault.what.empty()) faults.push_back(fault);
    throw RunbookError(std::move(faults));
  }
  for (const Pending& pending : pending_)
    if (!pending.done)
      builder_.fault({pending.at, "", pending.text + " has no table", "write " + pending.text + " { ... }"});
  if (!inputs_at_) {
    std::vector<RunbookFault> faults;
    values_of_inputs(
        Json::object(), given_,
        [&](const std::string&) {
          return Place{source.name, 1};
        },
        faults);
    for (RunbookFault& fault : faults) builder_.fault(std::move(fault));
  }
  Plan plan = builder_.finish(source.name);
  plan.inputs = input_values_;
  plan_text_ = relight::text_of(plan);
  plan.digest = sys::sha256_hex(plan_text_);
  return plan;
}

}  // namespace relight::lang
