#include "examples/ember/backup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "examples/ember/archive.h"
#include "examples/ember/blobs.h"
#include "examples/ember/crypto.h"
#include "examples/ember/database.h"
#include "examples/ember/program.h"
#include "examples/ember/schema.h"
#include "examples/ember/version.h"

extern char** environ;

namespace ember {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int fingerprint_iterations = 600000;

std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (!file || !(bytes << file.rdbuf())) {
    if (file && fs::file_size(path) == 0) return "";
    throw std::runtime_error("cannot read " + path.string() + ": " + std::strerror(errno));
  }
  return std::move(bytes).str();
}

void sync_path(const fs::path& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  bool synced = fd >= 0 && ::fsync(fd) == 0;
  int fault = errno;
  if (fd >= 0) ::close(fd);
  if (!synced) throw std::runtime_error("cannot sync " + path.string() + ": " + std::strerror(fault));
}

void write_all(const fs::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  file.close();
  if (!file || ::chmod(path.c_str(), 0640) != 0)
    throw std::runtime_error("cannot write " + path.string() + ": " + std::strerror(errno));
  sync_path(path);
}

std::string utc_time(std::time_t time) {
  std::tm utc{};
  gmtime_r(&time, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%FT%TZ", &utc);
  return stamp;
}

Json fingerprint(const std::string& key) {
  std::string salt = random_bytes(16);
  return {{"encoding", "base64"},
          {"algorithm", "pbkdf2-sha256"},
          {"iterations", fingerprint_iterations},
          {"salt", to_hex(salt)},
          {"hash", to_hex(pbkdf2_sha256(key, salt, fingerprint_iterations))}};
}

// A copy of a small folder with its modes, and its owners where we may give files away.
void copy_folder(const fs::path& from, const fs::path& to) {
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  if (::geteuid() != 0) return;
  auto own_as = [](const fs::path& original, const fs::path& copy) {
    struct stat status {};
    if (::lstat(original.c_str(), &status) != 0 || ::lchown(copy.c_str(), status.st_uid, status.st_gid) != 0)
      throw std::runtime_error("cannot give " + copy.string() + " its owner: " + std::strerror(errno));
    if (!S_ISLNK(status.st_mode) && ::chmod(copy.c_str(), status.st_mode & 07777) != 0)
      throw std::runtime_error("cannot set the mode of " + copy.string() + ": " + std::strerror(errno));
  };
  own_as(from, to);
  for (auto& entry : fs::recursive_directory_iterator(from))
    own_as(entry.path(), to / fs::relative(entry, from));
}

std::pair<std::string, std::uint64_t> sha256_of(const fs::path& path) {  // and the size
  std::ifstream file(path, std::ios::binary);
  std::vector<char> buffer(1u << 20);
  Sha256 hash;
  std::uint64_t size = 0;
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || file.gcount() > 0) {
    hash.add({buffer.data(), static_cast<std::size_t>(file.gcount())});
    size += static_cast<std::uint64_t>(file.gcount());
  }
  if (!file.eof()) throw std::runtime_error("cannot read " + path.string());
  return {hash.hex(), size};
}

Json releases(const fs::path& folder) {
  const std::string start = "ember-", end = ".tar.zst";
  std::vector<std::string> names;
  for (auto& entry : fs::directory_iterator(folder / "releases")) {
    std::string name = entry.path().filename().string();
    if (name.starts_with(start) && name.ends_with(end)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  Json list = Json::array();
  for (auto& name : names)
    list.push_back({{"version", name.substr(start.size(), name.size() - start.size() - end.size())},
                    {"path", "releases/" + name}});
  return list;
}

// Every file that backup.json binds: not itself, not the WAL archive, which grows, and of a base backup only
// its manifest, which binds the rest.
Json files(const fs::path& folder) {
  std::vector<std::string> names;
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::end(entry); ++entry) {
    std::string name = fs::relative(entry->path(), folder).string();
    if (name == "wal" || entry->path().filename().string().starts_with(".")) {
      if (entry->is_directory()) entry.disable_recursion_pending();
      continue;
    }
    bool bound_elsewhere = name.starts_with("base/") && name != "base/backup_manifest";
    if (entry->is_regular_file() && name != "backup.json" && !bound_elsewhere) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  Json list = Json::array();
  for (auto& name : names) {
    auto [sha256, size] = sha256_of(folder / name);
    list.push_back({{"path", name}, {"size", size}, {"sha256", sha256}});
  }
  return list;
}

// One backup at work: every part is written under a hidden name first, and takes its place when all are
// whole.
class Work {
 public:
  Work(const Config& config, const BackupOptions& options)
      : config_(config), options_(options), folder_(options.folder), blobs_(config.blob_dir) {}

  void run();

 private:
  fs::path fresh(const std::string& name) {  // the hidden name of a part
    parts_.push_back(name);
    fs::path path = folder_ / ("." + name + ".new");
    fs::remove_all(path);
    return path;
  }
  void dump(Connection& connection);
  void archive_blobs(Connection& connection);
  void base_backup(Connection& connection);
  void settings();
  void release();
  void put_in_place();
  void bind();

  const Config& config_;
  const BackupOptions& options_;
  fs::path folder_;
  Blobs blobs_;
  std::vector<std::string> parts_;
  Json json_;
};

void Work::dump(Connection& connection) {
  auto row = connection.query(
      "select pg_export_snapshot(), pg_current_wal_lsn(), current_database(), "
      "current_setting('server_version_num')::int, (select system_identifier from pg_control_system()), "
      "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int")[0];
  int number = std::stoi(row[3]);
  json_["database"] = {
      {"name", row[2]},
      {"server_version", std::to_string(number / 10000) + "." + std::to_string(number % 10000)},
      {"system_identifier", row[4]},
      {"timeline", std::stoi(row[5])},
      {"lsn", row[1]},
      {"dump", "ember.dump"}};
  json_["schema_version"] = schema_of(connection);
  fs::path path = fresh("ember.dump");
  run_with_conninfo({"pg_dump", "--format=custom", "--snapshot=" + row[0], "--file=" + path.string()},
                    config_.backup_url);
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
  sync_path(path);
}

void Work::archive_blobs(Connection& connection) {
  Archive archive(fresh("blobs.tar.zst").string());
  std::string manifest;
  std::int64_t count = 0, bytes = 0;
  for (auto& row : connection.query("select distinct sha256, size from attachments order by sha256")) {
    std::string name = blobs_.path(row[0]);
    if (archive.add(name, blobs_.folder() + "/" + name) != row[0])
      throw std::runtime_error("the blob " + name + " is damaged: its bytes are not those of its name");
    manifest += row[0] + "  " + name + "\n";
    ++count;
    bytes += std::stoll(row[1]);
  }
  archive.finish();
  write_all(fresh("blobs.sha256"), manifest);
  json_["blobs"] = {
      {"archive", "blobs.tar.zst"}, {"manifest", "blobs.sha256"}, {"count", count}, {"bytes", bytes}};
}

void Work::base_backup(Connection& connection) {
  auto row = connection.query("select current_setting('config_file'), current_setting('data_directory')")[0];
  fs::path configuration = fs::path(row[0]).parent_path();
  if (configuration != row[1]) {
    copy_folder(configuration, fresh("etc-postgresql"));
  }
  fs::path base = fresh("base");
  run_with_conninfo({"pg_basebackup", "--pgdata=" + base.string(), "--format=tar", "--compress=client-zstd",
                     "--wal-method=stream", "--checkpoint=fast", "--no-password"},
                    config_.backup_url);
  fs::permissions(base, fs::perms::group_read | fs::perms::group_exec, fs::perm_options::add);
  for (auto& entry : fs::directory_iterator(base))
    fs::permissions(entry.path(), fs::perms::group_read, fs::perm_options::add);
}

void Work::settings() {
  std::string lines;
  if (options_.env_file.empty()) {
    for (char** entry = environ; *entry; ++entry) {
      std::string text = *entry, name = text.substr(0, text.find('='));
      if (name.starts_with("EMBER_") && !is_secret(name, text.substr(name.size() + 1))) lines += text + "\n";
    }
  } else {
    auto variables = read_env_file(options_.env_file);
    std::istringstream file(read_all(options_.env_file));
    for (std::string line; std::getline(file, line);) {
      std::string name = line.substr(0, line.find('='));
      if (line.starts_with("#") || !variables.contains(name) || !is_secret(name, variables[name]))
        lines += line + "\n";
    }
  }
  write_all(fresh("env"), lines);
}

void Work::release() {
  // bin/ember of the release that runs; the archive of a version never changes.
  fs::create_directories(folder_ / "releases");
  std::string name = std::string("releases/ember-") + version() + ".tar.zst";
  if (!fs::exists(folder_ / name)) {
    fs::path hidden = folder_ / "releases/.new";
    Archive archive(hidden.string());
    archive.add("bin/ember", fs::read_symlink("/proc/self/exe").string());
    archive.finish();
    fs::rename(hidden, folder_ / name);
  }
  std::string sums;
  for (auto& one : releases(folder_)) {
    fs::path archive = folder_ / one["path"].get<std::string>();
    sums += sha256_of(archive).first + "  " + archive.filename().string() + "\n";
  }
  write_all(folder_ / "releases/SHA256SUMS", sums);
}

void Work::put_in_place() {
  for (auto& part : parts_) {
    fs::path hidden = folder_ / ("." + part + ".new"), old = folder_ / ("." + part + ".old");
    if (fs::is_directory(folder_ / part)) {
      fs::remove_all(old);
      fs::rename(folder_ / part, old);
    }
    fs::rename(hidden, folder_ / part);
    fs::remove_all(old);
  }
  sync_path(folder_ / "releases");
  sync_path(folder_);
}

void Work::bind() {
  fs::path manifest = folder_ / "base/backup_manifest";
  if (fs::exists(manifest)) {
    Json range = Json::parse(read_all(manifest)).at("WAL-Ranges").at(0);
    std::time_t taken =
        std::chrono::system_clock::to_time_t(std::chrono::file_clock::to_sys(fs::last_write_time(manifest)));
    json_["database"]["base"] = {{"path", "base"},
                                 {"time", utc_time(taken)},
                                 {"start_lsn", range.at("Start-LSN")},
                                 {"end_lsn", range.at("End-LSN")},
                                 {"timeline", range.at("Timeline")}};
  }
  json_["fingerprints"] = {{"EMBER_MASTER_KEY", fingerprint(config_.master_key)},
                           {"EMBER_MEDIA_TOKEN_SECRET", fingerprint(config_.media_secret)}};
  json_["releases"] = releases(folder_);
  json_["files"] = files(folder_);
  fs::path hidden = folder_ / ".backup.json.new";
  write_all(hidden, json_.dump(2) + "\n");
  fs::rename(hidden, folder_ / "backup.json");
  sync_path(folder_);
}

void Work::run() {
  if (fs::create_directories(folder_)) ::chmod(folder_.c_str(), 0750);
  json_["format"] = "recovery-set/1";
  json_["product"] = "ember";
  json_["version"] = version();
  json_["schema_version"] = 0;
  json_["time"] = utc_time(std::time(nullptr));
  Connection connection(config_.backup_url);
  {
    Transaction snapshot(connection, "begin isolation level repeatable read read only");
    dump(connection);
    archive_blobs(connection);
  }
  if (options_.base) base_backup(connection);
  settings();
  release();
  put_in_place();
  bind();
  std::printf("%s: ember %s, schema %s, %s blobs, at %s%s\n", folder_.c_str(), version(),
              json_["schema_version"].dump().c_str(), json_["blobs"]["count"].dump().c_str(),
              json_["database"]["lsn"].get<std::string>().c_str(),
              options_.base ? ", with a base backup" : "");
}

}  // namespace

void backup(const Config& config, const BackupOptions& options) {
  Work(config, options).run();
}

}  // namespace ember
