#include "runner/plan/plan.h"

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"

namespace relight {

namespace {

using std::chrono::milliseconds;

const char* name_of(InDoubt value) {
  return value == InDoubt::again ? "again" : value == InDoubt::ask ? "ask" : "undo";
}

const char* name_of(OnFailure value) {
  return value == OnFailure::stop ? "stop" : value == OnFailure::rollback ? "rollback" : "continue";
}

// Out of the JSON that is read: a plan of 1,000 steps is not copied.
std::shared_ptr<const Json> shared(Json& value) {
  return std::make_shared<const Json>(std::move(value));
}

std::string text_in(Json& value) {
  return std::move(value.get_ref<std::string&>());
}

// Writes the plan's text directly: building and dropping a JSON tree of 1,000 steps costs four times as much.
class PlanText {
 public:
  std::string all(const Plan& plan) {
    out_ = "{\"format\":1";
    member("runbook", plan.runbook);
    if (!plan.doc.empty()) member("doc", plan.doc);
    member("file", plan.file);
    member("on_failure", name_of(plan.on_failure));
    member("inputs", *plan.inputs);
    if (plan.budget.rto) member("rto_ms", plan.budget.rto->count());
    if (plan.budget.rpo) member("rpo_ms", plan.budget.rpo->count());
    key("steps");
    char before = '[';
    for (const PlannedStep& planned : plan.steps) {
      out_ += before;
      step(planned);
      before = ',';
    }
    out_ += plan.steps.empty() ? "[]}" : "]}";
    return std::move(out_);
  }

 private:
  // What has its default is left out, so that a plan of 1,000 plain steps stays small.
  void step(const PlannedStep& step) {
    out_ += "{\"name\":";
    text(step.name);
    member("type", step.type);
    member("file", step.file);
    member("line", step.line);
    key("after");
    out_ += '[';
    for (const std::string& name : step.after) {
      if (&name != &step.after.front()) out_ += ',';
      text(name);
    }
    out_ += ']';
    member("params", *step.params);
    if (!step.as.empty()) member("as", step.as);
    if (!step.doc.empty()) member("doc", step.doc);
    if (step.timeout.count() > 0) member("timeout_ms", step.timeout.count());
    if (step.attempts != 1) member("attempts", step.attempts);
    if (step.backoff != milliseconds(1000)) member("backoff_ms", step.backoff.count());
    if (step.when) member("when", *step.when);
    if (step.defaults) member("defaults", *step.defaults);
    if (step.in_doubt) member("in_doubt", name_of(*step.in_doubt));
    if (step.on_failure) member("on_failure", name_of(*step.on_failure));
    if (!step.waive.empty()) member("waive", step.waive);
    if (!step.proves.empty()) member("proves", step.proves);
    if (step.watch.count() > 0) member("watch_ms", step.watch.count());
    if (!step.no_return.empty()) member("no_return", step.no_return);
    out_ += '}';
  }

  void key(const char* name) { out_.append(",\"").append(name).append("\":"); }
  void member(const char* name, const std::string& value) { key(name), text(value); }
  void member(const char* name, const char* value) { key(name), text(value); }
  void member(const char* name, std::int64_t value) { key(name), out_ += std::to_string(value); }
  void member(const char* name, const Json& value) { key(name), json(value); }

  // As dump() writes it.
  void json(const Json& value) {
    if (value.is_string()) return text(value.get_ref<const std::string&>());
    if (value.empty() || !value.is_structured()) {
      out_ += value.dump();
      return;
    }
    char before = value.is_array() ? '[' : '{';
    for (auto it = value.begin(); it != value.end(); ++it, before = ',') {
      out_ += before;
      if (value.is_object()) text(it.key()), out_ += ':';
      json(*it);
    }
    out_ += value.is_array() ? ']' : '}';
  }

  void text(const std::string& value) {
    bool plain = true;
    for (const char c : value) plain = plain && c >= ' ' && c < 127 && c != '"' && c != '\\';
    if (plain)
      out_.append("\"").append(value).append("\"");
    else
      out_ += Json(value).dump();
  }

  std::string out_;
};

OnFailure on_failure_named(const std::string& name) {
  return name == "rollback" ? OnFailure::rollback : name == "continue" ? OnFailure::go_on : OnFailure::stop;
}

InDoubt in_doubt_named(const std::string& name) {
  return name == "again" ? InDoubt::again : name == "undo" ? InDoubt::undo : InDoubt::ask;
}

PlannedStep step_from_json(Json& json, const std::vector<const StepType*>& types) {
  PlannedStep step;
  step.name = text_in(json.at("name"));
  step.type = text_in(json.at("type"));
  step.file = text_in(json.at("file"));
  step.line = json.at("line").get<int>();
  for (Json& name : json.at("after")) step.after.push_back(text_in(name));
  step.params = shared(json.at("params"));
  for (const StepType* type : types)
    if (type->name == step.type) step.step_type = type;
  if (step.step_type == nullptr)
    throw Error(ErrorKind::refused, "cannot use the plan", step.name,
                "this program has no step type " + step.type, "use the relight that made the plan");
  constexpr std::size_t always_there = 6;  // the above
  if (json.size() == always_there) return step;
  step.as = json.value("as", "");
  step.doc = json.value("doc", "");
  step.timeout = milliseconds(json.value("timeout_ms", std::int64_t{0}));
  step.attempts = json.value("attempts", 1);
  step.backoff = milliseconds(json.value("backoff_ms", std::int64_t{1000}));
  if (json.contains("when")) step.when = shared(json["when"]);
  if (json.contains("defaults")) step.defaults = shared(json["defaults"]);
  if (json.contains("in_doubt")) step.in_doubt = in_doubt_named(json["in_doubt"].get<std::string>());
  if (json.contains("on_failure")) step.on_failure = on_failure_named(json["on_failure"].get<std::string>());
  step.waive = json.value("waive", "");
  step.proves = json.value("proves", "");
  step.watch = milliseconds(json.value("watch_ms", std::int64_t{0}));
  step.no_return = json.value("no_return", "");
  return step;
}

Error unreadable(const std::string& why) {
  return Error(ErrorKind::needs_person, "cannot read the plan", "plan.json", why,
               "the run's folder was changed by hand; `relight abandon` gives its targets back");
}

Error untrusted() {
  return Error(ErrorKind::needs_person, "cannot trust the plan", "plan.json",
               "its digest is not that of its text",
               "the run's folder was changed by hand; `relight abandon` gives its targets back");
}

Plan parts_from_json(Json json, const std::vector<const StepType*>& types) {
  Plan plan;
  try {
    plan.runbook = json.at("runbook").get<std::string>();
    plan.doc = json.value("doc", "");
    plan.file = json.at("file").get<std::string>();
    plan.on_failure = on_failure_named(json.at("on_failure").get<std::string>());
    plan.inputs = shared(json.at("inputs"));
    if (json.contains("rto_ms")) plan.budget.rto = milliseconds(json["rto_ms"].get<std::int64_t>());
    if (json.contains("rpo_ms")) plan.budget.rpo = milliseconds(json["rpo_ms"].get<std::int64_t>());
    plan.steps.reserve(json.at("steps").size());
    for (Json& step : json.at("steps")) plan.steps.push_back(step_from_json(step, types));
  } catch (const Json::exception& error) {
    throw unreadable(error.what());
  }
  return plan;
}

}  // namespace

const PlannedStep* Plan::find(const std::string& name) const {
  const std::size_t index = index_of(name);
  return index == steps.size() ? nullptr : &steps[index];
}

std::size_t Plan::index_of(const std::string& name) const {
  for (std::size_t i = 0; i < steps.size(); ++i)
    if (steps[i].name == name) return i;
  return steps.size();
}

Json to_json(const Plan& plan) {
  Json json = Json::parse(text_of(plan));
  json["digest"] = plan.digest;
  return json;
}

std::string text_of(const Plan& plan) {
  return PlanText().all(plan);
}

std::string digest_of(const Plan& plan) {
  return sys::sha256_hex(text_of(plan));
}

Plan plan_from_json(const Json& json, const std::vector<const StepType*>& types) {
  Plan plan = parts_from_json(json, types);
  try {
    plan.digest = json.at("digest").get<std::string>();
  } catch (const Json::exception& error) {
    throw unreadable(error.what());
  }
  if (digest_of(plan) != plan.digest) throw untrusted();
  return plan;
}

Plan plan_from_text(const std::string& text, const std::string& digest,
                    const std::vector<const StepType*>& types) {
  if (sys::sha256_hex(text) != digest) throw untrusted();
  Plan plan = parts_from_json(Json::parse(text, nullptr, false), types);
  plan.digest = digest;
  return plan;
}

}  // namespace relight
