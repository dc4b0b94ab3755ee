// A whole rebuild in the reference order, of a database of 1 GB, 1 GB of blobs and 500 MB of WAL, against the
// documented commands in a shell script that verifies the same things.
#include <fmt/core.h>

#include "tests/bench/measure.h"
#include "tests/bench/scene.h"
#include "tests/support/port.h"

namespace {

using namespace relight;
using namespace relight::bench;

class Scene {
 public:
  Scene() {
    as_postgres("mkdir -p " + set() + "/wal");
    {
      PostgresOptions options;
      options.archive = true;
      options.settings = {{"max_wal_size", "4GB"}, {"checkpoint_timeout", "1h"}};
      const Postgres source(options);
      source.run("pgbench", {"--initialize", "--quiet", "--scale=66"});
      source.base_backup(set() + "/base", {"--format=tar", "--wal-method=none", "--compress=client-zstd:3",
                                           "--checkpoint=fast"});
      const std::string start = source.value("select pg_current_wal_lsn()");
      for (int i = 0; source.value("select pg_current_wal_lsn() - '" + start + "' > 500e6") == "f"; ++i)
        source.execute(
            fmt::format("update pgbench_accounts set abalance = {0} where aid % 64 = {0}", i % 64));
      source.archive_now();
      // From the segment on in which the base backup begins, as the file beside it in the archive says.
      as_postgres(fmt::format(
          "cd {0}; first=$(ls *.backup | cut -c 1-24); for s in $(ls | grep -E '^[0-9A-F]{{24}}$'); "
          "do [[ $s < $first ]] || gzip <$s >{1}/wal/$s.gz; done",
          source.archive_folder(), set()));
    }
    // Many small files and two large ones, which do not compress.
    as_postgres(
        fmt::format("mkdir -p {0}/made/{{a,b,c,d}}; cd {0}/made; for d in a b c d; do "
                    "head -c 125000000 /dev/urandom | split -a 3 -b 100000 - $d/; done; "
                    "for f in x y; do head -c 250000000 /dev/urandom >$f; done; "
                    "find . -type f | xargs sha256sum >{0}/set/blobs.sha256; "
                    "tar -c -I zstd -f {0}/set/blobs.tar.zst .; cd /; rm -r {0}/made; "
                    "echo MASTER_KEY=$(head -c 32 /dev/urandom | base64) >{0}/keys; du -sm {0}/set/* >&2",
                    folder()));
  }

  double ours() {
    clear();
    const double seconds = seconds_as_postgres(
        fmt::format("{0} --state {1}/state run {2}/tests/bench/rebuild.lua --yes --set set={1}/set --set "
                    "keys=file:{1}/keys --set root={1}/root --set port={3}",
                    RELIGHT_PROGRAM, folder(), RELIGHT_SOURCE_DIR, port_));
    stop();
    return seconds;
  }
  double by_script() {
    clear();
    const double seconds = seconds_as_postgres(fmt::format(
        "{0}/tests/bench/rebuild.sh {1}/set {1}/keys {1}/root {2}", RELIGHT_SOURCE_DIR, folder(), port_));
    stop();
    return seconds;
  }

 private:
  const std::string& folder() const { return folder_.path(); }
  std::string set() const { return folder() + "/set"; }
  void clear() const {
    as_postgres(fmt::format("rm -rf {0}/root {0}/state; mkdir {0}/root; sync", folder()));
  }
  void stop() const {
    as_postgres(Postgres::program("pg_ctl") + " -D " + folder() + "/root/data -m immediate -s stop");
  }

  PostgresFolder folder_;
  int port_ = free_port();
};

}  // namespace

int main() {
  return exit_of([] {
    Scene scene;
    compare(
        "rebuild", 0.65, 5, [&] { return scene.ours(); }, [&] { return scene.by_script(); });
  });
}
