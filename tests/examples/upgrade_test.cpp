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
