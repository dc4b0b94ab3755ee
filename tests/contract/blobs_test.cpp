#include <doctest/doctest.h>

#include "runner/sys/process.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/mounted.h"

using namespace relight;

namespace {

struct Blobs : Fixture {
  explicit Blobs(std::string form = "blobs.tar.zst") : form_(std::move(form)) {
    add_neighbours(path("srv"));
    sys::Command command;
    command.argv = {
        "/bin/bash", "-ec",
        "mkdir -p backup src/3f src/empty && cd src && echo one >3f/one && echo three >'with space'\n"
        "head -c 300000 /dev/zero | tr '\\0' x >3f/two && ln 3f/one 3f/same && ln -s one 3f/link\n"
        "chmod 640 3f/one && touch -h -d 2016-01-02T03:04:05Z 3f 3f/* 'with space' empty .\n"
        "find . -type f -exec sha256sum {} + | sed 's, \\./, ,' | sort >../backup/blobs.sha256\n"
        "tar --zstd -cf ../backup/blobs.tar.zst . && cp -a . ../backup/blobs && cd .. && rm -r src"};
    command.cwd = world();
    sys::output_of(command, "cannot prepare a test");
  }
  Json params() const override { return {{"from", path("backup/" + form_)}, {"into", path("srv/blobs")}}; }
  std::vector<std::string> busy() const override { return {"srv"}; }

 private:
  std::string form_;
};

struct OldBlobs : Blobs {
  explicit OldBlobs(const std::string& form = "blobs.tar.zst") : Blobs(form) {
    add_neighbours(path("srv/blobs"));
    add_neighbours(path("srv/blobs/old"));
    sys::make_folders(path("srv/blobs/closed"), 0000);
  }
};

struct FromFolder : OldBlobs {
  FromFolder() : OldBlobs("blobs") {}
};

// Onto a mount point, which is switched entry by entry.
struct OntoMount : Blobs {
  OntoMount() : mounted_(path("srv/blobs")) {
    add_neighbours(path("srv/blobs"));
    add_neighbours(path("srv/blobs/old"));
  }
  std::vector<std::string> busy() const override { return {"srv"}; }

 private:
  const Mounted mounted_;
};

// Into a folder whose parents are not there either.
struct WithParents : Blobs {
  Json params() const override {
    return {{"from", path("backup/blobs.tar.zst")}, {"into", path("srv/a/b/blobs")}, {"owner", "nobody"}};
  }
};

// What came after the copy stays when it was put aside.
struct Keep : Fixture {
  Keep() {
    add_neighbours(path("srv"));
    add_neighbours(path("srv/blobs"));
    write("srv/blobs/one", "one");
  }
  Json params() const override { return {{"path", path("srv/blobs")}}; }
  std::vector<std::string> busy() const override { return {"srv"}; }
  void forget_what_stays(Look& look) const override {
    std::erase_if(look, [](const auto& entry) { return entry.first.find(".relight-") != std::string::npos; });
    // Its mark, too: by it the next undo knows that it is the copy.
    std::string& text = look["srv/blobs"];
    if (const auto at = text.find(" user.relight=new"); at != std::string::npos)
      text.erase(at, text.find(" at ", at) - at);
  }
  Json steady(Json outputs) const override {
    outputs["copy"] = outputs["copy"] != "";
    return outputs;
  }
};

// Somebody has removed the copy, and the backup stands in.
struct KeepGone : Keep {
  KeepGone() {
    for (const char* entry : {"folder", ".hidden", "neighbour", "same", ".link"})
      sys::remove_tree(path(std::string("srv/blobs/") + entry));
    sys::make_folders(path("srv/blobs/3f"), 0711);
    write("srv/blobs/3f/two", std::string(300000, 'x'), 0640);
    sys::make_folders(path("backup"));
  }
  Json params() const override {
    return {{"path", path("srv/blobs")},
            {"archive", path("backup/blobs.tar.zst")},
            {"manifest", path("backup/blobs.sha256")}};
  }
  std::vector<std::string> busy() const override { return {"srv", "srv/blobs", "backup"}; }
  void before_undo() const override {
    sys::Command command;
    command.argv = {"/bin/bash", "-ec",
                    "cd srv/.blobs.relight-* && find . -type f -exec sha256sum {} + | sed 's, \\./, ,' "
                    ">../../backup/blobs.sha256 && tar --zstd -cf ../../backup/blobs.tar.zst . && "
                    "rm -rf $PWD"};
    command.cwd = world();
    sys::output_of(command, "cannot prepare a test");
  }
  void forget_what_stays(Look& look) const override {
    Keep::forget_what_stays(look);
    std::erase_if(look, [](const auto& entry) { return entry.first.starts_with("backup/"); });
  }
};

const Subjects blobs{
    subject<Keep>("blobs.keep", "a folder"),
    subject<KeepGone>("blobs.keep", "a folder, from the backup", 2),
    subject<Blobs>("blobs.restore", "no blobs yet"),
    subject<OldBlobs>("blobs.restore", "in place of others", 3),
    subject<FromFolder>("blobs.restore", "out of a folder", 3),
    subject<OntoMount>("blobs.restore", "onto a mount point", 8),
    subject<WithParents>("blobs.restore", "with their parents, for an owner", 4),
};

}  // namespace

TEST_CASE("the contract of blobs.keep") {
  check_contract("blobs.keep");
}

TEST_CASE("the contract of blobs.restore") {
  check_contract("blobs.restore");
}
