// postgres.standby into the volume of a service.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/wait.h"
#include "tests/support/volume_step.h"

using namespace relight;
using namespace std::chrono_literals;

namespace {

const PostgresInDocker* primary() {
  if (DockerEngine::get() == nullptr || !use_any_compose()) return nullptr;
  static const PostgresInDocker primary;
  static const bool up = (primary.up(), primary.sql("create table t as select 7 as i"), true);
  static_cast<void>(up);
  return &primary;
}

// A service in the primary's network.
struct Standby : VolumeStep {
  Standby() : VolumeStep("postgres.standby") {
    const std::string text = sys::read_file(bench.file());
    bench.write(text + "networks: {default: {external: true, name: " + primary()->project() + "_default}}\n");
  }
  Json fields() const override {
    return {{"server", "host=" + of + " user=app"}, {"password", password}, {"slot", "standby1"}};
  }

  // A child has no engine to ask.
  const std::string of = primary()->address();
  const Json password = primary()->reached()["password"];
};

}  // namespace

TEST_CASE("a standby is made in the volume of a service, by its image, and streams") {
  if (primary() == nullptr) return;
  const Standby one;
  const std::string before = planned_in(one);

  CHECK(killed_at("postgres.standby:copied", [&] { one.apply(); }));
  const Json outputs = one.apply();
  CHECK(outputs["url"] == nullptr);
  CHECK(one.apply() == outputs);
  CHECK(containers_of_steps() == "");
  one.bench.up();
  CHECK(one.bench.sql("select pg_is_in_recovery(), i from t") == "t|7");
  CHECK(sys::wait_until(30s, 100ms, {},
                        [&] { return primary()->sql(outputs["streaming"].get<std::string>()) == "1"; }));

  CHECK_THROWS_WITH_AS(one.undo(), doctest::Contains("runs on it"), Error);
  one.bench.stop();
  one.undo();
  CHECK(sys::tree_digest(one.bench.volume()) == before);
  CHECK(primary()->sql("select count(*) from pg_replication_slots") == "0");
}

TEST_CASE("a standby in a container is refused where it could not follow") {
  if (primary() == nullptr) return;
  const Standby one;
  one.bench.make();
  primary()->sql("alter system set allow_in_place_tablespaces = on");
  primary()->sql("select pg_reload_conf()");
  primary()->sql("create tablespace apart location ''");
  const Preview preview = one.preview();
  primary()->sql("drop tablespace apart");
  REQUIRE(preview.problems.size() == 1);
  CHECK(preview.problems[0].why == "the primary has tablespaces, which lie outside the data directory");
  const Preview own = one.preview({{"server", "host=127.0.0.1 user=app"}});
  REQUIRE(own.problems.size() == 1);
  CHECK(own.problems[0].why == "in a container this address is its own");
}
