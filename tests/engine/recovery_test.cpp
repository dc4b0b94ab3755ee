#include "runner/engine/recovery.h"
#include "runner/sys/json_whole.h"

#include <doctest/doctest.h>

using namespace relight;
using Step = StepRecord::State;
using Run = RunRecord::State;

namespace {

Json opened() {
  return {{"kind", "opened"}, {"format", 1},       {"program", "relight 0.1.0"},
          {"run", "r1"},      {"runbook", "book"}, {"plan", "d1"},
          {"drill", false},   {"wall", "T0"},      {"boot", 100}};
}
Json resumed() {
  return {{"kind", "resumed"}, {"program", "relight 0.2.0"}, {"pid", 7}};
}
Json started(const char* step, const char* op = "apply") {
  return {{"kind", "started"}, {"step", step}, {"attempt", 1}, {"op", op}, {"wall", "T1"}, {"boot", 200}};
}
Json finished(const char* step, const char* by = "apply") {
  return {{"kind", "finished"}, {"step", step}, {"attempt", 1}, {"outputs", {{"path", "/x"}}},
          {"by", by},           {"wall", "T2"}, {"boot", 300}};
}
Json failed(const char* step, bool again = false, const char* op = "apply") {
  return {
      {"kind", "failed"},
      {"step", step},
      {"attempt", 1},
      {"op", op},
      {"error", {{"kind", "transient"}, {"what", "cannot"}, {"on", "it"}, {"why", "busy"}, {"hint", "wait"}}},
      {"again", again}};
}
Json undone(const char* step) {
  return {{"kind", "undone"}, {"step", step}};
}
Json note(const char* step, const char* key, Json value) {
  return {{"kind", "note"}, {"step", step}, {"key", key}, {"value", std::move(value)}};
}
Json kept(const char* step, Json things) {
  return {{"kind", "kept"}, {"step", step}, {"things", std::move(things)}};
}
Json discarded(const char* step) {
  return {{"kind", "discarded"}, {"step", step}};
}
Json skipped(const char* step) {
  return {{"kind", "skipped"}, {"step", step}, {"why", "no need"}, {"outputs", {{"n", 1}}}};
}
Json waiting(const char* step) {
  return {{"kind", "waiting"}, {"step", step}, {"prompt", "?"}, {"boot", 150}};
}
Json approved(const char* step) {
  return {{"kind", "approved"}, {"step", step}, {"by", "--approve"}};
}
Json rolling_back(const char* to = "", const char* by = "person") {
  return {{"kind", "rolling_back"}, {"to", to}, {"by", by}};
}
Json interrupted() {
  return {{"kind", "interrupted"}, {"signal", 2}};
}
Json ended(const char* state, int exit = 0) {
  return {{"kind", "ended"}, {"state", state}, {"exit", exit}, {"verdict", {{"probes", 1}}}, {"wall", "T9"}};
}
Json amended(std::vector<std::string> stay) {
  return {{"kind", "amended"}, {"plan", "d2"}, {"kept", stay}, {"changes", ""}, {"file", "b.lua"}};
}

using Records = std::vector<Json>;

RunRecord live(const Records& records) {
  return fold(records, true);
}
RunRecord later(const Records& records) {
  return fold(records, false);
}

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
