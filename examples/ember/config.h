// What Ember is told through its environment, and through an env file given with --env (the environment
// wins).
//
//   EMBER_DATABASE_URL        libpq conninfo of the service's role
//   EMBER_BLOB_DIR            folder of the attachments
//   EMBER_MASTER_KEY          base64 of 32 bytes; opens the vault; in no backup
//   EMBER_MEDIA_TOKEN_SECRET  base64 of 32 bytes; signs the links of attachments; in no backup
//   EMBER_LISTEN              host:port, 127.0.0.1:8600 unless given
//   EMBER_DRAIN               milliseconds of 503 on /readyz before the port closes, 500 unless given
//   EMBER_BACKUP_URL          conninfo for `ember backup` (dump, base backup, server settings)
#pragma once
#include <chrono>
#include <map>
#include <stdexcept>
#include <string>

namespace ember {

// A setting that is missing or wrong: the program ends with 2.
struct ConfigError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Config {
  std::string database_url, backup_url;
  std::string blob_dir;
  std::string master_key, media_secret;  // decoded
  std::string host;
  int port = 0;
  std::chrono::milliseconds drain{0};
};

using Variables = std::map<std::string, std::string>;

Variables read_env_file(const std::string& path);  // NAME=value lines, # comments, quotes around a value
Config read_config(const std::string& env_file);   // empty: the environment alone
bool is_secret(const std::string& name, const std::string& value);  // may not stand in a backup

}  // namespace ember
