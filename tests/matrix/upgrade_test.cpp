// An upgrade to each broken release of Ember, on a real PostgreSQL, killed at the passes of its failpoints:
// on the way there and on the way back, which it goes by itself; and the way back by hand from a good one,
// with data that is newer. Gone on with, each ends with the old version and the old data. Without
// RELIGHT_TEST_ALL it is some of the passes, and one of the broken releases, chosen by RELIGHT_SEED.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mount.h>

#include <cstdlib>
#include <optional>

#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "tests/matrix/case.h"
#include "tests/matrix/harness.h"
#include "tests/matrix/world.h"
#include "tests/support/ember_host.h"
#include "tests/support/share.h"

using namespace relight;

namespace {

void need(bool good, const std::string& why) {
  if (!good) throw Broken{why};
}

// A host on which the old version runs, and what comes back to it.
class WayBack {
 public:
  virtual ~WayBack() = default;
  std::vector<Pass> passes;  // of one that nothing disturbs

  // Each begins with a host on which the old version runs, and ends with one.
  virtual void begin(const Crash& crash) = 0;
  virtual void resume(const Crash& crash) = 0;
  virtual void comes_back() = 0;

 protected:
  explicit WayBack(int well) : well_(well) {}

  void free_kept() {
    const Ran freed = run_ == "" ? Ran{} : host_.relight({"keep", "--drop", run_, "--yes"});
    need(freed.exit == 0, "cannot free what was kept: " + freed.out + freed.err);
  }
  void go(std::vector<std::string> words, const Crash& crash) {
    crashing_.expect(crash, {}, left_);
    sys::Command command;
    command.argv = {crashing_program(), "--state", host_.file(host_.state)};
    command.argv.insert(command.argv.end(), words.begin(), words.end());
    command.extra_env[crash_variable] = crashing_.path();
    told_.clear();
    command.capture_stdout = false;
    command.on_output = [&](std::string_view bytes) {
      told_ += bytes;
      told();
    };
    command.stop = [&] {
      crashing_.strike_if_asked();
      return false;
    };
    const sys::Result result = sys::run(command);
    exit_ = result.exit_code;
    need(crashing_.outlived().empty(),
         "process " + crashing_.outlived() + " of an earlier attempt was alive: " + told_);
    left_ = crashing_.alive();
    need(exit_ == 128 + SIGKILL || left_.empty(), "a process of the run was left alive by: " + told_);
    need(exit_ == 128 + SIGKILL || exit_ == well_ || crash.kind != CrashFile::Kind::none, ends());
  }
  void is_back() {
    need(exit_ == well_, ends());
    run_ = host_.status().at("run").get<std::string>();
    need(host_.is_back(), "not as it was: " + told_);
  }
  std::string ends() const { return "it ends " + std::to_string(exit_) + ": " + told_; }
  virtual void told() {}

  EmberHost host_;
  Crashing crashing_;
  std::vector<sys::ProcStat> left_;
  std::string told_, run_;  // by the last start of the program; the run that came back last
  int exit_ = 0;

 private:
  const int well_;  // the exit of one that came back
};

// An upgrade to a release that is broken: there, and back by itself.
class Upgrade : public WayBack {
 public:
  explicit Upgrade(std::string release) : WayBack(3), release_(std::move(release)) {
    begin({});
    comes_back();
    passes = crashing_.passes();
  }

  std::uint32_t of_its_own = 0;  // the first pass that the release has a part in

  void begin(const Crash& crash) override {
    free_kept();
    words_ = host_.words(release_);
    go(words_, crash);
  }
  void resume(const Crash& crash) override {
    if (!was_made())
      go(words_, crash);
    else if (host_.run_state() != "rolled-back")
      go({"resume"}, crash);
  }
  void comes_back() override {
    if (!was_made() || host_.run_state() != "rolled-back") resume({});
    is_back();
  }

 private:
  void told() override {
    if (of_its_own == 0 && told_.find("  ember ") != std::string::npos)
      of_its_own = static_cast<std::uint32_t>(crashing_.passes().size());
  }
  // Killed before that, it has left the run before.
  bool was_made() const {
    const Ran ran = host_.relight({"status", "--json"});
    return ran.exit == 0 && sys::parse_json(ran.out).at("run") != run_;
  }

  const std::string release_;
  std::vector<std::string> words_;
};

// An upgrade that went well, taken back by hand after the new version was written to; `gone`: and after
// somebody has removed what was kept, so that the backup stands in.
class ByHand : public WayBack {
 public:
  explicit ByHand(bool gone = false) : WayBack(0), gone_(gone) {
    begin({});
    comes_back();
    passes = crashing_.passes();
  }

  void begin(const Crash& crash) override {
    free_kept();
    // One backup is enough for all of them.
    std::vector<std::string> words = host_.words("1.1.0");
    if (backup_.empty())
      backup_ = host_.backup;
    else
      words.insert(words.end(), {"--set", "backup=" + backup_, "--set", "max_age=6h"});
    host_.backup = backup_;
    const Ran ran = host_.relight(words);
    need(ran.exit == 0 && host_.version() == "1.1.0", "cannot upgrade: " + ran.out + ran.err);
    need(host_.ask("POST", "/api/notes", R"({"title": "later", "body": "than the upgrade"})").status == 201 &&
             host_.ask("POST", "/api/notes/1/attachments?name=later", "a later blob").status == 201,
         "the new version takes nothing");
    if (gone_) host_.lose_copies();
    go({"rollback", "--yes"}, crash);
  }
  void resume(const Crash& crash) override {
    if (host_.run_state() == "done")
      go({"rollback", "--yes"}, crash);
    else if (host_.run_state() != "rolled-back")
      go({"resume"}, crash);
  }
  // Killed before it was recorded as one, it is no rollback: a resume ends where the run had ended.
  void comes_back() override {
    for (int tries = 0; tries < 2 && host_.run_state() != "rolled-back"; ++tries) resume({});
    // Killed behind its last record, it has come back already.
    if (exit_ == 128 + SIGKILL) exit_ = 0;
    is_back();
    newer_is_kept();
  }

 private:
  void newer_is_kept() const {
    const std::string newer = host_.postgres.value(
        "select coalesce(string_agg(datname, ' '), '') from pg_database where datname like 'relight_old_%'");
    need(newer != "" && newer.find(' ') == std::string::npos, "the databases kept aside: " + newer);
    host_.postgres.execute("alter database \"" + newer + "\" allow_connections true");
    need(host_.postgres.value("select count(*) from notes where title = 'later'", newer) == "1",
         "the later note is not kept aside");
    sys::Command command;
    command.argv = {"/bin/sh", "-c", "grep -rqx 'a later blob' .blobs.relight-*"};
    command.cwd = host_.home;
    need(sys::run(command).ok(), "the later blob is not kept aside");
  }

  const bool gone_;
  std::string backup_;
};

Crash killed(std::uint32_t at) {
  constexpr auto with_keeper = CrashFile::relight | CrashFile::keeper;
  constexpr std::uint32_t victims[] = {CrashFile::relight, with_keeper, with_keeper | CrashFile::passer};
  return {
      .kind = CrashFile::Kind::kill, .at = at, .victims = victims[drawn("victims " + std::to_string(at), 3)]};
}

// One of so many passes, from `from` on; of every second one the resume is killed, too.
void kill_all_over(WayBack& way, const std::string& name, std::uint32_t from, std::uint32_t one_of) {
  for (std::uint32_t at = from; at <= way.passes.size(); ++at) {
    const std::string what = name + " killed at " + std::to_string(at);
    if (!chosen(what, one_of)) continue;
    try_case(what + ", " + way.passes[at - 1].name, [&] {
      way.begin(killed(at));
      if (at % 2 == 0) way.resume(killed(1 + drawn(what, static_cast<std::uint32_t>(way.passes.size()))));
      way.comes_back();
    });
  }
}

// Nothing where RELIGHT_CASE asks for another.
template <class Way, class... Args>
std::optional<Way> undisturbed(const std::string& name, Args... args) {
  const char* const wanted = std::getenv("RELIGHT_CASE");
  if (wanted != nullptr && !std::string(wanted).starts_with(name)) return std::nullopt;
  try {
    return std::optional<Way>(std::in_place, args...);
  } catch (const Broken& broken) {
    FAIL("undisturbed: ", broken.why);
  }
  return std::nullopt;
}

bool prepare() {
  if (!in_own_mounts()) return false;
  REQUIRE(mount("none", "/var/tmp", "tmpfs", 0, "size=2g,mode=1777") == 0);
  return true;
}

}  // namespace

TEST_CASE(
    "an upgrade that is killed anywhere, there or on its way back, ends with the old version and data") {
  if (!prepare()) return;
  const std::string releases[] = {"1.2.0-migration", "1.2.0-health", "1.2.0-exits", "1.2.0-corrupts"};
  const std::uint32_t one = drawn("release", 4);
  for (std::uint32_t i = 0; i < 4; ++i) {
    if (!try_all() && i != one) continue;
    // What comes before the new version is started is the same of every release.
    if (auto way = undisturbed<Upgrade>(releases[i], releases[i]))
      kill_all_over(*way, releases[i], !try_all() || i == 3 ? 1 : way->of_its_own, 125);
  }
}

TEST_CASE(
    "a rollback by hand that is killed anywhere ends with the old version and data, and keeps the newer") {
  if (!prepare()) return;
  if (auto way = undisturbed<ByHand>("by hand")) kill_all_over(*way, "by hand", 1, 100);
}

TEST_CASE(
    "a rollback by hand whose copies are gone ends with the old version and the backup's data, killed "
    "anywhere") {
  if (!prepare()) return;
  if (auto way = undisturbed<ByHand>("from the backup", true)) kill_all_over(*way, "from the backup", 1, 60);
}
