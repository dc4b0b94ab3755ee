#include "steps/postgres/lib/dump_blocks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

namespace relight::postgres {
namespace {

// Versions of the format: 1.12 is PostgreSQL 9.0's, 1.16 that of 17 and 18.
constexpr int oldest = 12, with_access_method = 14, with_algorithm = 15, with_kind_of_relation = 16;

struct NotShown {};

void must(bool holds) {
  if (!holds) throw NotShown();
}

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat status {};
    if (!file_ || fstat(file_.get(), &status) != 0) throw system_error(errno, "cannot read the dump", path);
    size_ = static_cast<std::uint64_t>(status.st_size);
  }

  bool at_end() const { return at_ == size_; }
  void go_to(std::uint64_t place) {
    must(place >= at_ && place <= size_);
    at_ = place;
  }
  void skip(std::int64_t bytes) {
    must(bytes >= 0 && static_cast<std::uint64_t>(bytes) <= size_ - at_);
    at_ += static_cast<std::uint64_t>(bytes);
  }
  int byte() {
    if (at_ < from_ || at_ >= from_ + buffer_.size()) fill();
    return static_cast<unsigned char>(buffer_[at_++ - from_]);
  }
  std::uint64_t little_endian(int bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value |= static_cast<std::uint64_t>(byte()) << (8 * i);
    return value;
  }
  // A sign, and as many bytes as the head says.
  void integers_have(int bytes) { integer_bytes_ = bytes; }
  std::int64_t integer() {
    const bool negative = byte() != 0;
    const auto value = static_cast<std::int64_t>(little_endian(integer_bytes_) & INT64_MAX);
    return negative ? -value : value;
  }
  bool pass_text() {  // false: there is none
    const std::int64_t length = integer();
    if (length >= 0) skip(length);
    return length >= 0;
  }
  void pass_texts(int count) {
    while (count-- > 0) pass_text();
  }

 private:
  void fill() {
    constexpr std::size_t at_once = 256u << 10;
    buffer_.resize(at_once);
    const ssize_t got = pread(file_.get(), buffer_.data(), at_once, static_cast<off_t>(at_));
    if (got < 0) throw system_error(errno, "cannot read the dump", path_);
    buffer_.resize(static_cast<std::size_t>(got));
    from_ = at_;
    must(got > 0);
  }

  const std::string& path_;
  sys::Fd file_;
  std::string buffer_;
  std::uint64_t from_ = 0, at_ = 0, size_ = 0;  // from_: where the buffer's bytes stand
  int integer_bytes_ = 4;
};

// Returns the version.
int pass_head(Reader& reader) {
  constexpr int custom = 1, parts_of_time = 7;
  for (const char c : std::string("PGDMP")) must(reader.byte() == c);
  const int major = reader.byte(), version = reader.byte();
  reader.byte();  // revision
  must(major == 1 && version >= oldest && version <= with_kind_of_relation);
  const int integer_bytes = reader.byte();
  must(integer_bytes == 4 && reader.byte() == 8 && reader.byte() == custom);
  reader.integers_have(integer_bytes);
  if (version >= with_algorithm)
    reader.byte();
  else
    reader.integer();
  for (int i = 0; i < parts_of_time; ++i) reader.integer();
  reader.pass_texts(3);  // the database, the server's version, pg_dump's
  return version;
}

// The table of contents. Where the data of the item begin; nothing: that is not known.
std::optional<std::uint64_t> place_of(const std::string& item, int version, Reader& reader) {
  constexpr int place_not_known = 1, place_known = 2, no_data = 3;
  std::optional<std::uint64_t> found;
  for (std::int64_t left = reader.integer(); left > 0; --left) {
    const std::string number = std::to_string(reader.integer());
    reader.integer();      // whether it has data
    reader.pass_texts(4);  // the catalog's numbers of it, its name, its kind
    reader.integer();      // section
    reader.pass_texts(5);  // three statements, schema, tablespace
    if (version >= with_access_method) reader.pass_text();
    if (version >= with_kind_of_relation) reader.integer();
    reader.pass_texts(2);                 // owner, "with oids"
    while (reader.pass_text()) continue;  // what it needs
    const int state = reader.byte();
    const std::uint64_t place = reader.little_endian(8);
    must(state >= place_not_known && state <= no_data);
    if (state == place_known && number == item) found = place;
  }
  return found;
}

void pass_chunks(Reader& reader) {
  while (const std::int64_t length = reader.integer()) reader.skip(length);
}

// Returns the number of the item.
std::string pass_block(Reader& reader) {
  constexpr int of_table = 1, of_large_objects = 3;
  const int kind = reader.byte();
  const std::string number = std::to_string(reader.integer());
  must(kind == of_table || kind == of_large_objects);
  if (kind == of_table)
    pass_chunks(reader);
  else
    while (reader.integer() != 0) pass_chunks(reader);  // each with its number
  return number;
}

}  // namespace

bool reaches_end_of(const std::string& path, const std::string& item) {
  try {
    Reader reader(path);
    const int version = pass_head(reader);
    if (const auto place = place_of(item, version, reader)) {
      reader.go_to(*place);
      return pass_block(reader) == item;
    }
    // Written into a pipe: all of them are passed.
    std::string last;
    while (!reader.at_end()) last = pass_block(reader);
    return last == item;
  } catch (const NotShown&) {
    return false;
  }
}

}  // namespace relight::postgres
