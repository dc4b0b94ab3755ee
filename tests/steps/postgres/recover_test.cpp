#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/support/recovery.h"

using namespace relight;

namespace {

Json wanted(const Source& source, const std::string& to = "latest") {
  return {{"base", source.base}, {"wal", {source.server.archive_folder()}}, {"to", to}};
}

}  // namespace

TEST_CASE("a cluster comes back to the latest record of its archive") {
  Source source;
  for (int i = 1; i <= 5; ++i) source.insert(i);
  source.server.archive_now();
  source.server.stop();

  const Attempt attempt(wanted(source));
  const Outcome plan = attempt.preview();
  REQUIRE(plan.error == "");
  CHECK(plan.value["problems"] == Json::array());
  CHECK(plan.value["verdict"] == "would_change");
  INFO(plan.value.dump(1));
  const Outcome done = attempt.apply();
  REQUIRE(done.error == "");
  INFO(done.value.dump(1));
  CHECK(done.value["timeline"] == 2);
  CHECK(done.value["protected"] == false);
  CHECK(rows_of(attempt.data()) == "1 2 3 4 5");
  // Again changes nothing.
  CHECK(attempt.apply().value == done.value);
  CHECK(attempt.check().value["done"] == true);
}
