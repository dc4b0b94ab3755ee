#include "runner/lang/inputs.h"

#include <charconv>
#include <optional>

#include "runner/step/schema.h"
#include "runner/step/value.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::lang {

namespace {

struct TypeName {
  const char* name;
  FieldType type;
};
constexpr TypeName type_names[] = {
    {"string", FieldType::text},   {"int", FieldType::integer},       {"bool", FieldType::boolean},
    {"path", FieldType::path},     {"location", FieldType::location}, {"time", FieldType::time},
    {"moment", FieldType::moment}, {"duration", FieldType::duration}, {"size", FieldType::size},
    {"secret", FieldType::secret}, {"choice", FieldType::choice},
};

std::vector<std::string> names_of_types() {
  std::vector<std::string> names;
  for (const TypeName& type : type_names) names.push_back(type.name);
  return names;
}

const std::vector<Field>& fields_of_input() {
  static const std::vector<Field> fields = {
      {"doc",
       FieldType::text,
       false,
       "",
       "what it is, for the one who must give it",
       "\"folder of the backup\"",
       {}},
      {"type", FieldType::choice, false, "\"string\"", "", "\"location\"", names_of_types()},
      {"optional", FieldType::boolean, false, "false", "", "true", {}},
      {"choices", FieldType::list, false, "", "", "{ \"wal\", \"dump\" }", {}},
  };
  return fields;
}

std::string as_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

bool is_text(const std::string& bytes) {
  return sys::is_utf8(bytes) && bytes.find('\0') == std::string::npos;
}

const char* const secret_hint =
    "give a reference: env:NAME, file:PATH or command:PROGRAM ARGS, so that the secret itself is in no shell "
    "history";

class InputCheck {
 public:
  InputCheck(const Given& given, std::vector<RunbookFault>& faults) : given_(given), faults_(faults) {}

  Json all = Json::object(), given_now = Json::object();

  void one(const std::string& name, const Json& declared, const Place& at) {
    name_ = name;
    at_ = at;
    const std::size_t before = faults_.size();
    const std::optional<Field> field = declaration(declared);
    if (!field || faults_.size() > before) return;
    if (const std::optional<Json> value = given_value(*field)) {
      if (check(*field, *value)) given_now[name] = all[name];
    } else if (declared.contains("default")) {
      check(*field, field->type == FieldType::secret ? from_text(*field, as_text(declared["default"]))
                                                     : declared["default"]);
    } else if (!declared.value("optional", false)) {
      missing(*field, declared);
    }
  }

 private:
  bool fault(std::string what, std::string hint = "") {
    faults_.push_back({at_, "", "input \"" + name_ + "\" " + std::move(what), std::move(hint)});
    return false;
  }

  std::optional<Field> declaration(const Json& declared) {
    if (!declared.is_object()) {
      fault("must be declared as a table", "write " + name_ + " = { doc = \"...\" }");
      return std::nullopt;
    }
    Json checked = declared;
    const bool choices = checked.contains("choices");
    for (const char* any : {"default", "example"}) {
      if (!checked.contains(any)) continue;
      if (checked[any].is_structured())
        fault(std::string("has a table as its ") + any, "write a text, a number, true or false");
      checked.erase(any);
    }
    for (const Fault& wrong : check_values(fields_of_input(), checked))
      fault(wrong.what == "is no field of this step" ? "has no field `" + wrong.field + "`"
                                                     : "`" + wrong.field + "` " + wrong.what,
            wrong.hint);
    Field field;
    field.name = name_;
    if (declared.contains("type") && declared["type"].is_string())
      for (const TypeName& type : type_names)
        if (declared["type"] == type.name) field.type = type.type;
    if (field.type == FieldType::choice && !choices)
      fault("is a choice without choices", "write choices = { \"...\", \"...\" }");
    if (field.type != FieldType::choice && choices)
      fault("has choices, but is none", "write type = \"choice\"");
    if (choices && declared["choices"].is_array())
      for (const Json& choice : declared["choices"])
        if (choice.is_string()) field.choices.push_back(choice.get<std::string>());
    return field;
  }

  std::optional<Json> given_value(const Field& field) {
    if (const auto text = given_.set.find(name_); text != given_.set.end())
      return from_text(field, text->second);
    if (!given_.file || !given_.file->is_object() || !given_.file->contains(name_)) return std::nullopt;
    const Json& value = (*given_.file)[name_];
    if (field.type != FieldType::secret) return value;
    if (value.is_string()) return from_text(field, value.get<std::string>());
    const Json& reference =
        is_secret(value) ? value["$secret"] : value;  // as it was frozen | as one writes it
    if (reference.is_object() && reference.size() == 1) {
      const std::string kind = reference.begin().key();
      const Json& of = *reference.begin();
      if (kind == "ask" && is_secret(value) && of == name_) return value;
      if ((kind == "env" || kind == "file") && of.is_string())
        return from_text(field, kind + ":" + of.get<std::string>());
      if (kind == "command" && of.is_array() && !of.empty()) {
        bool texts = true;
        for (const Json& part : of) texts = texts && part.is_string();
        if (texts) return Json{{"$secret", reference}};
      }
    }
    return Json();
  }

  // What --set gives is text, whatever the type. null: it cannot be read as the type, or is a literal secret.
  Json from_text(const Field& field, const std::string& text) {
    if (field.type == FieldType::secret && is_text(text)) {
      if (text == "ask" && given_.can_ask) return asked();
      return secret_reference(text);
    }
    if (field.type == FieldType::boolean && (text == "true" || text == "false")) return text == "true";
    if (field.type == FieldType::integer) {
      std::int64_t number = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return number;
    }
    return text;
  }

  Json asked() const { return Json{{"$secret", {{"ask", name_}}}}; }

  bool check(const Field& field, Json value) {
    if (value.is_string() && !is_text(value.get_ref<const std::string&>()))
      return fault("is not text in UTF-8", "give it in UTF-8");
    if (field.type == FieldType::secret) {
      if (!is_secret(value))
        return fault("must be a reference to a secret, never the secret itself", secret_hint);
    } else if (value.is_string()) {
      const std::string& text = value.get_ref<const std::string&>();
      const bool place = field.type == FieldType::path || field.type == FieldType::location;
      if (place && text.empty()) return fault("is empty", "give a path");
      if (place && text.find("://") == std::string::npos) value = sys::absolute(text);
    }
    for (const Fault& wrong : check_value(field, value)) return fault(wrong.what, wrong.hint);
    all[name_] = std::move(value);
    return true;
  }

  void missing(const Field& field, const Json& declared) {
    const bool secret = field.type == FieldType::secret;
    if (secret && given_.can_ask) {
      all[name_] = asked();
      return;
    }
    const std::string example = declared.contains("example") ? as_text(declared["example"])
                                : secret                     ? "env:NAME, file:PATH or command:PROGRAM"
                                : field.choices.empty()      ? std::string("...")
                                                             : sys::join(field.choices, " or ");
    const std::string doc = declared.value("doc", "");
    fault("is missing" + (doc.empty() ? std::string() : ": " + doc),
          "give it with --set " + name_ + "=" + example);
  }

  const Given& given_;
  std::vector<RunbookFault>& faults_;
  std::string name_;
  Place at_;
};

}  // namespace

Json secret_reference(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || colon + 1 == text.size()) return nullptr;
  const std::string kind = text.substr(0, colon), of = text.substr(colon + 1);
  if (kind == "env") {
    const bool name =
        of.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
            std::string::npos &&
        !(of[0] >= '0' && of[0] <= '9');
    return name ? Json{{"$secret", {{"env", of}}}} : Json();
  }
  if (kind == "file") return Json{{"$secret", {{"file", sys::absolute(of)}}}};
  if (kind != "command") return nullptr;
  Json argv = Json::array();
  for (const std::string& part : sys::split(of, ' '))
    if (!part.empty()) argv.push_back(part);
  return argv.empty() ? Json() : Json{{"$secret", {{"command", std::move(argv)}}}};
}

std::shared_ptr<const Json> parse_inputs(const std::string& text, const std::string& on) {
  Json parsed = sys::parse_json(text);
  if (!parsed.is_object())
    throw Error(ErrorKind::refused, "cannot read the inputs", on, "it is not a JSON object",
                "write it as {\"NAME\": \"VALUE\"}");
  return std::make_shared<const Json>(std::move(parsed));
}

InputValues values_of_inputs(const Json& declared, const Given& given,
                             const std::function<Place(const std::string& input)>& place_of,
                             std::vector<RunbookFault>& faults) {
  InputCheck check(given, faults);
  std::vector<std::string> names;
  for (auto it = declared.begin(); declared.is_object() && it != declared.end(); ++it) {
    names.push_back(it.key());
    check.one(it.key(), *it, place_of(it.key()));
  }
  std::vector<std::string> told;
  for (const auto& [name, text] : given.set) told.push_back(name);
  if (given.file && given.file->is_object())
    for (auto it = given.file->begin(); it != given.file->end(); ++it) told.push_back(it.key());
  for (const std::string& name : told) {
    if (declared.is_object() && declared.contains(name)) continue;
    const std::string near = near_name(name, names);
    faults.push_back({place_of(""), "", "there is no input \"" + name + "\"",
                      !near.empty()   ? "did you mean \"" + near + "\"?"
                      : names.empty() ? "the runbook takes no inputs"
                                      : "its inputs are " + sys::join(names, ", ")});
  }
  return {std::make_shared<const Json>(std::move(check.all)),
          std::make_shared<const Json>(std::move(check.given_now))};
}

}  // namespace relight::lang
