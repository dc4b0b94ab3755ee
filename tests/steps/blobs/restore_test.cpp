#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "tests/support/crash.h"
#include "tests/support/mounted.h"

using namespace relight;

namespace {

void shell(const std::string& text, const std::string& cwd) {
  sys::Command command;
  command.argv = {"/bin/bash", "-ec", text};
  command.cwd = cwd;
  sys::output_of(command, "cannot prepare a test");
}

// A folder of blobs, its manifest, and older blobs in its place.
struct Bench {
  sys::TempFolder temp;
  std::string root = temp.path(), backup = root + "/backup", into = root + "/srv/blobs",
              notes = root + "/notes";
  const StepType& type = type_named("blobs.restore");
  std::unique_ptr<Step> step = type.make();
  std::string from = backup + "/blobs.tar.zst";

  Bench() {
    shell(
        "mkdir -p srv/blobs/old backup src/3f src/empty && echo before >srv/blobs/old/a && chmod 750 "
        "srv/blobs\n"
        "cd src && echo one >3f/one && head -c 300000 /dev/zero | tr '\\0' x >3f/two && echo 'three' >'with "
        "space'\n"
        "ln 3f/one 3f/same && chmod 640 3f/one && touch -d 2024-01-02T03:04:05Z 3f/one\n"
        "find . -type f -exec sha256sum {} + | sed 's, \\./, ,' | sort >../backup/blobs.sha256\n"
        "tar -cf ../backup/blobs.tar * && gzip -k ../backup/blobs.tar && zstd -q ../backup/blobs.tar\n"
        "zip -qr ../backup/blobs.zip . && cp -a . ../backup/blobs",
        root);
  }
  std::string json(const std::string& more = "") const {
    return R"({"from":")" + from + R"(","into":")" + into + "\"" + (more.empty() ? "" : "," + more) + "}";
  }
  Preview preview(const std::string& more = "", bool full = false) const {
    DurableCall call("blobs", notes);
    call.preview_only = true;
    call.full = full;
    const std::string before = sys::tree_digest(root);
    Preview result = step->preview(TestParams(type, json(more)), call);
    CHECK(sys::tree_digest(root) == before);
    return result;
  }
  Json apply(const std::string& more = "") const {
    DurableCall call("blobs", notes);
    return step->apply(TestParams(type, json(more)), call);
  }
  void undo() const {
    DurableCall call("blobs", notes);
    step->undo(TestParams(type, json()), call, nullptr);
  }
  std::string state() const {
    DurableCall call("blobs", notes);
    return step->state_digest(TestParams(type, json()), call);
  }
  Error refusal(const std::string& more = "") const {
    try {
      apply(more);
    } catch (const Error& error) {
      return error;
    }
    FAIL("nothing was refused");
    return Error(ErrorKind::permanent, "", "", "");
  }
  std::size_t in_parent() const {
    std::size_t entries = 0;
    sys::walk(root + "/srv",
              [&](const sys::Entry& entry) { entries += entry.path.find('/') == std::string::npos; });
    return entries;
  }
  void check_new() const {
    CHECK(sys::read_file(into + "/3f/one") == "one\n");
    CHECK(sys::read_file(into + "/3f/same") == "one\n");
    CHECK(sys::read_file(into + "/3f/two") == std::string(300000, 'x'));
    CHECK(sys::read_file(into + "/with space") == "three\n");
    CHECK_FALSE(sys::exists(into + "/old"));
  }
};

}  // namespace

TEST_CASE("blobs come back from every form of backup, and go again") {
  for (const char* form : {"blobs.tar", "blobs.tar.gz", "blobs.tar.zst", "blobs.zip", "blobs"}) {
    CAPTURE(form);
    Bench bench;
    bench.from = bench.backup + "/" + form;
    const std::string before = bench.state();

    for (const bool full : {false, true}) {
      const Preview preview = bench.preview("", full);
      CHECK(preview.verdict == Preview::Verdict::would_change);
      CHECK(preview.problems.empty());
      CHECK(preview.hints.empty());
      CHECK(preview.summary.find("4 files, 300 kB") != std::string::npos);
      CHECK(preview.space.at(bench.root + "/srv") >= 300000);
      REQUIRE(preview.keeps.size() == 1);
    }
    const Json outputs = bench.apply();
    CHECK(outputs["files"] == 4);
    CHECK(outputs["into"] == bench.into);
    bench.check_new();
    CHECK(sys::exists(bench.into + "/empty"));

    const std::string after = bench.state();
    CHECK(bench.apply() == outputs);
    CHECK(bench.state() == after);
    CHECK(bench.preview().verdict == Preview::Verdict::nothing_to_do);

    bench.undo();
    CHECK(bench.state() == before);
    bench.undo();
    CHECK(bench.state() == before);
    CHECK(bench.in_parent() == 1);
  }
}

TEST_CASE("modes and times are the backup's; the folder itself keeps its own where the backup has none") {
  Bench bench;
  bench.apply();
  struct stat status;
  REQUIRE(stat((bench.into + "/3f/one").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0640);
  CHECK(status.st_mtime == 1704164645);
  REQUIRE(stat(bench.into.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0750);
}

TEST_CASE("everything is given to the owner") {
  if (geteuid() != 0) return;
  Bench bench;
  bench.apply(R"("owner":"nobody")");
  const unsigned nobody = sys::user_named("nobody").uid;
  struct stat status;
  REQUIRE(stat(bench.into.c_str(), &status) == 0);
  CHECK(status.st_uid == nobody);
  sys::walk(bench.into, [&](const sys::Entry& entry) { CHECK(entry.owner.uid == nobody); });

  const Preview preview = bench.preview(R"("owner":"no-such-user")");
  CHECK(preview.verdict == Preview::Verdict::nothing_to_do);
}

TEST_CASE("an owner who is not there yet is told by the plan and refused by the step") {
  Bench bench;
  const std::string before = sys::tree_digest(bench.root + "/srv");
  const Preview preview = bench.preview(R"("owner":"no-such-user")");
  CHECK(preview.verdict == Preview::Verdict::cannot_yet_tell);
  REQUIRE(preview.hints.size() == 1);
  CHECK(bench.refusal(R"("owner":"no-such-user")").kind == ErrorKind::refused);
  CHECK(sys::tree_digest(bench.root + "/srv") == before);
}

TEST_CASE("a folder within the backup") {
  Bench bench;
  shell(
      "mv src blobs && tar -cf backup/whole.tar --transform 's,^,srv/,' blobs && cp backup/blobs.sha256 "
      "backup/whole.sha256",
      bench.root);
  bench.from = bench.backup + "/whole.tar";
  const Preview preview = bench.preview(R"("inside":"srv/blobs/")");
  CHECK(preview.problems.empty());
  CHECK(bench.apply(R"("inside":"srv/blobs/")")["files"] == 4);
  bench.check_new();

  Bench other;
  other.from = bench.from;
  REQUIRE(other.preview(R"("inside":"nowhere")").problems.size() == 1);
  CHECK(other.preview(R"("inside":"nowhere")").problems[0].why == "it holds no folder nowhere");
}

TEST_CASE("no folder of blobs yet: its parents are made, and removed by undo") {
  Bench bench;
  bench.into = bench.root + "/a/b/blobs";
  const std::string before = sys::tree_digest(bench.root + "/srv");
  CHECK(bench.preview().keeps.empty());
  bench.apply();
  bench.check_new();
  bench.undo();
  CHECK_FALSE(sys::exists(bench.root + "/a"));
  CHECK(sys::tree_digest(bench.root + "/srv") == before);
}

TEST_CASE("a file that is missing, too many or different is named, and nothing is replaced") {
  struct Damage {
    const char* how;
    const char* told;
    bool by_names;  // the plan's quick depth sees it
  };
  for (const Damage& damage : {
           Damage{"echo One >src/3f/one", "different: 3f/one, 3f/same", false},
           Damage{"rm 'src/with space'", "missing: with space", true},
           Damage{"echo x >src/3f/x", "not in the manifest: 3f/x", true},
           Damage{"mv src/3f/two src/3f/zwei", "missing: 3f/two; not in the manifest: 3f/zwei", true},
       }) {
    CAPTURE(damage.how);
    Bench bench;
    shell(std::string(damage.how) + "; tar -C src -cf - . | zstd -q -f -o backup/blobs.tar.zst", bench.root);
    CHECK(bench.preview().problems.empty() == !damage.by_names);
    CHECK_FALSE(bench.preview("", true).problems.empty());
    const std::string before = sys::tree_digest(bench.root + "/srv");
    const Error error = bench.refusal();
    CHECK(error.kind == ErrorKind::permanent);
    CHECK(error.failed == "the blobs are not those of their manifest");
    CHECK(error.why == damage.told);
    CHECK(sys::tree_digest(bench.root + "/srv") == before);
    CHECK(bench.in_parent() == 1);
  }
}

TEST_CASE("a byte flipped in the archive after the plan was made fails the step, and nothing is replaced") {
  for (const char* form : {"blobs.tar", "blobs.tar.gz", "blobs.tar.zst", "blobs.zip", "blobs"}) {
    CAPTURE(form);
    Bench bench;
    bench.from = bench.backup + "/" + form;
    CHECK(bench.preview().problems.empty());
    const std::string file = bench.from + (std::string(form) == "blobs" ? "/3f/two" : "");
    std::string bytes = sys::read_file(file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x40);
    sys::write_file(file, bytes, 0600);
    CHECK_FALSE(bench.preview("", true).problems.empty());
    const std::string before = bench.state();
    CHECK_FALSE(bench.refusal().why.empty());
    CHECK(bench.state() == before);
    CHECK(bench.in_parent() == 1);
  }
}

TEST_CASE("a truncated archive is refused") {
  for (const char* form : {"blobs.tar", "blobs.tar.gz", "blobs.tar.zst", "blobs.zip"}) {
    CAPTURE(form);
    Bench bench;
    bench.from = bench.backup + "/" + form;
    const std::string bytes = sys::read_file(bench.from);
    sys::write_file(bench.from, bytes.substr(0, bytes.size() * 2 / 3), 0600);
    CHECK_FALSE(bench.preview().problems.empty());
    const std::string before = bench.state();
    bench.refusal();
    CHECK(bench.state() == before);
    CHECK(bench.in_parent() == 1);
  }
}

TEST_CASE("without a manifest the plan says what that means; a given one must be there") {
  Bench bench;
  sys::remove_file(bench.backup + "/blobs.sha256");
  CHECK(bench.preview().problems.empty());
  REQUIRE(bench.preview().hints.size() == 1);
  CHECK(bench.preview().hints[0].find("there is no manifest") == 0);
  CHECK_FALSE(bench.preview(R"("manifest":"/nowhere/m")").problems.empty());
  bench.apply();
  bench.check_new();
}

TEST_CASE("what cannot be restored from or into is refused by the plan") {
  Bench bench;
  const auto why = [&](const std::string& more = "") {
    const Preview preview = bench.preview(more);
    REQUIRE(preview.problems.size() == 1);
    return preview.problems[0].why;
  };
  bench.from = bench.backup + "/none.tar";
  CHECK(why() == "it is not there");
  bench.from = bench.backup + "/blobs.sha256";
  CHECK(why() == "it is neither a folder nor an archive by its name");

  bench.from = bench.backup + "/blobs.tar";
  bench.into = bench.root + "/link";
  REQUIRE(symlink((bench.root + "/srv/blobs").c_str(), bench.into.c_str()) == 0);
  CHECK(why() == "it is a symbolic link");
  CHECK(bench.refusal().kind == ErrorKind::refused);
  bench.into = bench.notes;
  sys::write_file(bench.notes, "{}", 0600);
  CHECK(why() == "it is not a folder");

  bench.into = bench.root + "/mounted";
  const Mounted outer(bench.into), inner(bench.into + "/inner");
  CHECK(why() == inner.path() + " within it is a mount point of its own, which cannot be moved");
  const std::string before = bench.state();
  CHECK(bench.refusal().kind == ErrorKind::refused);
  CHECK(bench.state() == before);
}

TEST_CASE("blobs in a mount point are switched by their entries, killed anywhere, and switched back") {
  std::vector<std::string> names, back;
  for (const auto kind : {Mounted::Kind::tmpfs, Mounted::Kind::ext4}) {
    Bench bench;
    bench.into = bench.root + "/mounted";
    const Mounted mounted(bench.into, kind);
    sys::write_file(bench.into + "/a", "before\n", 0600);
    const std::string before = bench.state();
    const Preview preview = bench.preview();
    CHECK(preview.problems.empty());
    REQUIRE(preview.hints.size() == 1);
    CHECK(preview.hints[0].starts_with("not atomic: " + bench.into + " is a mount point"));
    CHECK(preview.space.contains(bench.into));
    names = failpoints_of([&] { bench.apply(); });
    bench.check_new();
    CHECK_FALSE(sys::exists(bench.into + "/a"));
    CHECK(bench.preview().verdict == Preview::Verdict::nothing_to_do);
    back = failpoints_of([&] { bench.undo(); });
    CHECK(bench.state() == before);
  }
  REQUIRE(names.size() >= 11);
  REQUIRE(back.size() >= 8);
  for (const std::string& name : names) {
    CAPTURE(name);
    Bench bench;
    bench.into = bench.root + "/mounted";
    const Mounted mounted(bench.into);
    sys::write_file(bench.into + "/a", "before\n", 0600);
    const std::string before = bench.state();
    REQUIRE(killed_at(name, [&] { bench.apply(); }));
    bench.apply();
    bench.check_new();
    bench.undo();
    CHECK(bench.state() == before);
    sys::remove_file(bench.notes);
    REQUIRE(killed_at(name, [&] { bench.apply(); }));
    bench.undo();
    CHECK(bench.state() == before);
  }
  for (const std::string& name : back) {
    CAPTURE(name);
    Bench bench;
    bench.into = bench.root + "/mounted";
    const Mounted mounted(bench.into);
    sys::write_file(bench.into + "/a", "before\n", 0600);
    const std::string before = bench.state();
    bench.apply();
    REQUIRE(killed_at(name, [&] { bench.undo(); }));
    bench.undo();
    CHECK(bench.state() == before);
  }
}

TEST_CASE("what is kept is told, and freed by discard") {
  Bench bench;
  bench.apply();
  DurableCall call("blobs", bench.notes);
  const TestParams params(bench.type, bench.json());
  const Json kept = bench.step->kept(params, call, nullptr);
  REQUIRE(kept.size() == 1);
  CHECK(kept[0]["bytes"] > 0);
  bench.step->discard(params, call, nullptr);
  bench.step->discard(params, call, nullptr);
  CHECK(bench.in_parent() == 1);
  CHECK(bench.step->kept(params, call, nullptr).empty());
  bench.check_new();
}
