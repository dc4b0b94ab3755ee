// postgres.recover into the volume of a service.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/recovery.h"
#include "tests/support/volume_step.h"

using namespace relight;

namespace {

const Source& source() {
  // Its server loads a library, which the image has in a folder of its own.
  static Source source({"--format=tar"},
                       "create role app superuser login; copy (select 'shared_preload_libraries = plpgsql') "
                       "to program 'cat >>postgresql.auto.conf'");
  static const bool lived = (source.insert(1), source.insert(2), source.server.archive_now(), true);
  static_cast<void>(lived);
  return source;
}

bool can_run() {
  return DockerEngine::get() != nullptr && use_any_compose();
}

struct Recovered : VolumeStep {
  explicit Recovered(const std::string& volume = "data:/var/lib/pg")
      : VolumeStep("postgres.recover", volume) {
    source();  // made by no child
  }
  Json fields() const override {
    return {{"base", source().base}, {"wal", {source().server.archive_folder()}}};
  }
  std::string rows() const { return bench.sql("select string_agg(i::text, ' ' order by i) from t"); }
};

}  // namespace

TEST_CASE("a cluster is recovered into the volume of a service, by its image, and goes back") {
  if (!can_run()) return;
  // PGDATA below the volume, and the volume itself.
  for (const std::string volume : {"data:/var/lib/pg", "data:/var/lib/pg/data"}) {
    CAPTURE(volume);
    const Recovered one(volume);
    const Preview none = one.preview();
    CHECK(none.verdict == Preview::Verdict::cannot_yet_tell);
    REQUIRE(none.hints.size() == 1);
    CHECK(none.hints[0].find("up --no-start db") != std::string::npos);

    const std::string before = planned_in(one);

    const Json outputs = one.apply();
    CHECK(outputs["url"] == nullptr);
    CHECK(outputs["data"] == "/var/lib/pg/data");
    CHECK(one.apply() == outputs);
    CHECK(containers_of_steps() == "");
    const std::string data = one.bench.volume() + (volume.ends_with("/data") ? "" : "/data");
    CHECK(owners_in(data) == "999:999 ");
    struct stat status {};
    CHECK(stat(data.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
    one.bench.up();
    CHECK(one.rows() == "1 2");

    CHECK_THROWS_WITH_AS(one.undo(), doctest::Contains("runs on it"), Error);
    one.bench.stop();
    one.undo();
    CHECK(sys::tree_digest(one.bench.volume()) == before);
  }
}

TEST_CASE("a recovery into a container is refused where it would harm, or cannot be") {
  if (!can_run()) return;
  const Recovered one;
  one.bench.up();
  one.bench.sql("create table t (i int); insert into t values (7)");
  CHECK(one.preview().verdict == Preview::Verdict::cannot_yet_tell);
  CHECK_THROWS_WITH_AS(one.apply(), doctest::Contains("runs on it"), Error);
  CHECK(one.rows() == "7");
  one.bench.stop();
  CHECK(one.problem().starts_with("a cluster with data is in the way: " + one.bench.volume() + "/data"));
  CHECK(one.problem({{"data", "/tmp/data"}}).find("it lies on no volume of service db") != std::string::npos);
  CHECK(one.problem({{"config", "/etc"}}).starts_with("this cannot be done in a container: config"));
}

TEST_CASE("what a killed attempt has running in a container is ended by the next") {
  if (!can_run()) return;
  const Recovered one;
  one.bench.make();
  CHECK(killed_at("postgres.recover:started", [&] { one.apply(); }));
  CHECK(containers_of_steps() != "");  // the server runs on
  one.apply();
  CHECK(containers_of_steps() == "");
  one.bench.up();
  CHECK(one.rows() == "1 2");
}
