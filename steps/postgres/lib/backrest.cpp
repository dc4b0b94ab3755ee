#include "steps/postgres/lib/backrest.h"

#include <fmt/core.h>

#include <algorithm>
#include <thread>

#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/backrest_manifest.h"

namespace relight::postgres {

namespace {

// A file of it may have any name and any content: what is read here is bytes.
sys::Command backrest(const RepositoryWish& wish, const std::string& repo, const std::string& command,
                      const std::vector<std::string>& arguments, const std::string& tell = "warn") {
  std::vector<std::string> argv = {"pgbackrest", "--stanza=" + wish.name, "--log-level-console=off",
                                   "--log-level-file=off", "--log-level-stderr=" + tell};
  if (!wish.config.empty()) argv.push_back("--config=" + wish.config);
  const std::string key = !repo.empty() ? repo : wish.repo != 0 ? std::to_string(wish.repo) : "";
  if (!key.empty()) argv.push_back("--repo=" + key);
  if (!wish.path.empty()) argv.push_back("--repo" + (key.empty() ? "1" : key) + "-path=" + wish.path);
  argv.push_back(command);
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  sys::Command made;
  made.argv = std::move(argv);
  made.cwd = "/";
  return made;
}

// By its exit code: a fault of the way to the repository, or of a lock, which may be gone a moment later.
bool may_pass(int exit_code) {
  enum { protocol = 39, file_open = 41, file_read = 42, host_connect = 49, lock_acquire = 50 };
  enum { service = 101, execute = 102, no_repository = 103, of_a_program = 125 };
  for (const int one : {+protocol, +file_open, +file_read, +host_connect, +lock_acquire, +service, +execute,
                        +no_repository, +of_a_program})
    if (exit_code == one) return true;
  return false;
}

// What a command prints. Its fault, with its own words, is a transient Error where it may pass.
std::string told(const RepositoryWish& wish, sys::Command command) {
  command.capture_limit = 1u << 30;
  const sys::Result result = sys::run(command);
  if (!result.ok())
    throw repository_error(wish,
                           result.err_tail.empty()
                               ? "its command ends with " + std::to_string(result.exit_code)
                               : sys::trim(result.err_tail),
                           "try it yourself: " + sys::join(command.argv, " "),
                           may_pass(result.exit_code) ? ErrorKind::transient : ErrorKind::refused);
  return result.out;
}

std::string told_patiently(const RepositoryWish& wish, const sys::Command& command) {
  std::string text;
  patiently([&] { text = told(wish, command); });
  return text;
}

class BackrestWal : public PrintedWal {
 public:
  BackrestWal(RepositoryWish wish, std::string repo) : wish_(std::move(wish)), repo_(std::move(repo)) {}

 private:
  sys::Command command(const std::string& path) const override {
    return backrest(wish_, repo_, "repo-get", {path});
  }
  Error fault(const std::string& path, const sys::Result& result) const override {
    return Error(may_pass(result.exit_code) ? ErrorKind::transient : ErrorKind::permanent, cannot_read, path,
                 sys::trim(result.err_tail), "look into the repository of " + wish_.text());
  }

  const RepositoryWish wish_;
  const std::string repo_;
};

class Backrest : public Repository, public std::enable_shared_from_this<Backrest> {
 public:
  using Repository::Repository;

  std::vector<BaseBackup> backups(std::vector<std::string>& hints) const override;
  void look_into(BaseBackup& base) const override;
  void add_wal(const BaseBackup& base, WalArchive& archive, std::vector<Problem>& problems) const override;
  void check(const BaseBackup& base, std::vector<Problem>& problems) const override;
  void bring(const BaseBackup& base, const std::string& folder, const std::vector<NewPlace>& tablespaces,
             Call& call) const override;

 private:
  // "2:15-1" -> the key of the repository, and the id of the archive in it.
  static std::pair<std::string, std::string> repo_and_archive(const BaseBackup& base) {
    const std::size_t colon = base.archive.find(':');
    return {base.archive.substr(0, colon), base.archive.substr(colon + 1)};
  }
  Json stanza(std::vector<std::string>& hints) const;  // with the repositories that it could not read
  BaseBackup backup(const Json& told, const Json& databases) const;
};

Json Backrest::stanza(std::vector<std::string>& hints) const {
  constexpr int other_fault = 99;  // of one repository: told in the answer, and the command ends well
  Json found;
  patiently([&] {
    hints.clear();
    const std::string text = told(wish_, backrest(wish_, "", "info", {"--output=json"}));
    const Json answer = Json::parse(text, nullptr, false);
    if (!answer.is_array() || answer.size() != 1)
      throw repository_error(wish_, "`pgbackrest info` tells nothing of the stanza", "check its name");
    found = answer[0];
    bool passing = false;
    std::string why = found.at("status").value("message", "");
    for (const Json& one : found.value("repo", Json::array())) {
      const Json& status = one.at("status");
      if (hints.empty()) why = status.value("message", why);
      if (status.value("code", 0) != other_fault) continue;
      passing = true;
      hints.push_back("a repository that cannot be read: repo" + std::to_string(one.value("key", 0)) + ": " +
                      status.value("message", ""));
    }
    if (found.at("backup").empty())
      throw repository_error(wish_, why,
                             "check the stanza's name, and that " + sys::current_user().name +
                                 " may read what its configuration names: `pgbackrest info` tells",
                             passing ? ErrorKind::transient : ErrorKind::refused);
  });
  return found;
}

BaseBackup Backrest::backup(const Json& told, const Json& databases) const {
  const Json& database = told.at("database");
  const auto key = database.at("repo-key").get<int>();
  BaseBackup base;
  base.label = told.at("label").get<std::string>();
  base.path = wish_.text() + " " + base.label;
  base.repository = shared_from_this();
  base.label_segment = told.at("archive").at("start").get<std::string>();
  base.manifest_file = base.path + ": backup.manifest";
  for (const Json& one : databases) {
    if (one.at("id") != database.at("id") || one.at("repo-key") != database.at("repo-key")) continue;
    const std::string version = one.at("version").get<std::string>();
    base.major = std::atoi(version.c_str());
    base.archive = fmt::format("{}:{}-{}", key, version, database.at("id").get<int>());
    base.manifest.system_identifier = one.at("system-id").dump();
  }
  const auto lsn = [&](const char* name) {
    return parse_lsn(told.at("lsn").at(name).get<std::string>()).value_or(0);
  };
  base.manifest.start = lsn("start");
  base.manifest.end = lsn("stop");
  base.manifest.timeline = static_cast<Timeline>(std::stoul(base.label_segment.substr(0, 8), nullptr, 16));
  // It began somewhere in between: the later bound is never earlier than what it holds.
  base.manifest.told_start =
      sys::Time(std::chrono::seconds(told.at("timestamp").at("stop").get<std::int64_t>()));
  base.parts.push_back({});
  return base;
}

std::vector<BaseBackup> Backrest::backups(std::vector<std::string>& hints) const {
  std::vector<std::string> unread;
  const Json told = stanza(unread);
  hints.insert(hints.end(), unread.begin(), unread.end());
  std::vector<BaseBackup> found;
  std::string labels;
  try {
    for (const Json& one : told.at("backup")) {
      const std::string label = one.at("label").get<std::string>();
      labels += (labels.empty() ? "" : ", ") + label;
      if (!wish_.set.empty() && label != wish_.set) continue;
      if (!one.contains("lsn") || !one["lsn"].is_object() || !one["archive"].at("start").is_string()) {
        hints.push_back("a base backup that cannot be used: " + label + ": it was made offline");
        continue;
      }
      if (one.value("error", false))
        hints.push_back("pgBackRest found pages with a wrong checksum when it made the base backup " + label +
                        ": `pgbackrest info --set=" + label + "` names the files");
      found.push_back(backup(one, told.at("db")));
    }
  } catch (const Json::exception& error) {
    throw repository_error(wish_, error.what(),
                           "`pgbackrest info --output=json` tells it otherwise than 2.45");
  }
  if (found.empty())
    throw repository_error(wish_, "it has no base backup " + wish_.set, "it has these: " + labels);
  return found;
}

void Backrest::look_into(BaseBackup& base) const {
  const BackrestManifest manifest = parse_backrest_manifest(
      told_patiently(wish_, backrest(wish_, repo_and_archive(base).first, "repo-get",
                                     {"backup/" + wish_.name + "/" + base.label + "/backup.manifest"})),
      base.manifest_file);
  base.manifest.files = manifest.files;
  base.manifest.files.erase("tablespace_map");  // it is never restored
  base.parts.resize(1);
  for (const BackrestManifest::Tablespace& one : manifest.tablespaces)
    base.parts.push_back(
        {.source = "", .archive = false, .inside = "", .oid = one.oid, .location = one.location});
}

void Backrest::add_wal(const BaseBackup& base, WalArchive& archive, std::vector<Problem>& problems) const {
  const auto [repo, id] = repo_and_archive(base);
  const std::string folder = "archive/" + wish_.name + "/" + id;
  const Json listed = Json::parse(
      told_patiently(wish_, backrest(wish_, repo, "repo-ls", {"--recurse", "--output=json", folder})),
      nullptr, false);
  if (!listed.is_object())
    throw repository_error(wish_, "its WAL cannot be listed", "try pgbackrest repo-ls");
  const auto far = std::make_shared<const BackrestWal>(wish_, repo);
  for (auto it = listed.begin(); it != listed.end(); ++it) {
    if (it.value().value("type", "") != "file") continue;
    archive.add(sys::name_of_path(it.key()),
                {.path = folder + "/" + it.key(),
                 .packing = "",
                 .partial = false,
                 .size = it.value().value("size", std::uint64_t{0}),
                 .old = false,
                 .far = far},
                problems);
  }
}

// It tells of every backup of the stanza in which something is wrong; of the others, nothing.
void Backrest::check(const BaseBackup& base, std::vector<Problem>& problems) const {
  const std::string report =
      told_patiently(wish_, backrest(wish_, repo_and_archive(base).first, "verify", {"--output=text"}));
  const std::vector<std::string> lines = sys::split(report, '\n');
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].find("backup: " + base.label + ",") == std::string::npos ||
        lines[i].find("status: valid") != std::string::npos)
      continue;
    std::string why = sys::trim(lines[i]);
    for (std::size_t next = i + 1; next < lines.size() && lines[next].starts_with("    "); ++next)
      why += ", " + sys::trim(lines[next]);
    problems.push_back({"the base backup is damaged", base.path, why,
                        "name an older one with set = \"LABEL\"; `pgbackrest verify` looks at them all"});
  }
}

void Backrest::bring(const BaseBackup& base, const std::string& folder,
                     const std::vector<NewPlace>& tablespaces, Call& call) const {
  std::vector<std::string> arguments = {
      "--set=" + base.label,
      "--pg1-path=" + folder,
      "--type=none",
      "--archive-mode=preserve",
      "--reset-pg1-host",
      fmt::format("--process-max={}", std::clamp(std::thread::hardware_concurrency(), 1u, 8u))};
  for (const NewPlace& one : tablespaces)
    arguments.push_back("--tablespace-map=" + one.oid + "=" + one.folder);
  sys::Command command = backrest(wish_, repo_and_archive(base).first, "restore", arguments, "detail");
  std::string line, faults;
  bool half = false;
  const auto heard = [&] {
    const std::size_t percent = line.find("%)");
    const std::size_t from = line.rfind(' ', percent);
    if (line.find("restore file ") == std::string::npos || percent == std::string::npos) {
      if (line.find("DETAIL:") == std::string::npos && line.find("INFO:") == std::string::npos) {
        call.log(line);
        faults += line + "\n";
      }
      return;
    }
    const double part = std::atof(line.c_str() + from) / 100;
    const auto total = base.manifest.bytes();
    call.progress("unpack", static_cast<std::uint64_t>(part * static_cast<double>(total)), total);
    if (part < 0.5 || half) return;
    half = true;
    failpoint("postgres.recover:half_brought");
  };
  command.on_output = [&](std::string_view bytes) {
    for (const char c : bytes) {
      if (c != '\n') {
        line += c;
        continue;
      }
      heard();
      line.clear();
    }
  };
  command.stop = [&] { return call.stop_wanted(); };
  call.progress("unpack", 0, base.manifest.bytes());
  const sys::Result result = sys::run(command);
  call.stop_here_if_wanted();
  if (!result.ok())
    throw Error(may_pass(result.exit_code) ? ErrorKind::transient : ErrorKind::permanent,
                "the base backup cannot be restored", base.path, sys::trim(faults + line),
                "name an older one with set = \"LABEL\"; the target is as it was");
  BaseBackup brought = base;
  for (BasePart& part : brought.parts) {
    part.source = folder;
    for (const NewPlace& one : tablespaces)
      if (one.oid == part.oid) part.source = one.folder;
  }
  std::vector<Problem> problems;
  std::vector<std::string> hints;
  check_base(brought, false, problems, hints, [&] { return call.stop_wanted(); });
  if (problems.empty()) return;
  const Problem& first = problems.front();
  throw Error(ErrorKind::permanent, first.what, base.path + ": " + first.on, first.why, first.hint);
}

}  // namespace

std::shared_ptr<const Repository> open_backrest(const RepositoryWish& wish) {
  return std::make_shared<const Backrest>(wish);
}

}  // namespace relight::postgres
