// The files of a custom or directory dump, as pg_dump writes them: a head and the table of contents, which
// tells where the data of each item begin, where the file could be gone back in; then, in a custom one, block
// after block, each a kind, the item's number, and its data in chunks that say how long they are. A chunk of
// length 0 ends the data. (PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c, pg_backup_custom.c.)
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/files.h"

namespace relight::postgres {

// Thrown where the file is not as it should be: cut off, damaged, or of a form that is not known here.
struct NotShown {};

struct DumpItem {
  std::string number, kind, schema, name;
  std::string definition, copy;        // its statements; `copy`: the COPY by which its rows come
  std::optional<std::uint64_t> place;  // of its block in a custom dump; nothing: none, or not told
};

struct DumpHead {
  int version = 0;  // of the format: 12 is PostgreSQL 9.0's, 16 that of 17 and 18
  bool custom = true;
  bool gzip = false;  // how the data are compressed, if they are
};

class DumpFile {
 public:
  explicit DumpFile(const std::string& path);  // a custom dump, or the toc.dat of a directory

  // In this order, each once.
  DumpHead head();
  std::vector<DumpItem> contents(const DumpHead& head);

  std::uint64_t size() const { return size_; }
  bool at_end() const { return at_ == size_; }
  void go_on_to(std::uint64_t place);  // never back
  struct Block {
    bool of_table;  // else of large objects
    std::string number;
  };
  Block block();
  // What is left of a block.
  void pass(const Block& block);
  // The next of its chunks, good until the next call; empty: there are no more.
  std::string_view chunk();

 private:
  int byte();
  std::uint64_t little_endian(int bytes);
  std::int64_t integer();
  std::optional<std::string> text();
  void texts(int count);  // passes them
  void skip(std::int64_t bytes);
  void pass_chunks();
  void fill();

  const std::string path_;
  sys::Fd file_;
  std::string buffer_, chunk_;
  std::uint64_t from_ = 0, at_ = 0, size_ = 0;  // from_: where the buffer's bytes stand
};

}  // namespace relight::postgres
