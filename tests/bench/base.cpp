#include "tests/bench/base.h"

#include <fmt/core.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "steps/postgres/lib/base.h"
#include "steps/postgres/lib/tree.h"
#include "tests/bench/measure.h"
#include "tests/bench/scene.h"

namespace relight::bench {

namespace {

// A call that nobody looks at.
class Quiet : public Call {
 public:
  const std::string& run() const override { return name_; }
  const std::string& step() const override { return name_; }
  int attempt() const override { return 1; }
  bool previewing() const override { return false; }
  bool full_depth() const override { return true; }
  const Json& notes() const override { return notes_; }
  void note(const std::string& key, const Json& value) override { notes_[key] = value; }
  void progress(const std::string&, std::uint64_t, std::uint64_t) override {}
  void log(const std::string&) override {}
  bool stop_wanted() const override { return false; }
  sys::ProcessId launch(const sys::Launch& launch) override { return sys::launch(launch); }

 private:
  const std::string name_ = "bench";
  Json notes_ = Json::object();
};

// A cluster of about 900 MB, its base backup as a tar.zst with a manifest, and one in a repository.
class Scene {
 public:
  explicit Scene(bool backrest) {
    PostgresOptions options;
    if (backrest) {
      backrest_ = Backrest(folder(), "zst");
      options.settings = {{"archive_mode", "on"},
                          {"archive_command", "'" + backrest_.command("archive-push %p") + "'"}};
    }
    options.settings["max_wal_size"] = "4GB";
    const Postgres source(options);
    source.run("pgbench", {"--initialize", "--quiet", "--scale=60"});
    source.execute("checkpoint");
    source.base_backup(folder() + "/base", {"--format=tar", "--compress=client-zstd:3", "--checkpoint=fast"});
    if (!backrest) return;
    backrest_.add(source);
    as_postgres(backrest_.command("backup --type=full"));
  }

  double ours() {
    clear();
    const auto began = std::chrono::steady_clock::now();
    const pid_t pid = fork();
    if (pid == 0) {
      sys::become(sys::user_named("postgres"));
      Quiet call;
      make_tree(postgres::open_base(folder() + "/base"), {}, folder() + "/data", call);
      _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (status != 0) throw Error(ErrorKind::permanent, "cannot make the tree", folder(), "see above");
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }

  double by_tar() {
    clear();
    return seconds_as_postgres(
        fmt::format("mkdir -m 0700 {0}/data; tar -x -I zstd -f {0}/base/base.tar.zst -C {0}/data; "
                    "cp {0}/base/backup_manifest {0}/data; {1} -n {0}/data; sync -f {0}/data",
                    folder(), Postgres::program("pg_verifybackup")));
  }

  double by_backrest() {
    clear();
    return seconds_as_postgres(
        fmt::format("mkdir -m 0700 {0}/data; {1}", folder(),
                    backrest_.command("--pg1-path=" + folder() + "/data --type=none restore")));
  }

 private:
  const std::string& folder() const { return folder_.path(); }
  void clear() { as_postgres("rm -rf " + folder() + "/data; sync"); }

  PostgresFolder folder_;
  Backrest backrest_;
};

}  // namespace

int base_against_tar(const std::string& name, double target) {
  return exit_of([&] {
    Scene scene(false);
    compare(
        name, target, 5, [&] { return scene.ours(); }, [&] { return scene.by_tar(); });
  });
}

int base_against_backrest(const std::string& name, double target) {
  return exit_of([&] {
    Scene scene(true);
    compare(
        name, target, 5, [&] { return scene.ours(); }, [&] { return scene.by_backrest(); });
  });
}

}  // namespace relight::bench
