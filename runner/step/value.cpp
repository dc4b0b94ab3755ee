#include "runner/step/value.h"

#include <functional>

#include "runner/sys/json_whole.h"

namespace relight {

namespace {

bool is_kind(const Json& value, const char* key) {
  return value.is_object() && value.size() == 1 && value.contains(key);
}

void each_part(const Json& value, const std::function<void(const Json&)>& visit) {
  visit(value);
  if (value.is_structured() && !is_secret(value) && !is_function(value) && !is_output(value))
    for (const Json& part : value) each_part(part, visit);
}

}  // namespace

bool is_output(const Json& value) {
  return is_kind(value, "$output");
}
bool is_join(const Json& value) {
  return is_kind(value, "$join");
}
bool is_secret(const Json& value) {
  return is_kind(value, "$secret");
}
bool is_function(const Json& value) {
  return is_kind(value, "$function");
}

std::set<std::string> outputs_used(const Json& value) {
  std::set<std::string> steps;
  each_part(value, [&](const Json& part) {
    if (is_output(part)) steps.insert(part["$output"][0].get<std::string>());
  });
  return steps;
}

std::set<std::string> secrets_used(const Json& value) {
  std::set<std::string> names;
  each_part(value, [&](const Json& part) {
    if (is_secret(part)) names.insert(secret_name(part));
  });
  return names;
}

std::string secret_name(const Json& reference) {
  const Json& source = reference["$secret"];
  const auto first = source.begin();
  return first.key() + ":" + (first->is_string() ? first->get<std::string>() : first->dump());
}

Json resolve(const Json& value, const std::map<std::string, Json>& outputs) {
  if (is_output(value)) {
    const auto step = outputs.find(value["$output"][0].get<std::string>());
    if (step == outputs.end()) return value;
    const auto field = step->second.find(value["$output"][1].get<std::string>());
    return field == step->second.end() ? Json(nullptr) : *field;
  }
  if (is_join(value)) {
    std::string text;
    Json parts = Json::array();
    for (const Json& part : value["$join"]) {
      Json got = resolve(part, outputs);
      if (is_output(got)) return value;
      text += got.is_string() ? got.get<std::string>() : got.dump();
    }
    return text;
  }
  if (is_secret(value) || is_function(value) || !value.is_structured()) return value;
  Json copy = value;
  for (auto it = copy.begin(); it != copy.end(); ++it) *it = resolve(*it, outputs);
  return copy;
}

std::string shown(const Json& value) {
  if (is_output(value))
    return "<" + value["$output"][0].get<std::string>() + "." + value["$output"][1].get<std::string>() + ">";
  if (is_join(value)) {
    std::string text;
    for (const Json& part : value["$join"]) text += shown(part);
    return text;
  }
  if (is_secret(value)) return "secret " + secret_name(value);
  if (is_function(value)) {
    const Json& function = value["$function"];
    return "function at " + function["file"].get<std::string>() + ":" +
           std::to_string(function["line"].get<int>());
  }
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_structured()) return value.dump();
  std::string text;
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (!text.empty()) text += ", ";
    if (value.is_object()) text += it.key() + " = ";
    text += shown(*it);
  }
  return (value.is_object() ? "{" : "[") + text + (value.is_object() ? "}" : "]");
}

}  // namespace relight
