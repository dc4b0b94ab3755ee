#include "runner/engine/recovery.h"

#include <doctest/doctest.h>

#include "tests/support/records.h"

using namespace relight;
using namespace relight::records;
using Step = StepRecord::State;
using Run = RunRecord::State;

namespace {

std::string refusal(const Records& records) {
  try {
    fold(records, false);
  } catch (const Error& error) {
    CHECK(error.kind == ErrorKind::needs_person);
    CHECK_FALSE(error.hint.empty());
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a run that was opened") {
  RunRecord run = live({opened()});
  CHECK(run.run == "r1");
  CHECK(run.runbook == "book");
  CHECK(run.plan_digest == "d1");
  CHECK(run.program == "relight 0.1.0");
  CHECK(run.opened_at == "T0");
  CHECK(run.opened_boot_ms == 100);
  CHECK(run.state == Run::running);
  CHECK(later({opened()}).state == Run::interrupted);
  CHECK(later({}).state == Run::interrupted);
  CHECK(run.step("none").state == Step::pending);
  CHECK(*run.step("none").notes == Json::object());
}

TEST_CASE("a step that was started is running, or in doubt for a later process") {
  Records records = {opened(), started("a")};
  CHECK(live(records).step("a").state == Step::running);
  CHECK(live(records).step("a").touched);
  CHECK(live(records).step("a").attempts == 1);
  CHECK(live(records).step("a").op == "apply");
  CHECK(live(records).step("a").started_at == "T1");
  CHECK(later(records).step("a").state == Step::in_doubt);
  CHECK(later(records).state == Run::interrupted);
}

TEST_CASE("a finished step is done, with its outputs") {
  RunRecord run = later({opened(), started("a"), failed("a", true), started("a"), finished("a")});
  const StepRecord& a = run.step("a");
  CHECK(a.state == Step::done);
  CHECK(a.attempts == 2);
  CHECK((*a.outputs)["path"] == "/x");
  CHECK(a.finished_at == "T2");
  CHECK(a.finished_boot_ms == 300);
  CHECK_FALSE(a.error);
  CHECK(a.touched);
  CHECK(a.op.empty());
  CHECK(run.state == Run::interrupted);
}

TEST_CASE("a step found done without an apply leaves a rollback no work") {
  RunRecord run = live({opened(), started("a", "check"), finished("a", "check")});
  CHECK(run.step("a").state == Step::done);
  CHECK_FALSE(run.step("a").touched);
  CHECK(run.step("a").attempts == 0);
}

TEST_CASE("failures") {
  SUBCASE("the last one") {
    RunRecord run = live({opened(), started("a"), failed("a")});
    CHECK(run.step("a").state == Step::failed);
    CHECK(run.step("a").error->kind == ErrorKind::transient);
    CHECK(std::string(run.step("a").error->what()) == "cannot: it: busy");
    CHECK(run.step("a").error->hint == "wait");
    CHECK(run.step("a").touched);
    CHECK(run.state == Run::running);
    CHECK(later({opened(), started("a"), failed("a")}).state == Run::failed);
    CHECK(later({opened(), started("a"), started("b"), failed("a")}).state == Run::interrupted);
    CHECK(later({opened(), started("a"), failed("a"), started("b")}).state == Run::interrupted);
  }
  SUBCASE("one that will be tried again") {
    RunRecord run = later({opened(), started("a"), failed("a", true)});
    CHECK(run.step("a").state == Step::pending);
    CHECK(run.step("a").attempts == 1);
    CHECK(run.step("a").touched);
    CHECK(run.step("a").error);
    CHECK(run.state == Run::interrupted);
  }
  SUBCASE("of an undo") {
    Records records = {opened(), started("a"), finished("a"), rolling_back(), started("a", "undo")};
    records.push_back(failed("a", true, "undo"));
    RunRecord run = live(records);
    CHECK(run.step("a").state == Step::in_doubt);
    CHECK_FALSE(run.step("a").undo_failed);
    CHECK(run.step("a").outputs);
    records.push_back(failed("a", false, "undo"));
    run = live(records);
    CHECK(run.step("a").state == Step::failed);
    CHECK(run.step("a").undo_failed);
    CHECK(run.step("a").touched);
    CHECK(run.step("a").outputs);
    CHECK(run.state == Run::rolling_back);
    records.push_back(undone("a"));
    CHECK_FALSE(live(records).step("a").undo_failed);
  }
}

TEST_CASE("notes gather, and who looks at them sees them as they were") {
  RunRecord run = live({opened(), started("a"), note("a", "one", 1)});
  std::shared_ptr<const Json> seen = run.step("a").notes;
  fold_one(run, note("a", "two", 2), true);
  fold_one(run, note("a", "one", 3), true);
  CHECK(*seen == Json({{"one", 1}}));
  CHECK(*run.step("a").notes == Json({{"one", 3}, {"two", 2}}));
  CHECK(run.step("b").notes->empty());
  RunRecord copy = run;
  fold_one(run, note("a", "one", 4), true);
  CHECK((*copy.step("a").notes)["one"] == 3);
}

TEST_CASE("a later process goes on") {
  Records records = {opened(), started("a"), started("b"), waiting("c"), finished("b"), resumed()};
  for (bool alive : {true, false}) {
    RunRecord run = fold(records, alive);
    CHECK(run.step("a").state == Step::in_doubt);
    CHECK(run.step("b").state == Step::done);
    CHECK(run.step("c").state == Step::pending);
    CHECK(run.program == "relight 0.2.0");
    CHECK(run.state == (alive ? Run::running : Run::interrupted));
  }
  records.push_back({{"kind", "settled"}, {"step", "a"}});
  CHECK(live(records).step("a").state == Step::in_doubt);
  records.push_back(started("a"));
  CHECK(live(records).step("a").state == Step::running);
  CHECK(live(records).step("a").attempts == 2);
}

TEST_CASE("how the last process left the run") {
  CHECK(later({opened(), started("a"), interrupted()}).state == Run::interrupted);
  CHECK(live({opened(), started("a"), interrupted(), finished("a")}).state == Run::interrupted);
  CHECK(later({opened(), started("a"), finished("a"), ended("done")}).state == Run::done);
  CHECK(later({opened(), started("a"), failed("a"), ended("failed", 1)}).state == Run::failed);
  CHECK(later({opened(), ended("abandoned")}).state == Run::abandoned);
  RunRecord run = later({opened(), ended("done", 7)});
  CHECK(run.exit_code == 7);
  CHECK(run.ended_at == "T9");
  CHECK((*run.verdict)["probes"] == 1);
  fold_one(run, resumed(), true);
  CHECK(run.state == Run::running);
  CHECK(run.ended_at.empty());
  CHECK_FALSE(run.verdict);
}

TEST_CASE("an approval is waited for once nothing else goes on") {
  CHECK(live({opened(), waiting("c")}).state == Run::waiting);
  CHECK(later({opened(), waiting("c")}).state == Run::waiting);
  CHECK(live({opened(), started("a"), waiting("c")}).state == Run::running);
  CHECK(later({opened(), started("a"), waiting("c")}).state == Run::interrupted);
  CHECK(later({opened(), started("a"), waiting("c"), finished("a")}).state == Run::waiting);
  CHECK(later({opened(), waiting("c"), resumed()}).state == Run::interrupted);
  RunRecord run = live({opened(), waiting("c"), approved("c")});
  CHECK(run.state == Run::running);
  CHECK(run.step("c").approved_by == "--approve");
  fold_one(run, finished("c", "person"), true);
  CHECK(run.step("c").state == Step::done);
  CHECK(run.step("c").started_boot_ms == 150);
  CHECK_FALSE(run.step("c").touched);
}

TEST_CASE("skipped, when, baseline") {
  RunRecord run = live({opened(),
                        {{"kind", "when"}, {"step", "a"}, {"value", false}},
                        {{"kind", "baseline"}, {"step", "b"}, {"passed", true}},
                        skipped("a")});
  CHECK(run.step("a").state == Step::skipped);
  CHECK(run.step("a").when == false);
  CHECK(run.step("a").why_skipped == "no need");
  CHECK((*run.step("a").outputs)["n"] == 1);
  CHECK(run.step("b").baseline == true);
  CHECK(run.step("b").state == Step::pending);
}

TEST_CASE("an amended run keeps the settled steps that it names") {
  RunRecord run = live({opened(), started("a"), finished("a"), started("b"), note("b", "k", 1), finished("b"),
                        started("c"), failed("c"), started("d"), resumed(), amended({"a"})});
  CHECK(run.plan_digest == "d2");
  CHECK(run.step("a").state == Step::done);
  CHECK(run.step("b").state == Step::pending);
  CHECK_FALSE(run.step("b").outputs);
  CHECK(run.step("b").touched);
  CHECK((*run.step("b").notes)["k"] == 1);
  CHECK(run.step("c").state == Step::pending);
  CHECK(run.step("d").state == Step::in_doubt);
}

TEST_CASE("folding at once and one by one are the same") {
  Records records = {opened(),
                     started("a"),
                     note("a", "k", 1),
                     finished("a"),
                     started("b"),
                     failed("b", true),
                     started("b"),
                     resumed(),
                     waiting("c"),
                     approved("c"),
                     finished("c", "person"),
                     started("b"),
                     failed("b"),
                     rolling_back(),
                     started("a", "undo"),
                     undone("a"),
                     ended("rollback-failed", 4)};
  for (std::size_t count = 0; count <= records.size(); ++count) {
    RunRecord one;
    for (std::size_t i = 0; i < count; ++i) fold_one(one, records[i], true);
    RunRecord all = live(Records(records.begin(), records.begin() + count));
    CHECK(all.state == one.state);
    CHECK(all.in_flight == one.in_flight);
    CHECK(all.asking == one.asking);
    REQUIRE(all.steps.size() == one.steps.size());
    for (const auto& [name, step] : all.steps) {
      CHECK(step.state == one.step(name).state);
      CHECK(step.attempts == one.step(name).attempts);
      CHECK(step.touched == one.step(name).touched);
      CHECK(*step.notes == *one.step(name).notes);
    }
  }
}

TEST_CASE("records that cannot follow are told") {
  CHECK(refusal({started("a")}) == "the journal makes no sense: `started`: a journal begins with `opened`");
  CHECK(refusal({opened(), opened()}) == "the journal makes no sense: `opened`: the run is open already");
  Json odd = {{"kind", "danced"}, {"seq", 2}};
  CHECK(refusal({opened(), odd}) ==
        "the journal makes no sense: `danced`, record 2: its kind is unknown to this program");
  CHECK(refusal({opened(), {{"kind", "undone"}}}) ==
        "the journal makes no sense: `undone`: it has no `step`");
  CHECK(refusal({opened(), {{"kind", "undone"}, {"step", 1}}}) ==
        "the journal makes no sense: `undone`: its `step` is not a text");
  CHECK(refusal({opened(), finished("a")}) ==
        "the journal makes no sense: `finished`: the step a was not started");
  CHECK(refusal({opened(), ended("done"), started("a")}) ==
        "the journal makes no sense: `started`: the run had stopped, and nobody resumed it");
  CHECK(refusal({opened(), started("a", "jump")}) ==
        "the journal makes no sense: `started`: its `op` is unknown: jump");
  CHECK(refusal({opened(), ended("odd")}) ==
        "the journal makes no sense: `ended`: its `state` is unknown: odd");
  CHECK(refusal({Json(1)}) == "the journal makes no sense: a record: it is not an object");
}

TEST_CASE("names") {
  CHECK(std::string(name_of(Step::in_doubt)) == "in-doubt");
  CHECK(std::string(name_of(Run::rolling_back)) == "rolling-back");
  CHECK(std::string(name_of(Run::rolled_back)) == "rolled-back");
}

namespace {

Json watched(Json up, const char* from = nullptr, const char* to = nullptr, int ms = -1) {
  Json record = {{"kind", "watched"}, {"step", "well"}, {"up", std::move(up)}};
  if (from != nullptr) record["from"] = from;
  if (to != nullptr) record["to"] = to;
  if (ms >= 0) record["ms"] = ms;
  return record;
}

}  // namespace

TEST_CASE("a downtime lasts from the last good answer to the next, whoever looks") {
  const char* const t0 = "2026-11-21T10:00:00Z";
  const char* const t5 = "2026-11-21T10:00:05Z";
  const char* const t9 = "2026-11-21T10:00:09Z";
  const auto outages = [](const Records& records) { return later(records).watched.at("well").outages; };
  Records records = {opened(), watched(true, nullptr, t0), watched(false, t0), watched(true, t0, t5, 4900)};
  REQUIRE(outages(records).size() == 1);
  CHECK(outages(records)[0].length.count() == 4900);
  CHECK_FALSE(outages(records)[0].in_rollback);

  // Killed in it: the next process sees it go on, and end.
  records = {opened(), watched(false, t0), resumed(), watched(false, t5), watched(true, t5, t9, 4000)};
  REQUIRE(outages(records).size() == 1);
  CHECK(outages(records)[0].from == t0);
  CHECK(outages(records)[0].length.count() == 9000);

  // Killed while it was up, and down at the next look: down since nobody looked.
  Json last = note("a", "k", 1);
  last["wall"] = t0;
  records = {opened(),  watched(true, nullptr, t0), last,
             resumed(), watched(false, t5),         watched(true, t5, t9, 4000)};
  REQUIRE(outages(records).size() == 1);
  CHECK(outages(records)[0].from == t0);
  CHECK(outages(records)[0].length.count() == 9000);

  // Left down at the end, and brought up by a rollback hours later.
  records = {opened(), watched(false, t0), watched(nullptr)};
  CHECK(outages(records)[0].to.empty());
  CHECK_FALSE(later(records).watched.at("well").up.has_value());
  records.insert(records.end(), {rolling_back(), watched(false, t5), watched(true, t5, t9, 4000)});
  REQUIRE(outages(records).size() == 1);
  CHECK(outages(records)[0].in_rollback);
  CHECK(outages(records)[0].length.count() == 9000);
}
