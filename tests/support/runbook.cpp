#include "tests/support/runbook.h"

#include "runner/step/via.h"
#include "runner/sys/json_whole.h"

namespace relight {

namespace {

Field field(const std::string& name, FieldType type, bool required = false, const std::string& example = "") {
  Field made;
  made.name = name;
  made.type = type;
  made.required = required;
  made.example = example;
  return made;
}

StepType type(const std::string& name, std::vector<Field> fields, std::vector<std::string> outputs,
              bool probe = false) {
  StepType made;
  made.name = name;
  made.fields = std::move(fields);
  for (std::string& output : outputs) made.outputs.push_back({std::move(output), ""});
  made.is_probe = probe;
  return made;
}

}  // namespace

const std::vector<const StepType*>& fake_types() {
  using T = FieldType;
  static const std::vector<StepType> all = [] {
    std::vector<StepType> made;
    made.push_back(type("host.packages", {field("install", T::texts, true)}, {"installed"}));
    made.push_back(type(
        "host.file",
        {field("from", T::location), field("into", T::path, true, "\"/etc/motd\""), field("text", T::text)},
        {"path"}));
    made.push_back(type("shell.run",
                        {field("command", T::argv, true, "{ \"/bin/true\" }"), field("env", T::env),
                         field("creates", T::path)},
                        {"stdout", "exit"}));
    made.push_back(type("service.stop", {field("unit", T::text, true)}, {}));
    made.push_back(type("service.start", {field("unit", T::text), via_field(""), field("version", T::text)},
                        {"identity"}));
    made.push_back(type("release.pin",
                        {field("product", T::text, true), field("version", T::text, true),
                         field("from", T::location, true), field("into", T::path, true)},
                        {"before", "version", "changed"}));
    made.push_back(
        type("key.restore",
             {field("from", T::secret, true), field("into", T::path, true), field("other", T::location),
              field("variables", T::list), field("fingerprints", T::location)},
             {}));
    made.push_back(
        type("key.prove",
             {field("database", T::text, true), field("sql", T::text, true), field("rows", T::integer),
              field("key", T::secret, true), field("variable", T::text)},
             {}));
    made.push_back(type("postgres.recover",
                        {field("base", T::location, true), field("wal", T::locations), field("to", T::moment),
                         field("lost_at", T::time), field("data", T::path, true),
                         field("config", T::location), field("database", T::text)},
                        {"url", "lsn"}));
    made.push_back(
        type("blobs.restore", {field("from", T::location, true), field("into", T::path, true)}, {"files"}));
    made.push_back(type("probe.http",
                        {field("service", T::text), field("url", T::text, true), field("within", T::duration),
                         field("hold", T::duration), field("expect", T::table)},
                        {}, true));
    made.push_back(type("probe.command", {field("command", T::argv, true)}, {}, true));
    return made;
  }();
  static const std::vector<const StepType*> pointers = [] {
    std::vector<const StepType*> made;
    for (const StepType& one : all) made.push_back(&one);
    return made;
  }();
  return pointers;
}

Runbook::Runbook(const std::string& text) {
  with("test.lua", text);
}

Runbook& Runbook::with(const std::string& file, const std::string& text) {
  sys::make_folders(sys::parent_of(folder_->path() + "/" + file));
  sys::write_file(folder_->path() + "/" + file, text, 0644);
  return *this;
}

Runbook& Runbook::set(const std::string& input, const std::string& text) {
  given.set[input] = text;
  return *this;
}

Runbook& Runbook::inputs(const std::string& json) {
  given.file = std::make_shared<const Json>(Json::parse(json));
  return *this;
}

Runbook& Runbook::types(const std::vector<const StepType*>& types) {
  types_ = &types;
  return *this;
}

lang::Evaluated Runbook::evaluate() const {
  return lang::evaluate({path(), given, *types_, limits});
}

std::string Runbook::refusal() const {
  try {
    evaluate();
    return "";
  } catch (const lang::RunbookError& error) {
    std::string all;
    for (const lang::RunbookFault& fault : error.faults())
      all += (all.empty() ? "" : "\n") + fault.text() + (fault.hint.empty() ? "" : " | " + fault.hint);
    return all;
  } catch (const Error& error) {
    return std::string(error.what()) + (error.hint.empty() ? "" : " | " + error.hint);
  }
}

}  // namespace relight
