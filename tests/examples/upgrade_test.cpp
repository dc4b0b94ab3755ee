// Ember upgraded on a real PostgreSQL: to a good release, and by hand back from it; and told to stop while it
// goes on answering.
#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>

#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/sockets.h"
#include "tests/support/ember_host.h"

using namespace relight;

TEST_CASE("an upgrade ends with the new version, the old data, and a backup that verifies") {
  EmberHost host;
  const Ran ran = host.upgrade("1.1.0");
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 0);
  CHECK(host.version() == "1.1.0");
  CHECK(sys::parse_json(host.ask("GET", "/api/notes").body).size() == 3);
  CHECK(host.relight({"verify", host.backup}).exit == 0);

  // Hours later somebody goes back by hand; what was written since is put aside.
  CHECK(ran.out.find("downtime ") != std::string::npos);
  CHECK(host.status()["downtime"].size() == 1);
  CHECK(host.ask("POST", "/api/notes", R"({"title": "later", "body": "lost?"})").status == 201);
  CHECK(host.ask("POST", "/api/notes/1/attachments?name=b", "newer").status == 201);
  const Ran back = host.relight({"rollback", "--yes"});
  INFO(back.out, back.err);
  CHECK(back.exit == 0);
  CHECK(flat(back.out).find("keep-blobs: " + host.file("home/blobs") +
                            ": 1 file was added; a rollback puts that "
                            "aside") != std::string::npos);
  CHECK(flat(back.out).find("of what was there before the rollback; free it with relight keep --drop") !=
        std::string::npos);
  REQUIRE(host.status()["downtime"].size() == 2);
  CHECK(host.status()["downtime"][1]["in_rollback"] == true);
  host.is_back();
  const Ran kept = host.relight({"keep"});
  INFO(kept.out, kept.err);
  CHECK(kept.out.find("database relight_old_") != std::string::npos);
}

TEST_CASE("an upgrade whose kept copies are lost goes back to the moment of its backup, killed and resumed") {
  EmberHost host;
  // The backup is taken by another run, before more is written.
  REQUIRE(host.upgrade("1.1.0").exit == 0);
  const std::string backup = host.backup, moment = host.before;
  REQUIRE(host.relight({"rollback", "--yes"}).exit == 0);
  REQUIRE(host.relight({"keep", "--drop", host.status()["run"], "--yes"}).exit == 0);
  REQUIRE(host.ask("POST", "/api/notes", R"({"title": "later", "body": "than the backup"})").status == 201);
  const Ran ran = host.upgrade("1.1.0", {"--set", "backup=" + backup, "--set", "max_age=6h"});
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 0);
  host.backup = backup;
  REQUIRE(host.ask("POST", "/api/notes", R"({"title": "hours", "body": "later"})").status == 201);
  REQUIRE(host.ask("POST", "/api/notes/1/attachments?name=b", "newer").status == 201);
  host.lose_copies();

  const std::string stands_in = "the kept copy is gone: a rollback restores the backup " + backup;
  const Ran asked = host.relight({"rollback"});
  CHECK(asked.exit == 2);
  CHECK(flat(asked.out).find("keep-database: database ember: " + stands_in) != std::string::npos);
  CHECK(flat(asked.out).find("keep-blobs: " + host.file("home/blobs") + ": " + stands_in) !=
        std::string::npos);
  CHECK(host.version() == "1.1.0");
  CHECK(killed_when(host, {"rollback", "--yes"}, "keep-database", "undoing"));
  const Ran back = host.relight({"resume"});
  INFO(back.out, back.err);
  CHECK(back.exit == 0);
  CHECK(host.before == moment);
  CHECK(host.is_back());
  CHECK(flat(back.out).find("keep-database: the kept copy of database ember was gone: it is back from the "
                            "backup " +
                            backup) != std::string::npos);
  CHECK(host.relight({"keep"}).out.find("database relight_old_") != std::string::npos);
}

TEST_CASE("an upgrade that fails after its kept copies were lost goes back to the backup by itself") {
  EmberHost host;
  REQUIRE(killed_when(host, host.words("1.2.0-health"), "ember", "started"));
  host.lose_copies();
  const std::string dump = host.backup + "/ember.dump", whole = sys::read_file_if_there(dump).value_or("");
  SUBCASE("whole") {}
  SUBCASE("damaged: it stops there, and what stands on the database is not begun") {
    sys::write_file(dump, whole.substr(0, whole.size() - 10), 0600);
    const Ran ran = host.relight({"resume"});
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 4);
    CHECK(flat(ran.out).find("the kept copy is gone, and the backup cannot stand in: database ember") !=
          std::string::npos);
    CHECK(host.state_of("notes") == "done");
    CHECK(host.pid() == 0);
    sys::write_file(dump, whole, 0600);
  }
  const Ran ran = host.relight({"resume"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 3);
  CHECK(host.is_back());
  CHECK(flat(ran.out).find("failed, and rolled back: what the run changed is as it was before, but for") !=
        std::string::npos);
  CHECK(flat(ran.out).find("keep-database: the kept copy of database ember was gone") != std::string::npos);
  CHECK(flat(ran.out).find("keep-blobs: the kept copy of ") != std::string::npos);
}

namespace {

// A client that writes notes, one after the other, until it is refused.
class Writer {
 public:
  explicit Writer(const EmberHost& host) : host_(host), thread_([this] { write(); }) {}
  ~Writer() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  std::size_t count() const { return count_; }
  // Those of the acknowledged notes that the service does not show.
  std::size_t missing() const {
    std::set<std::string> there;
    for (const Json& note : sys::parse_json(host_.ask("GET", "/api/notes").body))
      there.insert(note.at("id").dump() + " " + note.at("body").get<std::string>());
    std::size_t lost = 0;
    for (const std::string& note : acknowledged_) lost += there.count(note) == 0 ? 1 : 0;
    return lost;
  }

 private:
  void write() {
    for (int i = 0;; ++i) {
      const std::string body = "written while it ran, number " + std::to_string(i);
      try {
        const auto answer = host_.ask("POST", "/api/notes", Json{{"title", "a note"}, {"body", body}}.dump());
        if (answer.status != 201) return;
        acknowledged_.push_back(sys::parse_json(answer.body).at("id").dump() + " " + body);
        ++count_;
        usleep(5000);  // the other tests want the machine, too
      } catch (const Error&) {
        return;  // refused: it has stopped
      }
    }
  }

  const EmberHost& host_;
  std::vector<std::string> acknowledged_;
  std::atomic<std::size_t> count_ = 0;
  std::thread thread_;
};

}  // namespace

TEST_CASE("a version that is slow to stop is waited for, and no commit that it acknowledged is lost") {
  EmberHost host({.drain = 30'000, .disk = {}});
  const sys::ProcessId old = sys::process_now(host.pid());
  REQUIRE(alive(old));
  Writer writer(host);
  const Ran ran = [&] {
    // Killed in the midst of the stop: the old version goes on answering, and so do its commits.
    REQUIRE(killed_when(host, host.words("1.1.0"), "stop", "started"));
    const std::size_t until_stop = writer.count();
    CHECK(killed_when(host, {"resume"}, "keep-database", "started"));
    // What is to be kept is at rest: nobody writes, nobody listens.
    CHECK_FALSE(alive(old));
    CHECK(sys::listeners_on(host.port).empty());
    writer.join();
    CHECK(writer.count() > until_stop);
    host.shell("sed -i s/EMBER_DRAIN=.*/EMBER_DRAIN=0/ home/env");  // of the new one
    return host.relight({"resume"});
  }();
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 0);
  CHECK(host.version() == "1.1.0");
  CHECK(writer.missing() == 0);
  const Ran back = host.relight({"rollback", "--yes"});
  INFO(back.out, back.err);
  CHECK(back.exit == 0);
  CHECK(host.version() == "1.0.0");
  CHECK(writer.missing() == 0);
}
