#include "runner/lang/common.h"

#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::lang {

namespace {

const std::vector<Field>& retry_fields() {
  static const std::vector<Field> fields = {
      {"attempts",
       FieldType::integer,
       true,
       "",
       "how often it is tried, the first time counted",
       "attempts = 3",
       {}},
      {"backoff",
       FieldType::duration,
       false,
       "\"1s\"",
       "the wait before the second attempt; doubled each time, at most 60s",
       "backoff = \"2s\"",
       {}},
  };
  return fields;
}

std::vector<Fault> take_retry(const Json& value, PlannedStep& step) {
  std::vector<Fault> faults = check_values(retry_fields(), value.is_object() ? value : Json::object());
  for (Fault& fault : faults) {
    fault.field = "retry." + fault.field;
    if (fault.what == "is no field of this step") fault.what = "is not there";
  }
  if (!faults.empty()) return faults;
  const std::int64_t attempts = value["attempts"].get<std::int64_t>();
  if (attempts < 1 || attempts > 1000)
    return {{"retry.attempts", "must be from 1 to 1000", "attempts = 3 tries it three times"}};
  step.attempts = static_cast<int>(attempts);
  if (value.contains("backoff")) step.backoff = *sys::parse_duration(value["backoff"].get<std::string>());
  return {};
}

}  // namespace

const std::vector<Field>& common_fields() {
  static const std::vector<Field> fields = {
      {"after",
       FieldType::list,
       false,
       "",
       "the steps that it waits for, names or handles; every step above when not given",
       "{ \"keys\", db }",
       {}},
      {"as", FieldType::text, false, "", "the user of the host that it runs as", "\"postgres\"", {}},
      {"timeout",
       FieldType::duration,
       false,
       "",
       "ends an attempt, with every process that it started",
       "\"25m\"",
       {}},
      {"retry",
       FieldType::table,
       false,
       "",
       "tries it again where the error may pass by itself",
       "{ attempts = 5, backoff = \"2s\" }",
       {}},
      {"when",
       FieldType::function,
       false,
       "",
       "whether to run it: true, false, or a function of the outputs so far",
       "function(o) return o.release.changed end",
       {}},
      {"defaults",
       FieldType::table,
       false,
       "",
       "the outputs that others get where it is skipped",
       "{ version = \"none\" }",
       {}},
      {"in_doubt",
       FieldType::choice,
       false,
       "",
       "what to do with it where relight was ended while it ran",
       "\"ask\"",
       {"again", "ask", "undo"}},
      {"doc", FieldType::text, false, "", "why the step is there", "\"the old key opens the vault\"", {}},
      {"on_failure",
       FieldType::choice,
       false,
       "",
       "the runbook's own when not given",
       "\"rollback\"",
       {"stop", "rollback", "continue"}},
      {"waive",
       FieldType::text,
       false,
       "",
       "with continue: why its failure does no harm",
       "\"the cache fills by itself\"",
       {}},
      {"no_return",
       FieldType::text,
       false,
       "",
       "why nothing is undone any more once it has begun; needs an `approve` above it",
       "\"the partners write to the new host\"",
       {}},
  };
  return fields;
}

const std::vector<Field>& probe_fields(const StepType& type) {
  static const std::vector<Field> none,
      all = {
          {"proves",
           FieldType::choice,
           false,
           "\"run\"",
           "both: it is measured before the first effect, too, and decides after a rollback",
           "\"both\"",
           {"run", "both"}},
          {"watch",
           FieldType::duration,
           false,
           "",
           "looks that often, from before the first effect to the end of the run, and tells the downtime",
           "\"20ms\"",
           {}},
      };
  static const std::vector<Field> proves = {all[0]};
  return !type.is_probe ? none : type.watches ? all : proves;
}

std::string top_of(const std::string& field) {
  return field.substr(0, field.find_first_of(".["));
}

const Field* find_field(const std::vector<Field>& fields, const std::string& name) {
  for (const Field& field : fields)
    if (field.name == name) return &field;
  return nullptr;
}

OnFailure on_failure_named(const std::string& name) {
  return name == "rollback" ? OnFailure::rollback : name == "continue" ? OnFailure::go_on : OnFailure::stop;
}

std::vector<Fault> take_common(const Field& field, const Json& value, PlannedStep& step) {
  if (!outputs_used(value).empty())
    return {{field.name, "must be known while the runbook is read, but is " + shown(value),
             "write the value itself, or take it from an input"}};
  if (!secrets_used(value).empty())
    return {{field.name, "holds a secret, and is shown in plans and logs", "take it out"}};
  if (std::vector<Fault> faults = check_value(field, value); !faults.empty()) return faults;
  if (field.name == "retry") return take_retry(value, step);
  if (field.name == "defaults") {
    step.defaults = std::make_shared<const Json>(value.empty() ? Json::object() : value);
    return {};
  }
  const std::string text = value.get<std::string>();
  if (text.empty()) return {{field.name, "is empty", "leave it out, or write " + field.example}};
  if (field.name == "as") {
    step.as = text;
  } else if (field.name == "timeout") {
    step.timeout = *sys::parse_duration(text);
    if (step.timeout.count() == 0)
      return {{"timeout", "is zero: every attempt would be ended at once", "leave it out for none"}};
  } else if (field.name == "in_doubt") {
    step.in_doubt = text == "again" ? InDoubt::again : text == "ask" ? InDoubt::ask : InDoubt::undo;
  } else if (field.name == "doc") {
    step.doc = text;
  } else if (field.name == "on_failure") {
    step.on_failure = on_failure_named(text);
  } else if (field.name == "waive") {
    step.waive = text;
  } else if (field.name == "no_return") {
    step.no_return = text;
  } else if (field.name == "watch") {
    step.watch = *sys::parse_duration(text);
    if (step.watch < std::chrono::milliseconds(10))
      return {{"watch", "is shorter than 10ms: the looks would be a load of their own", "write \"20ms\""}};
  } else {
    step.proves = text;
  }
  return {};
}

}  // namespace relight::lang
