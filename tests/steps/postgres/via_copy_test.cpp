// A paused copy that is served by the image of a service: brought up, moved on, promoted into its volume.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "tests/support/program.h"
#include "tests/support/recovery.h"
#include "tests/support/volume_step.h"

using namespace relight;

namespace {

// Rows 1 and 2, a named point, row 3 in a later segment.
const Source& source() {
  static Source source({"--format=tar"}, "create role app superuser login");
  static const bool lived = [] {
    source.insert(1);
    source.insert(2);
    source.server.execute("select pg_create_restore_point('two')");
    for (int i = 0; i < 4; ++i) source.server.archive_now();
    source.insert(3);
    source.server.archive_now();
    return true;
  }();
  static_cast<void>(lived);
  return source;
}

bool can_run() {
  return DockerEngine::get() != nullptr && use_any_compose();
}

// Beside the volume of a service that runs.
struct Copy : VolumeStep {
  Copy() : VolumeStep("postgres.recover") {
    source();  // made by no child
    bench.up();
    bench.sql("create table mine (i int); insert into mine values (7)");
    data_ = sys::parent_of(bench.volume()) + "/copy";
  }
  ~Copy() { end_copy(data()); }
  Json fields() const override {
    return {{"base", source().base}, {"wal", {source().server.archive_folder()}},
            {"to", "name:two"},      {"action", "pause"},
            {"role", "app"},         {"data", data()}};
  }
  const std::string& data() const { return data_; }
  std::string mine() const { return bench.sql("select i from mine"); }

 private:
  std::string data_;  // a child has no engine to ask
};

struct Advanced : VolumeStep {
  explicit Advanced(const Copy& copy) : VolumeStep("postgres.advance", copy), copy_(copy.data()) {}
  Json fields() const override { return {{"copy", copy_}, {"to", "latest"}}; }

 private:
  const std::string copy_;
};

struct Promoted : VolumeStep {
  explicit Promoted(const Copy& copy) : VolumeStep("postgres.promote", copy), copy_(copy.data()) {}
  Json fields() const override { return {{"copy", copy_}, {"replace", true}}; }
  std::string rows() const { return bench.sql("select string_agg(i::text, ' ' order by i) from t"); }

 private:
  const std::string copy_;
};

// An id a line.
std::string containers_of_copies() {
  return DockerEngine::get()->docker({"ps", "-a", "-q", "--filter", "label=relight.copy"});
}

}  // namespace

TEST_CASE("a copy is served by the image of a service that runs, moved on, and promoted into its volume") {
  if (!can_run()) return;
  const Copy copy;
  const Preview plan = copy.preview();
  for (const Problem& problem : plan.problems) FAIL(problem.what, problem.on, problem.why);
  CHECK(plan.verdict == Preview::Verdict::would_change);
  const Json held = copy.apply();
  const std::string url = held["url"], server = server_of_copy(copy.data(), true);
  CHECK(rows_of_copy(url) == "1 2");
  CHECK(owners_in(copy.data()) == "999:999 ");
  CHECK(containers_of_steps() == "");
  CHECK(sys::split(sys::trim(containers_of_copies()), '\n').size() == 1);
  CHECK(copy.apply() == held);
  CHECK(server_of_copy(copy.data(), true) == server);
  // Its server gone, as after a reboot: another is started, of the same image.
  end_copy(copy.data());
  CHECK(copy.apply() == held);
  CHECK(rows_of_copy(url) == "1 2");

  const Advanced later(copy);
  CHECK(later.problem() == "");
  CHECK(later.apply({{"via", nullptr}})["last_commit"].is_string());
  CHECK(rows_of_copy(url) == "1 2 3");
  CHECK(copy.mine() == "7");

  const Promoted promoted(copy);
  CHECK(promoted.preview().verdict == Preview::Verdict::cannot_yet_tell);
  CHECK_THROWS_WITH_AS(promoted.apply(), doctest::Contains("runs on it"), Error);
  CHECK(rows_of_copy(url) == "1 2 3");
  copy.bench.stop();
  const std::string before = sys::tree_digest(copy.bench.volume());
  CHECK(promoted.problem() == "");
  const Json outputs = promoted.apply();
  CHECK(outputs["data"] == "/var/lib/pg/data");
  CHECK(outputs["url"] == nullptr);
  CHECK(containers_of_copies() == "");
  CHECK(containers_of_steps() == "");
  CHECK(owners_in(copy.bench.volume() + "/data") == "999:999 ");
  copy.bench.up();
  CHECK(promoted.rows() == "1 2 3");
  CHECK_THROWS_WITH_AS(promoted.undo(), doctest::Contains("runs on it"), Error);
  copy.bench.stop();
  promoted.undo();
  CHECK(sys::tree_digest(copy.bench.volume()) == before);
  CHECK(sys::exists(copy.data() + "/PG_VERSION"));
}

TEST_CASE("a copy in an image is never served twice, killed or not, and an undo takes it all away") {
  if (!can_run()) return;
  const Copy copy;
  for (const char* point :
       {"postgres.recover:started", "postgres.copy:launching", "postgres.copy:launched"}) {
    CAPTURE(point);
    CHECK(killed_at(point, [&] { copy.apply(); }));
    const Json held = copy.apply();
    CHECK(rows_of_copy(held["url"]) == "1 2");
    CHECK(containers_of_steps() == "");
    CHECK(sys::split(sys::trim(containers_of_copies()), '\n').size() == 1);
    const Advanced later(copy);
    CHECK(killed_at("postgres.recover:started", [&] { later.apply(); }));
    later.undo();
    CHECK(containers_of_copies() == "");  // between two moments
    copy.undo();
    CHECK_FALSE(sys::exists(copy.data()));
    CHECK(containers_of_copies() == "");
    sys::remove_file(copy.notes());
    sys::remove_file(later.notes());
  }
  CHECK(copy.mine() == "7");
}

TEST_CASE("a promotion into a volume that was killed gives the copy back as it was held") {
  if (!can_run()) return;
  const Copy copy;
  const std::string url = copy.apply()["url"];
  copy.bench.stop();
  const std::string before = sys::tree_digest(copy.bench.volume());
  const Promoted promoted(copy);
  CHECK(killed_at("postgres.promote:taken", [&] { promoted.apply(); }));
  promoted.undo();
  CHECK(rows_of_copy(url) == "1 2");
  CHECK(owners_in(copy.data()) == "999:999 ");
  CHECK(sys::tree_digest(copy.bench.volume()) == before);
  sys::remove_file(promoted.notes());
  CHECK(killed_at("postgres.recover:committed", [&] { promoted.apply(); }));
  promoted.apply();
  copy.bench.up();
  CHECK(promoted.rows() == "1 2");
}

TEST_CASE("a copy does not go where it does not fit") {
  if (!can_run()) return;
  const Copy copy;
  CHECK(copy.problem({{"data", nullptr}}).starts_with("cannot tell where the copy is to lie"));
  copy.apply();
  const Promoted promoted(copy);
  CHECK(promoted.problem({{"via", nullptr}, {"into", "/srv/data"}}).find("it is served from a container") !=
        std::string::npos);
  CHECK(promoted.problem({{"port", 5433}}).starts_with("this cannot be done in a container: port"));
  // Another mount of the same file system will not do, either.
  const sys::TempFolder mount;
  sys::Command command;
  command.argv = {"mount", "--bind", sys::parent_of(copy.data()), mount.path()};
  sys::output_of(command, "cannot prepare a test");
  const std::string there = promoted.problem({{"copy", mount.path() + "/copy"}});
  command.argv = {"umount", mount.path()};
  sys::output_of(command, "cannot tidy up a test");
  CHECK(there.starts_with("the copy lies on another file system"));
}

TEST_CASE("a peek into what a service has is served by its image") {
  if (!can_run()) return;
  const Copy copy;
  const Bench bench;
  const Json via = Json::parse(copy.bench.via("db"))["compose"];
  bench.write("book.lua",
              "runbook \"rebuild\" {}\npostgres.recover \"database\" {\n  via = compose{ file = \"" +
                  via["file"].get<std::string>() + "\", project = \"" + via["project"].get<std::string>() +
                  "\", service = \"db\" },\n  base = \"" + source().base + "\", wal = { \"" +
                  source().server.archive_folder() + "\" }, role = \"app\", replace = true,\n}\n");
  const Ran ran = bench.relight({"peek", bench.file("book.lua"), "--table", "t", "--to", "name:two"});
  CAPTURE(ran.err);
  CHECK(ran.exit == 0);
  CHECK(ran.out == "i\n1\n2\n");
  CHECK(containers_of_copies() == "");
  CHECK(copy.mine() == "7");
}
