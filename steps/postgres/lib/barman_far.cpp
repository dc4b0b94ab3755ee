#include "steps/postgres/lib/barman_far.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <thread>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/barman_command.h"
#include "steps/postgres/lib/ssh_login.h"

namespace relight::postgres {

namespace {

class FarWal : public PrintedWal {
 public:
  FarWal(RepositoryWish wish, std::shared_ptr<const SshLogin> login)
      : wish_(std::move(wish)), login_(std::move(login)) {}

 private:
  sys::Command command(const std::string& path) const override { return far_command(wish_, {"cat", path}); }
  Error fault(const std::string& path, const sys::Result& result) const override {
    return far_error(wish_, cannot_read, path, result);
  }

  const RepositoryWish wish_;
  const std::shared_ptr<const SshLogin> login_;  // while it is used
};

// A folder of the other host as a tar that can be read once, from path(). What ended it is told by
// read_through.
class FarTar {
 public:
  FarTar(const RepositoryWish& wish, const std::string& parent, const std::string& name,
         const std::function<bool()>& stop)
      : wish_(wish), on_(parent + "/" + name) {
    sys::Command command = far_command(wish, {"tar", "-c", "-C", parent, name});
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw system_error(errno, "cannot make a pipe", on_);
    reader_ = sys::Fd(ends[0]);
    command.stdout_to = ends[1];
    command.stop = [this, stop] { return over_ || (stop && stop()); };
    thread_ = std::thread([this, command] {
      try {
        result_ = sys::run(command);
      } catch (const Error& error) {
        result_.exit_code = 1;
        result_.err_tail = error.what();
      }
    });
  }
  ~FarTar() { end(); }
  FarTar(const FarTar&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(reader_.get()); }

  // What breaks off on the way is a fault of the way, and not of the tar.
  void read_through(const std::function<void()>& read) {
    try {
      read();
    } catch (const Error& error) {
      end();
      if (error.kind == ErrorKind::permanent && !result_.ok() && !result_.stopped) throw fault();
      throw;
    }
    if (!at_its_end()) return end();  // it was read no further, and has been told of
    thread_.join();
    if (!result_.ok()) throw fault();
  }

 private:
  Error fault() const { return far_error(wish_, "the base backup cannot be read", on_, result_); }
  // Behind a tar's end comes padding, 10 KiB or a little more.
  bool at_its_end() const {
    char padding[64 << 10];
    for (int rounds = 0; rounds < 16; ++rounds) {
      const ssize_t got = read(reader_.get(), padding, sizeof padding);
      if (got == 0 || (got < 0 && errno != EINTR)) return true;
    }
    return false;
  }
  void end() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }

  const RepositoryWish& wish_;
  const std::string on_;
  sys::Fd reader_;  // held to the end, so that a tar that is read no further is no fault of the way
  std::atomic<bool> over_{false};
  sys::Result result_;
  std::thread thread_;
};

class FarBarman : public Repository, public std::enable_shared_from_this<FarBarman> {
 public:
  FarBarman(const RepositoryWish& wish, std::shared_ptr<const SshLogin> login)
      : Repository(wish), login_(std::move(login)) {}

  std::vector<BaseBackup> backups(std::vector<std::string>& hints) const override;
  void look_into(BaseBackup& base) const override;
  void add_wal(const BaseBackup& base, WalArchive& archive, std::vector<Problem>& problems) const override;
  void check(const BaseBackup& base, std::vector<Problem>& problems) const override;
  void bring(const BaseBackup& base, const std::string& folder, const std::vector<NewPlace>& tablespaces,
             Call& call) const override;

 private:
  BaseBackup backup(const std::string& label) const;

  const std::shared_ptr<const SshLogin> login_;
};

BaseBackup FarBarman::backup(const std::string& label) const {
  const Json told = ask_barman(wish_, {"show-backup", wish_.name, label}).at(wish_.name);
  const Json& of = told.at("base_backup_information");
  BaseBackup base;
  base.label = label;
  base.path = wish_.text() + " " + label;
  base.repository = shared_from_this();
  base.label_segment = of.at("begin_wal").get<std::string>();
  base.manifest_file = base.path + ": backup_manifest";
  base.major = told.at("postgresql_version").get<int>() / 10000;
  base.manifest.timeline = of.at("timeline").get<Timeline>();
  base.manifest.start = parse_lsn(of.at("begin_lsn").get<std::string>()).value_or(0);
  base.manifest.end = parse_lsn(of.at("end_lsn").get<std::string>()).value_or(0);
  base.manifest.told_start =
      sys::Time(std::chrono::seconds(std::stoll(of.at("end_time_timestamp").get<std::string>())));
  base.parts.push_back({});
  for (const Json& one : told.at("tablespaces"))
    base.parts.push_back({.source = "",
                          .archive = false,
                          .inside = "",
                          .oid = one.at("oid").dump(),
                          .location = one.at("location").get<std::string>()});
  return base;
}

std::vector<BaseBackup> FarBarman::backups(std::vector<std::string>& hints) const {
  const Json told = ask_barman(wish_, {"list-backups", wish_.name});
  std::vector<BaseBackup> found;
  std::string labels;
  try {
    for (const Json& one : told.value(wish_.name, Json::array())) {
      const std::string label = one.at("backup_id").get<std::string>();
      labels += (labels.empty() ? "" : ", ") + label;
      if (!wish_.set.empty() && label != wish_.set) continue;
      if (const std::string wrong = wrong_with_status(one); wrong.empty())
        found.push_back(backup(label));
      else
        hints.push_back("a base backup that cannot be used: " + label + ": " + wrong);
    }
  } catch (const Json::exception& error) {
    throw repository_error(wish_, error.what(), "`barman show-backup` tells it otherwise than 3.4");
  }
  if (found.empty())
    throw repository_error(wish_, "it has no base backup " + wish_.set,
                           labels.empty() ? "check the server's name" : "it has these: " + labels);
  return found;
}

void FarBarman::look_into(BaseBackup& base) const {
  const std::string file = barman_bases(wish_, base.label) + "/" + base.label + "/data/backup_manifest";
  sys::Command command = far_command(wish_, {"cat", file});
  command.capture_limit = 2u << 30;
  sys::Result result;
  patiently([&] {
    result = sys::run(command);
    if (!result.ok()) throw far_error(wish_, "the base backup has no manifest", base.path, result);
  });
  base.manifest.files = parse_manifest(result.out, base.manifest_file).files;
}

void FarBarman::add_wal(const BaseBackup& base, WalArchive& archive, std::vector<Problem>& problems) const {
  const std::string wals = barman_wals(wish_, base.label, barman_bases(wish_, base.label));
  // What is still being received lies beside it.
  const std::string home = sys::parent_of(wals);
  sys::Command command =
      far_command(wish_, {"find", home, "-name", "base", "-prune", "-o", "-type", "f", "-printf", "%s:%p:"});
  command.capture_limit = 1u << 30;
  sys::Result result;
  patiently([&] {
    result = sys::run(command);
    if (!result.ok()) throw far_error(wish_, "cannot read the WAL archive", home, result);
  });
  const auto far = std::make_shared<const FarWal>(wish_, login_);
  const std::vector<std::string> told = sys::split(result.out, ':');
  for (std::size_t i = 0; i + 1 < told.size(); i += 2) {
    const std::string& path = told[i + 1];
    bool of_it = false;
    for (const std::string& folder : {wals, home + "/incoming", home + "/streaming"})
      of_it = of_it || path.starts_with(folder + "/");
    if (!of_it) continue;
    ArchivedFile file;
    file.path = path;
    file.far = far;
    std::from_chars(told[i].data(), told[i].data() + told[i].size(), file.size);
    archive.add(sys::name_of_path(path), file, problems);
  }
}

void FarBarman::check(const BaseBackup& base, std::vector<Problem>& problems) const {
  const std::string home = barman_bases(wish_, base.label) + "/" + base.label;
  for (const BasePart& part : base.parts) {
    const std::string name = part.oid.empty() ? "data" : part.oid;
    FarTar tar(wish_, home, name, {});
    BaseBackup one = base;
    one.parts = {part};
    one.parts[0].source = tar.path();
    one.parts[0].archive = true;
    one.parts[0].inside = name + "/";
    std::vector<std::string> hints;
    std::vector<Problem> wrong;
    tar.read_through([&] { check_base(one, true, wrong, hints, {}); });
    for (Problem& problem : wrong) {
      const std::string on = problem.on == tar.path() ? wish_.host + ":" + home + "/" + name : problem.on;
      problems.push_back({problem.what, base.path, on + ": " + problem.why, problem.hint});
    }
  }
}

void FarBarman::bring(const BaseBackup& base, const std::string& folder,
                      const std::vector<NewPlace>& tablespaces, Call& call) const {
  const std::string home = barman_bases(wish_, base.label) + "/" + base.label;
  const std::uint64_t total = base.manifest.bytes();
  std::uint64_t before = 0;
  for (const BasePart& part : base.parts) {
    const std::string name = part.oid.empty() ? "data" : part.oid;
    std::string place = folder;
    for (const NewPlace& one : tablespaces)
      if (one.oid == part.oid) place = one.folder;
    FarTar tar(wish_, home, name, [&] { return call.stop_wanted(); });
    BasePart read = part;
    read.source = tar.path();
    read.archive = true;
    read.inside = name + "/";
    tar.read_through([&] {
      unpack_part(
          base, read, place, [&](std::uint64_t bytes) { call.progress("unpack", before + bytes, total); },
          [&] { return call.stop_wanted(); }, [&](const std::string& line) { call.log(line); });
    });
    failpoint("postgres.recover:half_brought");
    before += base.bytes_of(part);
    if (part.oid.empty()) continue;
    sys::make_folders(folder + "/pg_tblspc", 0700);
    const std::string link = folder + "/pg_tblspc/" + part.oid;
    if (symlink(place.c_str(), link.c_str()) != 0)
      throw system_error(errno, "cannot link a tablespace", link);
  }
}

}  // namespace

std::shared_ptr<const Repository> open_far_barman(const RepositoryWish& wish) {
  const auto login = std::make_shared<const SshLogin>(wish.host);
  RepositoryWish by_login = wish;
  by_login.login = login->socket();
  return std::make_shared<const FarBarman>(by_login, login);
}

}  // namespace relight::postgres
