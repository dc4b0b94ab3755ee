#include "steps/key/lib/fingerprint.h"

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/key/lib/key_bytes.h"

namespace relight {
namespace {

constexpr const char* format = "recovery-set/1";

}  // namespace

Json fingerprint_json(std::string_view key_text, const std::string& encoding, const std::string& name,
                      const std::string& unique) {
  Json json = check_value_json(key_bytes(key_text, encoding, std::nullopt, name), unique + "\n" + name);
  json["encoding"] = encoding;
  return json;
}

std::map<std::string, Fingerprint> read_fingerprints(const std::string& file) {
  const std::string text = sys::read_file(file);
  std::map<std::string, Fingerprint> fingerprints;
  std::string name;
  try {
    const Json json = sys::parse_json(text);
    if (!json.is_object()) throw std::runtime_error("it is not a JSON object");
    if (json.at("format") != format) throw std::runtime_error("its format is not " + std::string(format));
    const Json recorded = json.value("fingerprints", Json::object());
    for (auto it = recorded.begin(); it != recorded.end(); ++it) {
      name = it.key();
      fingerprints[name] = {read_check_value(*it), it->value("encoding", "auto")};
    }
  } catch (const std::exception& error) {
    throw Error(ErrorKind::refused, "cannot read the fingerprints", file,
                (name.empty() ? "" : name + ": ") + std::string(error.what()),
                "`fingerprints` is the backup.json of the recovery set");
  }
  return fingerprints;
}

bool has_fingerprint(std::string_view key_text, const Fingerprint& fingerprint) {
  for (const std::string& key : key_meanings(key_text, fingerprint.encoding, std::nullopt))
    if (matches(key, fingerprint)) return true;
  return false;
}

}  // namespace relight
