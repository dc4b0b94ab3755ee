// A journal in memory, which a test can refuse, tear and look into; and a journal's bytes made of bodies.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "runner/journal/writer.h"
#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"

namespace relight {

struct MemoryDisk {
  std::string bytes;
  std::vector<std::string> calls;  // "append", "sync", "reserve N"
  bool refuse_append = false, refuse_sync = false;
  std::uint64_t room = ~0ull;

  std::unique_ptr<JournalFile> open();
};

class MemoryJournal : public JournalFile {
 public:
  explicit MemoryJournal(MemoryDisk& disk) : disk_(disk) {}

  void append(std::string_view bytes) override {
    disk_.calls.push_back("append");
    if (disk_.refuse_append) throw Error(ErrorKind::permanent, "cannot write", "disk", "it is full");
    disk_.bytes += bytes;
  }
  void sync() override {
    disk_.calls.push_back("sync");
    if (disk_.refuse_sync) throw Error(ErrorKind::permanent, "cannot sync", "disk", "it is broken");
  }
  void reserve(std::uint64_t bytes) override {
    disk_.calls.push_back("reserve " + std::to_string(bytes));
    if (bytes > disk_.room) throw Error(ErrorKind::transient, "cannot reserve", "disk", "it is full");
  }

 private:
  MemoryDisk& disk_;
};

inline std::unique_ptr<JournalFile> MemoryDisk::open() {
  return std::make_unique<MemoryJournal>(*this);
}

// The bytes of a journal whose batches these are.
inline std::string journal_of(const std::vector<std::vector<Json>>& batches) {
  MemoryDisk disk;
  JournalWriter writer(disk.open(), {});
  for (const std::vector<Json>& batch : batches) {
    for (const Json& body : batch) writer.add(body);
    writer.flush();
  }
  return disk.bytes;
}

inline Json opened() {
  return {{"kind", "opened"}, {"format", 1},       {"program", "relight 0.1.0"},
          {"run", "r1"},      {"runbook", "book"}, {"plan", "digest"},
          {"drill", false}};
}

}  // namespace relight
