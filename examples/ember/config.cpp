#include "examples/ember/config.h"

#include <libpq-fe.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "examples/ember/crypto.h"

namespace ember {
namespace {

class Settings {
 public:
  explicit Settings(Variables file) : file_(std::move(file)) {}

  std::string get(const std::string& name, const std::string& otherwise) const {
    if (const char* value = std::getenv(name.c_str())) return value;
    auto found = file_.find(name);
    return found == file_.end() ? otherwise : found->second;
  }
  std::string must_have(const std::string& name) const {
    std::string value = get(name, "");
    if (value.empty()) throw ConfigError(name + " is not set");
    return value;
  }
  std::string key(const std::string& name) const {
    auto decoded = from_base64(must_have(name));
    if (!decoded || decoded->size() != key_bytes) throw ConfigError(name + " is not the base64 of 32 bytes");
    return *decoded;
  }
  int number(const std::string& name, const std::string& value, int low, int high) const {
    int number = 0;
    auto [end, fault] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (fault != std::errc() || end != value.data() + value.size() || number < low || number > high)
      throw ConfigError(name + ": " + value + " is not a number from " + std::to_string(low) + " to " +
                        std::to_string(high));
    return number;
  }

 private:
  Variables file_;
};

}  // namespace

Variables read_env_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw ConfigError("cannot read the env file " + path);
  Variables variables;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::size_t equals = line.find('=');
    if (equals == line.npos || equals == 0)
      throw ConfigError(path + ": a line is neither NAME=value nor a comment");
    std::string value = line.substr(equals + 1);
    if (value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0])
      value = value.substr(1, value.size() - 2);
    variables[line.substr(0, equals)] = value;
  }
  return variables;
}

Config read_config(const std::string& env_file) {
  Settings settings(env_file.empty() ? Variables() : read_env_file(env_file));
  Config config;
  config.database_url = settings.must_have("EMBER_DATABASE_URL");
  config.backup_url = settings.get("EMBER_BACKUP_URL", config.database_url);
  config.blob_dir = settings.must_have("EMBER_BLOB_DIR");
  config.master_key = settings.key("EMBER_MASTER_KEY");
  config.media_secret = settings.key("EMBER_MEDIA_TOKEN_SECRET");
  std::string listen = settings.get("EMBER_LISTEN", "127.0.0.1:8600");
  std::size_t colon = listen.rfind(':');
  if (colon == listen.npos || colon == 0) throw ConfigError("EMBER_LISTEN: " + listen + " is not host:port");
  config.host = listen.substr(0, colon);
  config.port = settings.number("EMBER_LISTEN", listen.substr(colon + 1), 1, 65535);
  config.drain = std::chrono::milliseconds(
      settings.number("EMBER_DRAIN", settings.get("EMBER_DRAIN", "500"), 0, 600000));
  return config;
}

bool is_secret(const std::string& name, const std::string& value) {
  if (name == "EMBER_MASTER_KEY" || name == "EMBER_MEDIA_TOKEN_SECRET") return true;
  if (name != "EMBER_DATABASE_URL" && name != "EMBER_BACKUP_URL") return false;
  std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(value.c_str(), nullptr), PQconninfoFree);
  if (!options) return true;  // not understood: kept out rather than let out
  for (auto* option = options.get(); option->keyword; ++option)
    if (std::string(option->keyword) == "password" && option->val) return true;
  return false;
}

}  // namespace ember
