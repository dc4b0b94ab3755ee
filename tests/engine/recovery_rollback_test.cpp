// What the records say of undo, rollback and kept copies.
#include <doctest/doctest.h>

#include "tests/support/records.h"

using namespace relight;
using namespace relight::records;
using Step = StepRecord::State;
using Run = RunRecord::State;

TEST_CASE("an undone step is untouched, and begins afresh") {
  Records records = {opened(),    started("a"),   note("a", "before", "old"),
                     failed("a"), rolling_back(), started("a", "undo"),
                     undone("a")};
  RunRecord run = live(records);
  CHECK(run.step("a").state == Step::undone);
  CHECK_FALSE(run.step("a").touched);
  CHECK(run.step("a").error);
  CHECK((*run.step("a").notes)["before"] == "old");
  records.insert(records.end(), {ended("rolled-back", 3), resumed(), started("a")});
  run = live(records);
  CHECK(run.step("a").state == Step::running);
  CHECK(run.step("a").attempts == 2);
  CHECK(run.step("a").notes->empty());
  CHECK(run.step("a").touched);
}

TEST_CASE("a rollback stands until it has ended well") {
  Records records = {opened(), started("a"), finished("a"), started("b"), failed("b"), rolling_back("a")};
  RunRecord run = live(records);
  CHECK(run.state == Run::rolling_back);
  CHECK(run.rollback_to == "a");
  CHECK(run.rollback_by_person);
  CHECK(run.in_rollback);
  CHECK(later(records).state == Run::interrupted);
  CHECK(later(records).in_rollback);

  records.insert(records.end(), {interrupted(), resumed()});
  CHECK(live(records).state == Run::rolling_back);
  CHECK(live(records).rollback_to == "a");

  SUBCASE("well") {
    records.insert(records.end(), {started("b", "undo"), undone("b"), ended("rolled-back", 3)});
    CHECK(later(records).state == Run::rolled_back);
    CHECK_FALSE(later(records).in_rollback);
    records.push_back(resumed());
    CHECK(live(records).state == Run::running);
  }
  SUBCASE("back to a step") {
    records.push_back(ended("rolled-back-to"));
    CHECK(later(records).state == Run::interrupted);
    CHECK_FALSE(later(records).in_rollback);
    records.push_back(resumed());
    CHECK(live(records).state == Run::running);
  }
  SUBCASE("in vain") {
    records.push_back(ended("rollback-failed", 4));
    run = later(records);
    CHECK(run.state == Run::failed);
    CHECK(run.rollback_failed);
    CHECK(run.in_rollback);
    records.push_back(resumed());
    CHECK(live(records).state == Run::rolling_back);
    records.push_back(rolling_back("", "on_failure"));
    CHECK_FALSE(live(records).rollback_failed);
    CHECK_FALSE(live(records).rollback_by_person);
  }
  SUBCASE("given up") {
    records.push_back(ended("abandoned"));
    CHECK(later(records).state == Run::abandoned);
    CHECK_FALSE(later(records).in_rollback);
  }
}

TEST_CASE("an undo that was cut off is in doubt and still to be done") {
  RunRecord run =
      later({opened(), started("a"), finished("a"), rolling_back(), started("a", "undo"), resumed()});
  CHECK(run.step("a").state == Step::in_doubt);
  CHECK(run.step("a").op == "undo");
  CHECK(run.step("a").touched);
  CHECK((*run.step("a").outputs)["path"] == "/x");
}

TEST_CASE("kept copies are freed without a change of state, also after the end") {
  Records records = {opened(), started("a"), finished("a"), kept("a", {{{"on", "/old"}, {"bytes", 5}}}),
                     ended("done")};
  RunRecord run = later(records);
  CHECK((*run.step("a").kept)[0]["on"] == "/old");
  CHECK_FALSE(run.step("a").discarded);
  records.push_back(started("a", "discard"));
  CHECK(later(records).state == Run::done);
  CHECK(later(records).step("a").state == Step::done);
  CHECK(later(records).step("a").attempts == 1);
  records.push_back(failed("a", false, "discard"));
  CHECK(later(records).step("a").state == Step::done);
  CHECK(later(records).step("a").kept);
  records.push_back(discarded("a"));
  CHECK_FALSE(later(records).step("a").kept);
  CHECK(later(records).step("a").discarded);
  CHECK(later(records).state == Run::done);
  CHECK_FALSE(live({opened(), kept("a", Json::array())}).step("a").kept);
}
