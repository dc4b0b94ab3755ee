#include "runner/step/schema.h"

#include <fmt/core.h>

#include <algorithm>
#include <unordered_map>

#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

// A value that takes the place of a text and is known later.
bool is_late(const Json& value) {
  return is_output(value) || is_join(value);
}

std::string described(const Json& value) {
  if (is_output(value)) return "an output of a step";
  if (is_join(value)) return "a text with an output in it";
  if (is_secret(value)) return "a secret";
  if (is_function(value)) return "a function";
  switch (value.type()) {
    case Json::value_t::string:
      return fmt::format("the text \"{}\"", value.get<std::string>());
    case Json::value_t::boolean:
      return value.get<bool>() ? "true" : "false";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::object:
      return value.empty() ? "an empty table" : "a table";
    case Json::value_t::null:
      return "nil";
    default:
      return "the number " + value.dump();
  }
}

Fault wrong(const Field& field, const std::string& article_and_type, const Json& value, std::string hint) {
  if (hint.empty() && !field.example.empty()) hint = "write it as in " + field.example;
  return {field.name, fmt::format("must be {}, but is {}", article_and_type, described(value)),
          std::move(hint)};
}

bool is_lsn(const std::string& text) {
  const std::size_t slash = text.find('/');
  const auto hex = [](std::string_view part) {
    return !part.empty() && part.size() <= 8 &&
           part.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
  };
  return slash != std::string::npos && hex(std::string_view(text).substr(0, slash)) &&
         hex(std::string_view(text).substr(slash + 1));
}

const char* const moment_hint =
    "write \"latest\", a time with its offset (\"2026-11-21T10:26:00Z\"), \"lsn:0/5A000148\", \"xid:1234\" "
    "or "
    "\"name:before-upgrade\"";
const char* const time_hint = "write it with its offset, as \"2026-11-21T10:26:00Z\" or \"...+01:00\"";

std::optional<Fault> check_text_form(const Field& field, const Json& value, const std::string& text) {
  const auto bad = [&](const char* what, const char* hint) { return wrong(field, what, value, hint); };
  switch (field.type) {
    case FieldType::path:
      if (text.empty() || text[0] != '/') return bad("an absolute path", "begin it with \"/\"");
      break;
    case FieldType::location:
      if (text.rfind("file:///", 0) == 0) break;
      if (text.find("://") != std::string::npos)
        return bad("a folder or file of this host, or a file:// URL", "copy it to this host first");
      if (text.empty() || text[0] != '/') return bad("an absolute path", "begin it with \"/\"");
      break;
    case FieldType::time:
      if (!sys::parse_time(text)) return bad("a time", time_hint);
      break;
    case FieldType::moment: {
      const std::size_t colon = text.find(':');
      const std::string kind = text.substr(0, colon);
      const std::string rest = colon == std::string::npos ? "" : text.substr(colon + 1);
      const bool good = text == "latest" || (kind == "lsn" && is_lsn(rest)) ||
                        (kind == "name" && !rest.empty()) ||
                        (kind == "xid" && !rest.empty() && rest.size() <= 10 &&
                         rest.find_first_not_of("0123456789") == std::string::npos) ||
                        sys::parse_time(text).has_value();
      if (!good) return bad("a moment", moment_hint);
      break;
    }
    case FieldType::duration:
      if (!sys::parse_duration(text))
        return bad("a duration", "write \"250ms\", \"30s\", \"5m\" or \"1h30m\"");
      break;
    case FieldType::size:
      if (!sys::parse_size(text)) return bad("a size", "write \"512KiB\", \"10MB\" or \"2GiB\"");
      break;
    case FieldType::choice:
      if (std::find(field.choices.begin(), field.choices.end(), text) == field.choices.end()) {
        const std::string near = near_name(text, field.choices);
        return wrong(field, "one of " + sys::join(field.choices, ", "), value,
                     near.empty() ? "" : "did you mean \"" + near + "\"?");
      }
      break;
    default:
      break;
  }
  return std::nullopt;
}

std::vector<Fault> check_list(const Field& field, const Json& value, FieldType item_type) {
  if (is_late(value)) return {};
  if (!value.is_array()) {
    const std::string hint =
        value.is_string() ? "write { \"" + value.get<std::string>() + "\" }" : std::string();
    return {wrong(field, "a list of texts", value, hint)};
  }
  std::vector<Fault> faults;
  for (std::size_t i = 0; i < value.size(); ++i) {
    Field item;
    item.name = fmt::format("{}[{}]", field.name, i + 1);
    item.type = item_type;
    for (Fault& fault : check_value(item, value[i])) faults.push_back(std::move(fault));
  }
  if (field.type == FieldType::argv && value.empty())
    faults.push_back({field.name, "is empty: the first text is the program", "write { \"/bin/true\" }"});
  return faults;
}

// An empty Lua table is a list and a table at once.
bool is_table(const Json& value) {
  return (value.is_object() && !is_late(value) && !is_secret(value) && !is_function(value)) ||
         (value.is_array() && value.empty());
}

std::vector<Fault> check_texts(const Field& field, const Json& value, bool secrets) {
  if (!is_table(value)) return {wrong(field, "a table of NAME = text", value, "")};
  std::vector<Fault> faults;
  for (auto it = value.begin(); value.is_object() && it != value.end(); ++it) {
    const Json& part = *it;
    if (is_late(part) || part.is_string() || (secrets && is_secret(part))) continue;
    Field item;
    item.name = field.name + "." + it.key();
    faults.push_back(wrong(item, secrets ? "a text or a secret" : "a text", part,
                           part.is_number() ? "write \"" + part.dump() + "\"" : ""));
  }
  return faults;
}

// As FAMILY{ ... } gives it: {"FAMILY": {PART: VALUE}}.
std::vector<Fault> check_tagged(const Field& field, const Json& value) {
  const std::string tag =
      is_table(value) && value.size() == 1 && value.is_object() ? value.begin().key() : "";
  if (std::find(field.choices.begin(), field.choices.end(), tag) == field.choices.end() ||
      !is_table(value.begin().value()))
    return {wrong(field, "made by " + sys::join(field.choices, " or "), value, "")};
  const auto own = std::find_if(field.parts.begin(), field.parts.end(),
                                [&](const Field& part) { return part.name == tag; });
  std::vector<Fault> faults =
      check_values(own != field.parts.end() ? own->parts : field.parts, value.begin().value());
  for (Fault& fault : faults) fault.field = field.name + "." + fault.field;
  return faults;
}

}  // namespace

const char* name_of(FieldType type) {
  switch (type) {
    case FieldType::text:
      return "text";
    case FieldType::integer:
      return "integer";
    case FieldType::number:
      return "number";
    case FieldType::boolean:
      return "boolean";
    case FieldType::path:
      return "path";
    case FieldType::location:
      return "location";
    case FieldType::time:
      return "time";
    case FieldType::moment:
      return "moment";
    case FieldType::duration:
      return "duration";
    case FieldType::size:
      return "size";
    case FieldType::secret:
      return "secret";
    case FieldType::choice:
      return "choice";
    case FieldType::list:
      return "list of texts";
    case FieldType::locations:
      return "list of locations";
    case FieldType::argv:
      return "program and arguments";
    case FieldType::texts:
      return "table of texts";
    case FieldType::env:
      return "table of texts or secrets";
    case FieldType::table:
      return "table";
    case FieldType::function:
      return "function";
    case FieldType::tagged:
      return "value of a family";
  }
  return "text";
}

std::vector<Fault> check_value(const Field& field, const Json& value) {
  switch (field.type) {
    case FieldType::list:
    case FieldType::argv:
      return check_list(field, value, FieldType::text);
    case FieldType::locations:
      return check_list(field, value, FieldType::location);
    case FieldType::texts:
      return check_texts(field, value, false);
    case FieldType::env:
      return check_texts(field, value, true);
    case FieldType::table:
      if (!is_table(value)) return {wrong(field, "a table", value, "")};
      return {};
    case FieldType::function:
      if (!is_function(value)) return {wrong(field, "a function", value, "")};
      return {};
    case FieldType::tagged:
      return check_tagged(field, value);
    case FieldType::secret:
      if (is_secret(value)) return {};
      // Never described: what was written here by mistake may be the secret itself.
      return {{field.name, "must be a secret, never the text itself",
               "write secret.env \"NAME\", secret.file \"PATH\" or an input of type secret"}};
    default:
      break;
  }
  if (is_late(value)) return {};
  if (is_secret(value))
    return {{field.name, "is a secret, and this field is shown in plans and logs",
             "only fields of type secret, and env, take one"}};
  const std::string type_name = name_of(field.type);
  switch (field.type) {
    case FieldType::integer:
      if (!value.is_number_integer()) return {wrong(field, "a whole number", value, "")};
      return {};
    case FieldType::number:
      if (!value.is_number()) return {wrong(field, "a number", value, "")};
      return {};
    case FieldType::boolean:
      if (!value.is_boolean()) return {wrong(field, "true or false", value, "")};
      return {};
    case FieldType::size:
      if (value.is_number_unsigned()) return {};
      break;
    default:
      break;
  }
  if (!value.is_string()) {
    std::string hint;
    if (value.is_number() && field.type == FieldType::duration)
      hint = "write \"" + value.dump() + "s\"";
    else if (value.is_number() && field.type == FieldType::text)
      hint = "write \"" + value.dump() + "\"";
    return {
        wrong(field,
              field.type == FieldType::choice ? "one of " + sys::join(field.choices, ", ") : "a " + type_name,
              value, hint)};
  }
  if (auto fault = check_text_form(field, value, value.get<std::string>())) return {*fault};
  return {};
}

std::vector<Fault> check_values(const std::vector<Field>& fields, const Json& values) {
  std::vector<Fault> faults;
  for (const Field& field : fields) {
    const auto given = values.find(field.name);
    if (given != values.end()) {
      for (Fault& fault : check_value(field, *given)) faults.push_back(std::move(fault));
    } else if (field.required) {
      faults.push_back(
          {field.name, "is missing", field.example.empty() ? field.doc : "write " + field.example});
    }
  }
  for (auto it = values.begin(); values.is_object() && it != values.end(); ++it) {
    const auto is_it = [&](const Field& field) { return field.name == it.key(); };
    if (std::any_of(fields.begin(), fields.end(), is_it)) continue;
    std::vector<std::string> names;
    for (const Field& field : fields) names.push_back(field.name);
    const std::string near = near_name(it.key(), names);
    faults.push_back({it.key(), "is no field of this step",
                      near.empty() ? "it takes " + sys::join(names, ", ") : "did you mean `" + near + "`?"});
  }
  return faults;
}

namespace {

// A plan asks for the same few defaults step after step.
const Json& parsed_fallback(const std::string& text) {
  thread_local std::unordered_map<std::string, Json> parsed;
  const auto known = parsed.find(text);
  return known != parsed.end() ? known->second : parsed.emplace(text, Json::parse(text)).first->second;
}

}  // namespace

Json with_defaults(const std::vector<Field>& fields, const Json& values) {
  Json filled = values.is_object() ? values : Json::object();
  for (const Field& field : fields)
    if (!field.fallback.empty() && !filled.contains(field.name))
      filled[field.name] = parsed_fallback(field.fallback);
  return filled;
}

namespace {

// Edits between two names; two letters in the wrong order are one.
std::size_t edits(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string near_name(const std::string& name, const std::vector<std::string>& candidates) {
  std::size_t best = name.size() <= 4 ? 2 : 3;  // edits allowed, plus one
  std::string nearest;
  if (name.size() > 64) return nearest;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edits(name, candidate);
    if (distance < best && distance < std::max(name.size(), candidate.size())) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace relight
