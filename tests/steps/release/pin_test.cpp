#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "steps/release/lib/checksums.h"
#include "tests/support/crash.h"
#include "tests/support/error.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const StepType& type() {
  return type_named("release.pin");
}

// A place where releases lie, and one where they are pinned.
struct Site {
  Site() { sys::make_folders(from()); }
  std::string from() const { return folder.path() + "/releases"; }
  std::string into() const { return folder.path() + "/opt/app"; }
  std::string link() const {
    char text[256];
    const ssize_t size = readlink((into() + "/current").c_str(), text, sizeof text);
    return size < 0 ? "" : std::string(text, static_cast<std::size_t>(size));
  }
  void make_folder(const std::string& version) const {
    const std::string tree = from() + "/app-" + version;
    sys::make_folders(tree + "/bin");
    sys::write_file(tree + "/bin/app", "#!/bin/sh\necho " + version + "\n", 0755);
    sys::write_file(tree + "/LICENCE", "free", 0644);
  }
  // `arguments` of tar decide whether the members stand in a folder of their own.
  void make_archive(const std::string& version, const std::string& end, bool with_folder) const {
    make_folder(version);
    sys::Command tar;
    tar.argv = {"tar",
                "-C",
                with_folder ? from() : from() + "/app-" + version,
                "--auto-compress",
                "-cf",
                from() + "/app-" + version + end,
                with_folder ? "app-" + version : "."};
    sys::output_of(tar, "test setup");
    sys::remove_tree(from() + "/app-" + version);
  }
  void sum(const std::string& text) const { sys::write_file(from() + "/SHA256SUMS", text, 0644); }

  Json json(const std::string& version) const {
    return {{"product", "app"}, {"version", version}, {"from", from()}, {"into", into()}};
  }
  template <class Act>
  auto with(const std::string& version, const std::string& step, Act act) const {
    TestParams params(type(), json(version).dump());
    DurableCall call(step, folder.path() + "/notes-" + step);
    return act(*type().make(), params, call);
  }
  Json apply(const std::string& version, const std::string& step = "release") const {
    return with(version, step,
                [](const Step& pin, const Params& params, Call& call) { return pin.apply(params, call); });
  }
  void undo(const std::string& version, const std::string& step = "release") const {
    with(version, step,
         [](const Step& pin, const Params& params, Call& call) { pin.undo(params, call, nullptr); });
  }
  Preview preview(const std::string& version, bool full = false) const {
    return with(version, "release", [full](const Step& pin, const Params& params, DurableCall& call) {
      call.preview_only = true;
      call.full = full;
      return pin.preview(params, call);
    });
  }
  std::string digest(const std::string& version) const {
    return with(version, "release", [](const Step& pin, const Params& params, Call& call) {
      return pin.state_digest(params, call);
    });
  }
  sys::TempFolder folder;
};

}  // namespace

TEST_CASE("releases lie side by side, and the link says which is current") {
  const Site site;
  site.make_folder("1.0.0");
  site.make_folder("1.1.0");
  const Preview preview = site.preview("1.0.0");
  CHECK(preview.problems.empty());
  CHECK(preview.hints ==
        std::vector<std::string>{site.from() + "/app-1.0.0 is taken as it is: no SHA256SUMS lists it"});
  CHECK_FALSE(sys::exists(site.folder.path() + "/opt"));
  const std::string before = site.digest("1.0.0");

  CHECK(site.apply("1.0.0") == Json({{"before", ""},
                                     {"version", "1.0.0"},
                                     {"changed", true},
                                     {"path", site.into() + "/releases/1.0.0"}}));
  CHECK(site.link() == "releases/1.0.0");
  CHECK(sys::read_file(site.into() + "/current/bin/app") == "#!/bin/sh\necho 1.0.0\n");
  struct stat status {};
  REQUIRE(stat((site.into() + "/current/bin/app").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0755);
  const std::string after = site.digest("1.0.0");
  site.apply("1.0.0");
  CHECK(site.digest("1.0.0") == after);
  CHECK(site.preview("1.0.0").verdict == Preview::Verdict::nothing_to_do);

  const Json second = site.apply("1.1.0", "upgrade");
  CHECK(second["before"] == "1.0.0");
  CHECK(second["changed"] == true);
  CHECK(site.link() == "releases/1.1.0");
  CHECK(site.apply("1.1.0", "again")["changed"] == false);
  site.undo("1.1.0", "again");
  CHECK(site.link() == "releases/1.1.0");

  site.undo("1.1.0", "upgrade");
  CHECK(site.link() == "releases/1.0.0");
  CHECK_FALSE(sys::exists(site.into() + "/releases/1.1.0"));
  site.undo("1.0.0");
  CHECK(site.digest("1.0.0") == before);
  CHECK_FALSE(sys::exists(site.folder.path() + "/opt"));
  site.undo("1.0.0");
  CHECK(site.digest("1.0.0") == before);
}

TEST_CASE("archives, with and without a folder of their own") {
  for (const char* end : {".tar.gz", ".tar.zst"})
    for (const bool with_folder : {true, false}) {
      CAPTURE(end);
      CAPTURE(with_folder);
      const Site site;
      site.make_archive("1.4.2", end, with_folder);
      const std::string archive = site.from() + "/app-1.4.2" + end;
      site.sum(sys::sha256_file(archive) + "  app-1.4.2" + end + "\n");
      CHECK(site.preview("1.4.2", true).problems.empty());
      CHECK(site.preview("1.4.2").hints.empty());
      site.apply("1.4.2");
      CHECK(sys::read_file(site.into() + "/current/bin/app") == "#!/bin/sh\necho 1.4.2\n");
      CHECK_FALSE(sys::exists(site.into() + "/current/app-1.4.2"));
    }
}

TEST_CASE("a release that is damaged, unlisted or not there changes nothing") {
  const Site site;
  site.make_archive("1.0.0", ".tar.gz", false);
  CHECK(site.preview("2.0.0").problems.at(0).what == "no such release");
  CHECK(told_error([&] {
          site.apply("2.0.0");
        }).starts_with("refused: no such release: " + site.from() + "/app-2.0.0"));

  site.sum(std::string(64, '0') + "  app-9.tar.gz\n");
  CHECK(told_error([&] { site.apply("1.0.0"); }) == "refused: cannot trust the release: " + site.from() +
                                                        "/app-1.0.0.tar.gz: its checksum is missing from " +
                                                        site.from() + "/SHA256SUMS");
  site.sum(std::string(64, '0') + "  app-1.0.0.tar.gz\n");
  CHECK(site.preview("1.0.0").problems.at(0).what == "the release is damaged");
  CHECK(told_error([&] {
          site.apply("1.0.0");
        }).starts_with("permanent: the release is damaged: " + site.from()));
  CHECK_FALSE(sys::exists(site.into() + "/releases/1.0.0"));
  CHECK(site.link() == "");

  const Site folders;
  folders.make_folder("1.0.0");
  const std::string tree = folders.from() + "/app-1.0.0";
  const auto listed = [&](const std::string& file) {
    return sys::sha256_file(tree + "/" + file) + "  ./" + file + "\n";
  };
  sys::write_file(tree + "/SHA256SUMS", listed("bin/app"), 0644);
  CHECK(told_error([&] { folders.apply("1.0.0"); }) ==
        "permanent: cannot trust the release: " + tree + "/LICENCE: its checksum is missing");
  sys::write_file(tree + "/SHA256SUMS",
                  listed("bin/app") + listed("LICENCE") + std::string(64, '0') + "  gone\n", 0644);
  CHECK(folders.preview("1.0.0", true).problems.at(0).on == tree + "/gone");
  CHECK(told_error([&] { folders.apply("1.0.0"); }).find("it is listed, but not there") != std::string::npos);
  sys::write_file(tree + "/SHA256SUMS", listed("bin/app") + listed("LICENCE"), 0644);
  sys::write_file(tree + "/LICENCE", "fre3", 0644);
  CHECK(told_error([&] {
          folders.apply("1.0.0");
        }).starts_with("permanent: the release is damaged: " + tree + "/LICENCE"));
  CHECK(folders.link() == "");
}

TEST_CASE("a release that is too large for a quick plan is compared in full depth") {
  const Site site;
  const std::string large = site.from() + "/app-1.0.0.tar.gz";
  sys::write_file(large, "", 0644);
  site.sum(std::string(64, '0') + "  app-1.0.0.tar.gz\n");
  const int fd = open(large.c_str(), O_WRONLY | O_CLOEXEC);
  REQUIRE(posix_fallocate(fd, 0, 257 << 20) == 0);
  close(fd);
  CHECK(site.preview("1.0.0").problems.empty());
  CHECK(site.preview("1.0.0").hints ==
        std::vector<std::string>{"its checksums are compared when it is brought, or now with --depth full"});
  CHECK(site.preview("1.0.0", true).problems.at(0).what == "the release is damaged");
  std::filesystem::resize_file(large, 1 << 20);
  CHECK(site.preview("1.0.0").problems.at(0).what == "the release is damaged");
}

TEST_CASE("what is no exact version is refused") {
  const Site site;
  CHECK(told_error([&] { site.apply("latest"); }) ==
        "refused: not a pinned version: latest: what it stands for changes, and a backup belongs to the "
        "version that made it");
  CHECK(site.preview("stable").problems.at(0).what == "not a pinned version");
  for (const char* version : {"../1.0", "1.*", "", ".", "-1", "1 0"})
    CHECK(told_error([&] { site.apply(version); }).starts_with("refused: not a version: "));
  sys::make_folders(site.into() + "/current");
  site.make_folder("1.0.0");
  CHECK(site.preview("1.0.0").problems.at(0).why == "it is there and is no link");
  CHECK(told_error([&] { site.apply("1.0.0"); }).starts_with("refused: cannot pin a release: "));
}

TEST_CASE("undo leaves a link that somebody moved since, and a release that was there before") {
  const Site site;
  site.make_folder("1.0.0");
  site.make_folder("1.1.0");
  site.apply("1.0.0");
  site.apply("1.1.0", "upgrade");
  site.apply("1.0.0", "person");
  site.undo("1.1.0", "upgrade");
  CHECK(site.link() == "releases/1.0.0");
  CHECK(sys::exists(site.into() + "/releases/1.0.0"));
  site.undo("1.0.0", "person");
  CHECK(sys::exists(site.into() + "/releases/1.0.0"));
}

TEST_CASE("a list of checksums is read as sha256sum writes it") {
  const std::string sum(64, 'A'), low(64, 'a');
  const auto sums = parse_checksums(sum + "  a b\r\n\n" + low + " *./c\n", "S");
  CHECK(sums.at("a b") == low);
  CHECK(sums.at("c") == low);
  CHECK(told_error([&] { parse_checksums(low + "  a\n" + low.substr(1) + "  b\n", "/x/S"); }) ==
        "refused: cannot read the checksums: /x/S: line 2 is not \"SHA256  NAME\"");
}
