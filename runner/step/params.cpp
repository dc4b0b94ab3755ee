#include "runner/step/params.h"

#include "runner/step/value.h"
#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

[[noreturn]] void fail(const std::string& field, const std::string& why) {
  throw Error(ErrorKind::permanent, "cannot use a parameter", field, why);
}

std::string path_of(const std::string& location) {
  return location.rfind("file://", 0) == 0 ? location.substr(7) : location;
}

// Parts of a type that only the outputs of other steps can break: the schema has seen the rest.
template <class T>
T parsed(const std::string& field, std::optional<T> value, const std::string& text, const char* what) {
  if (!value) fail(field, "\"" + text + "\" is not " + what);
  return *value;
}

}  // namespace

Params::Params(const std::vector<Field>& fields, const Json& values, const Secrets& secrets)
    : values_(std::make_unique<Json>(with_defaults(fields, values))), secrets_(&secrets) {
  // Locations only: an argument or a text may begin with file:// and mean it.
  for (const Field& field : fields) {
    const auto it = values_->find(field.name);
    if (it == values_->end()) continue;
    if (field.type == FieldType::location && it->is_string()) *it = path_of(it->get<std::string>());
    if (field.type == FieldType::locations && it->is_array())
      for (Json& item : *it)
        if (item.is_string()) item = path_of(item.get<std::string>());
  }
}
Params::~Params() = default;
Params::Params(Params&&) noexcept = default;

bool Params::has(const std::string& field) const {
  const auto it = values_->find(field);
  return it != values_->end() && !it->is_null();
}

bool Params::known(const std::string& field) const {
  const auto it = values_->find(field);
  return it == values_->end() || outputs_used(*it).empty();
}

const Json& Params::operator[](const std::string& field) const {
  if (!has(field)) fail(field, "it is not given");
  if (!known(field)) fail(field, "it is the output of a step that is not done yet");
  return (*values_)[field];
}

std::string Params::text(const std::string& field) const {
  const Json& value = (*this)[field];
  if (!value.is_string()) fail(field, "it must be a text, but is " + value.dump());
  return value.get<std::string>();
}

std::string Params::text_or(const std::string& field, const std::string& otherwise) const {
  return has(field) ? text(field) : otherwise;
}

bool Params::flag(const std::string& field) const {
  return has(field) && (*this)[field] == true;
}

std::int64_t Params::integer(const std::string& field) const {
  const Json& value = (*this)[field];
  if (!value.is_number_integer()) fail(field, "it must be a whole number, but is " + value.dump());
  return value.get<std::int64_t>();
}

std::chrono::milliseconds Params::duration(const std::string& field) const {
  const std::string value = text(field);
  return parsed(field, sys::parse_duration(value), value, "a duration");
}

std::uint64_t Params::size(const std::string& field) const {
  if (const Json& value = (*this)[field]; value.is_number_unsigned()) return value.get<std::uint64_t>();
  const std::string value = text(field);
  return parsed(field, sys::parse_size(value), value, "a size");
}

std::vector<std::string> Params::list(const std::string& field) const {
  std::vector<std::string> items;
  for (const Json& item : (*this)[field]) {
    if (!item.is_string()) fail(field, "it must be a list of texts");
    items.push_back(item.get<std::string>());
  }
  return items;
}

std::map<std::string, std::string> Params::texts(const std::string& field) const {
  std::map<std::string, std::string> map;
  const Json& value = (*this)[field];
  for (auto it = value.begin(); value.is_object() && it != value.end(); ++it) {
    if (!it->is_string()) fail(field, "it must be a table of texts");
    map[it.key()] = it->get<std::string>();
  }
  return map;
}

const Secret& Params::secret(const std::string& field) const {
  const Secret* found = peek_secret(field);
  if (found == nullptr) fail(field, "the secret was not read for this call");
  return *found;
}

const Secret* Params::peek_secret(const std::string& field) const {
  const Json& value = (*this)[field];
  if (!is_secret(value)) fail(field, "it is not a secret");
  const auto it = secrets_->find(secret_name(value));
  return it == secrets_->end() ? nullptr : &it->second;
}

std::map<std::string, std::string> Params::environment(const std::string& field) const {
  std::map<std::string, std::string> map;
  if (!has(field)) return map;
  const Json& value = (*this)[field];
  for (auto it = value.begin(); value.is_object() && it != value.end(); ++it) {
    if (!is_secret(*it)) {
      map[it.key()] = it->is_string() ? it->get<std::string>() : it->dump();
      continue;
    }
    const auto found = secrets_->find(secret_name(*it));
    if (found == secrets_->end()) fail(field + "." + it.key(), "the secret was not read for this call");
    std::string bytes(found->second.view());
    while (!bytes.empty() && (bytes.back() == '\n' || bytes.back() == '\r')) bytes.pop_back();
    map[it.key()] = bytes;
  }
  return map;
}

const Json& Params::all() const {
  return *values_;
}

}  // namespace relight
