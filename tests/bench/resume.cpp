#include "tests/bench/resume.h"

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/process.h"
#include "tests/bench/measure.h"

namespace relight::bench {
namespace {

constexpr std::uint64_t all_bytes = 2ull << 30;
constexpr int rounds = 5;

// Blobs of 16 KiB to 16 MiB, half of each without an order that could be compressed. Returns their bytes.
std::uint64_t make_blobs(const std::string& folder) {
  std::mt19937_64 random(1);
  std::uint64_t bytes = 0;
  for (int i = 0; bytes < all_bytes; ++i) {
    std::string blob(std::size_t{16384} << (2 * (i % 6)), ' ');
    for (std::size_t at = 0; at < blob.size(); at += 8) {
      const std::uint64_t word = (at >> 12) % 2 == 0 ? random() : 0x3031323334353637 + (at >> 10);
      blob.replace(at, 8, reinterpret_cast<const char*>(&word), 8);
    }
    const std::string name = fmt::format("{}/{:02x}/{}", folder, i % 64, i);
    sys::make_folders(sys::parent_of(name));
    sys::write_file(name, blob, 0644);
    bytes += blob.size();
  }
  return bytes;
}

void shell(const std::string& line, const std::string& cwd) {
  sys::Command command;
  command.argv = {"/bin/sh", "-ec", line};
  command.cwd = cwd;
  sys::output_of(command, "cannot prepare the benchmark");
}

struct Restore {
  sys::TempFolder temp{"/var/tmp"};
  std::string root = temp.path(), book = root + "/book.lua", srv = root + "/srv", into = srv + "/blobs";
  std::uint64_t bytes = 0;

  explicit Restore(const std::string& form) {
    bytes = make_blobs(root + "/blobs");
    shell("cd blobs; find . -type f -exec sha256sum {} + >../blobs.sha256", root);
    std::string from = "blobs";
    if (form == "zip") shell("cd blobs; zip -q -1 -r ../" + (from = "blobs.zip") + " .", root);
    if (form == "zst") shell("tar -C blobs -c . | zstd -q -o " + (from = "blobs.tar.zst"), root);
    if (form == "gz") shell("tar -C blobs -c . | gzip -1 >" + (from = "blobs.tar.gz"), root);
    sys::write_file(
        book,
        fmt::format("runbook \"resume\" {{}}\nblobs.restore \"blobs\" {{ from = \"{}\", into = \"{}\" }}\n",
                    root + "/" + from, into),
        0644);
  }
  // Nothing of a restore before this one is left, or still on its way to the disk.
  void clear() const {
    sys::remove_tree(srv);
    sys::remove_tree(root + "/state");
    sys::make_folders(srv);
    ::sync();
  }
  std::vector<std::string> command(const std::string& word) const {
    std::vector<std::string> argv = {RELIGHT_PROGRAM, "--state", root + "/state", word, "--yes"};
    if (word == "run") argv.push_back(book);
    return argv;
  }
  std::uint64_t written() const {
    std::uint64_t sum = 0;
    try {
      sys::walk(srv, [&](const sys::Entry& entry) { sum += entry.size; });
    } catch (const Error&) {  // it changes under our eyes
    }
    return sum;
  }
  void killed_at(double part) const {
    kill_when(
        command("run"), [&] { return static_cast<double>(written()) >= part * static_cast<double>(bytes); },
        std::chrono::milliseconds(5));
  }
};

}  // namespace

int resume(const std::string& form, double target) {
  const Restore restore(form);
  compare(
      "resume-" + form, target, rounds,
      [&] {
        restore.clear();
        restore.killed_at(0.9);
        return seconds_of(restore.command("resume"));
      },
      [&] {
        restore.clear();
        return seconds_of(restore.command("run"));
      });
  restore.clear();
  restore.killed_at(0.5);
  seconds_of(restore.command("resume"));
  shell("diff -r blobs srv/blobs", restore.root);
  return 0;
}

}  // namespace relight::bench
