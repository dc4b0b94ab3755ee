#include "runner/lang/context.h"

#include "runner/lang/library.h"
#include "runner/lang/state.h"
#include "runner/lang/values.h"
#include "runner/sys/files.h"
#include "runner/sys/http.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sql.h"
#include "runner/sys/text.h"

namespace relight::lang {

namespace {

const char* const call_key = "relight.call";
const char* const ctx_key = "relight.ctx";

Call& call_of(lua_State* lua) {
  lua_getfield(lua, LUA_REGISTRYINDEX, call_key);
  Call& call = *static_cast<Call*>(lua_touserdata(lua, -1));
  lua_pop(lua, 1);
  return call;
}

std::string text_at(lua_State* lua, int index, const char* what) {
  if (lua_type(lua, index) != LUA_TSTRING && lua_type(lua, index) != LUA_TNUMBER)
    throw Refusal(std::string(what) + " must be a text, but is " +
                      (lua_isnoneornil(lua, index) ? "nil" : std::string("a ") + luaL_typename(lua, index)),
                  secret_at(lua, index) ? "name the secret in `secrets`, and write ctx.secrets.NAME" : "");
  lua_pushvalue(lua, index);
  std::size_t size = 0;
  const char* text = lua_tolstring(lua, -1, &size);
  std::string copy(text, size);
  lua_pop(lua, 1);
  return copy;
}

void push_text(lua_State* lua, const std::string& text) {
  lua_pushlstring(lua, text.data(), text.size());
}

// The field of the table at 1, or nothing.
bool push_field(lua_State* lua, const char* name) {
  if (lua_getfield(lua, 1, name) != LUA_TNIL) return true;
  lua_pop(lua, 1);
  return false;
}

std::string text_field(lua_State* lua, const char* of, const char* name, const std::string& otherwise) {
  if (!push_field(lua, name)) return otherwise;
  std::string text = text_at(lua, lua_gettop(lua), (std::string(of) + ": " + name).c_str());
  lua_pop(lua, 1);
  return text;
}

std::map<std::string, std::string> texts_field(lua_State* lua, const char* of, const char* name) {
  std::map<std::string, std::string> texts;
  if (!push_field(lua, name)) return texts;
  const std::string what = std::string(of) + ": " + name;
  if (lua_type(lua, -1) != LUA_TTABLE) throw Refusal(what + " must be a table of texts");
  for (lua_pushnil(lua); lua_next(lua, -2); lua_pop(lua, 1)) {
    if (lua_type(lua, -2) != LUA_TSTRING) throw Refusal(what + " must have names as keys");
    const std::string key = lua_tostring(lua, -2);
    texts[key] = text_at(lua, lua_gettop(lua), (what + "." + key).c_str());
  }
  lua_pop(lua, 1);
  return texts;
}

std::chrono::milliseconds timeout_field(lua_State* lua, const char* of, std::chrono::milliseconds otherwise) {
  const std::string text = text_field(lua, of, "timeout", "");
  if (text.empty()) return otherwise;
  const auto timeout = sys::parse_duration(text);
  if (!timeout)
    throw Refusal(std::string(of) + ": timeout \"" + text + "\" is no duration", "write \"30s\" or \"5m\"");
  return *timeout;
}

void want_table(lua_State* lua, const char* of, const char* fields) {
  if (lua_type(lua, 1) != LUA_TTABLE)
    throw Refusal(std::string(of) + " wants a table", std::string("write ") + of + " { " + fields + " }");
}

// argv as the list at `index`; env, cwd, stdin and timeout as fields of the table at 1.
sys::Result run_program(lua_State* lua, const char* of, int index) {
  sys::Command command;
  const auto count = static_cast<lua_Integer>(lua_rawlen(lua, index));
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(lua, index, i);
    command.argv.push_back(
        text_at(lua, lua_gettop(lua), (std::string(of) + ": argument " + std::to_string(i)).c_str()));
    lua_pop(lua, 1);
  }
  if (command.argv.empty())
    throw Refusal(std::string(of) + " has no program", std::string("write ") + of + " { \"/usr/bin/sync\" }");
  command.extra_env = texts_field(lua, of, "env");
  command.cwd = text_field(lua, of, "cwd", "/");
  command.stdin_text = text_field(lua, of, "stdin", "");
  command.timeout = timeout_field(lua, of, std::chrono::milliseconds(0));
  Call& call = call_of(lua);
  call.stop_here_if_wanted();
  sys::Result result = call.run_program(std::move(command));
  call.stop_here_if_wanted();
  return result;
}

int run(lua_State* lua) {
  want_table(lua, "ctx.run", "\"PROGRAM\", \"ARGUMENT\"");
  const sys::Result result = run_program(lua, "ctx.run", 1);
  if (!result.ok()) {
    lua_rawgeti(lua, 1, 1);
    const std::string end = sys::mend_utf8(sys::trim(result.err_tail));
    throw Error(ErrorKind::permanent, "the program failed", text_at(lua, -1, "ctx.run"),
                (result.timed_out ? std::string("it did not end in time")
                                  : "it exited with " + std::to_string(result.exit_code)) +
                    (end.empty() ? "" : ": " + end),
                "ctx.process { argv = ... } returns the exit code instead");
  }
  std::string out = result.out;
  if (out.ends_with('\n')) out.pop_back();
  push_text(lua, out);
  return 1;
}

int process(lua_State* lua) {
  want_table(lua, "ctx.process", "argv = { \"PROGRAM\", \"ARGUMENT\" }");
  if (!push_field(lua, "argv") || lua_type(lua, -1) != LUA_TTABLE)
    throw Refusal("ctx.process has no argv", "write ctx.process { argv = { \"PROGRAM\", \"ARGUMENT\" } }");
  const sys::Result result = run_program(lua, "ctx.process", lua_gettop(lua));
  lua_createtable(lua, 0, 4);
  lua_pushinteger(lua, result.exit_code);
  lua_setfield(lua, -2, "exit");
  push_text(lua, result.out);
  lua_setfield(lua, -2, "stdout");
  push_text(lua, result.err_tail);
  lua_setfield(lua, -2, "stderr");
  lua_pushboolean(lua, result.timed_out);
  lua_setfield(lua, -2, "timed_out");
  return 1;
}

int http(lua_State* lua) {
  want_table(lua, "ctx.http", "url = \"http://...\"");
  sys::HttpRequest request;
  request.url = text_field(lua, "ctx.http", "url", "");
  if (request.url.empty()) throw Refusal("ctx.http has no url", "write ctx.http { url = \"http://...\" }");
  request.method = text_field(lua, "ctx.http", "method", "GET");
  request.headers = texts_field(lua, "ctx.http", "headers");
  request.body = text_field(lua, "ctx.http", "body", "");
  request.timeout = timeout_field(lua, "ctx.http", request.timeout);
  Call& call = call_of(lua);
  request.stop = [&call] { return call.stop_wanted(); };
  const sys::HttpAnswer answer = sys::http(request);
  call.stop_here_if_wanted();
  lua_createtable(lua, 0, 3);
  lua_pushinteger(lua, answer.status);
  lua_setfield(lua, -2, "status");
  push_text(lua, answer.body);
  lua_setfield(lua, -2, "body");
  lua_createtable(lua, 0, static_cast<int>(answer.headers.size()));
  for (const auto& [name, value] : answer.headers) {
    push_text(lua, value);
    lua_setfield(lua, -2, name.c_str());
  }
  lua_setfield(lua, -2, "headers");
  return 1;
}

int sql(lua_State* lua) {
  const std::string conninfo = text_at(lua, 1, "ctx.sql: the connection");
  const std::string text = text_at(lua, 2, "ctx.sql: the statement");
  std::vector<std::string> parameters;
  if (!lua_isnoneornil(lua, 3)) {
    if (lua_type(lua, 3) != LUA_TTABLE)
      throw Refusal("ctx.sql: the parameters must be a list", "write { \"A\", \"B\" }");
    const auto count = static_cast<lua_Integer>(lua_rawlen(lua, 3));
    for (lua_Integer i = 1; i <= count; ++i) {
      lua_rawgeti(lua, 3, i);
      parameters.push_back(
          text_at(lua, lua_gettop(lua), ("ctx.sql: parameter " + std::to_string(i)).c_str()));
      lua_pop(lua, 1);
    }
  }
  Call& call = call_of(lua);
  sys::Sql connection(conninfo, {{"application_name", "relight " + call.run() + "/" + call.step()}});
  connection.stop_when([&call] { return call.stop_wanted(); });
  const sys::Rows rows = connection.query(text, parameters);
  call.stop_here_if_wanted();
  lua_createtable(lua, static_cast<int>(rows.rows.size()), 0);
  for (std::size_t row = 0; row < rows.rows.size(); ++row) {
    lua_createtable(lua, 0, static_cast<int>(rows.columns.size()));
    for (std::size_t column = 0; column < rows.columns.size(); ++column) {
      if (!rows.rows[row][column]) continue;  // NULL is nil
      push_text(lua, *rows.rows[row][column]);
      lua_setfield(lua, -2, rows.columns[column].c_str());
    }
    lua_rawseti(lua, -2, static_cast<lua_Integer>(row) + 1);
  }
  return 1;
}

std::string absolute_path(lua_State* lua, const char* of) {
  const std::string path = text_at(lua, 1, of);
  if (path.empty() || path[0] != '/')
    throw Refusal(std::string(of) + " must be absolute, but is \"" + path + "\"");
  return call_of(lua).place(path);
}

int read_file(lua_State* lua) {
  const auto text = sys::read_file_if_there(absolute_path(lua, "ctx.read_file: the path"));
  if (text)
    push_text(lua, *text);
  else
    lua_pushnil(lua);
  return 1;
}

int write_file(lua_State* lua) {
  const std::string path = absolute_path(lua, "ctx.write_file: the path");
  const std::string text = text_at(lua, 2, "ctx.write_file: the content");
  const std::string mode = lua_isnoneornil(lua, 3) ? "0644" : text_at(lua, 3, "ctx.write_file: the mode");
  if (mode.empty() || mode.size() > 4 || mode.find_first_not_of("01234567") != std::string::npos)
    throw Refusal("ctx.write_file: the mode \"" + mode + "\" is none", "write \"0644\" or \"0600\"");
  sys::write_file(path, text, static_cast<mode_t>(std::stoul(mode, nullptr, 8)));
  return 0;
}

void set_notes(lua_State* lua, const Json& notes) {
  lua_getfield(lua, LUA_REGISTRYINDEX, ctx_key);
  push_json(lua, notes);
  lua_setfield(lua, -2, "notes");
  lua_pop(lua, 1);
}

Json json_at(lua_State* lua, int index, const char* what) {
  Found found;
  Json value = to_json(lua, index, what, FieldType::table, found);
  if (!found.faults.empty())
    throw Refusal("`" + found.faults[0].field + "` " + found.faults[0].what, found.faults[0].hint);
  return value;
}

int note(lua_State* lua) {
  const std::string key = text_at(lua, 1, "ctx.note: the key");
  Call& call = call_of(lua);
  call.note(key, json_at(lua, 2, "ctx.note"));
  set_notes(lua, call.notes());
  return 0;
}

int log(lua_State* lua) {
  call_of(lua).log(sys::mend_utf8(text_at(lua, 1, "ctx.log: the line")));
  return 0;
}

int encode(lua_State* lua) {
  luaL_checkany(lua, 1);
  push_text(lua, json_at(lua, 1, "ctx.encode").dump());
  return 1;
}

int decode(lua_State* lua) {
  const std::string text = text_at(lua, 1, "ctx.decode: the JSON");
  const Json value = sys::parse_json(text);
  if (value.is_discarded())
    throw Error(ErrorKind::permanent, "cannot decode JSON", "",
                "it begins with " + sys::mend_utf8(text.substr(0, 60)));
  push_json(lua, value);
  return 1;
}

void set_json(lua_State* lua, const char* name, const Json& value) {
  push_json(lua, value);
  lua_setfield(lua, -2, name);
}

}  // namespace

void push_context(lua_State* lua, const Params& params, Call& call) {
  lua_pushlightuserdata(lua, &call);
  lua_setfield(lua, LUA_REGISTRYINDEX, call_key);
  lua_createtable(lua, 0, 20);
  set_function(lua, "run", guarded<run>);
  set_function(lua, "process", guarded<process>);
  set_function(lua, "http", guarded<http>);
  set_function(lua, "sql", guarded<sql>);
  set_function(lua, "read_file", guarded<read_file>);
  set_function(lua, "write_file", guarded<write_file>);
  set_function(lua, "note", guarded<note>);
  set_function(lua, "log", guarded<log>);
  set_function(lua, "encode", guarded<encode>);
  set_function(lua, "decode", guarded<decode>);
  set_json(lua, "params", params.has("params") ? params["params"] : Json::object());
  set_json(lua, "outputs", params.has("uses") ? params["uses"] : Json::object());
  set_json(lua, "secrets", params.environment("secrets"));
  set_json(lua, "step", call.step());
  set_json(lua, "attempt", call.attempt());
  lua_pushvalue(lua, -1);
  lua_setfield(lua, LUA_REGISTRYINDEX, ctx_key);
  set_notes(lua, call.notes());
  lock_table(lua, "ctx");
}

}  // namespace relight::lang
