#include "steps/postgres/lib/dump_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runner/sys/error.h"

namespace relight::postgres {
namespace {

constexpr int oldest = 12, with_access_method = 14, with_algorithm = 15, with_kind_of_relation = 16;
constexpr int integer_bytes = 4;

void must(bool holds) {
  if (!holds) throw NotShown();
}

}  // namespace

DumpFile::DumpFile(const std::string& path) : path_(path), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  struct stat status {};
  if (!file_ || fstat(file_.get(), &status) != 0) throw system_error(errno, "cannot read the dump", path);
  size_ = static_cast<std::uint64_t>(status.st_size);
}

void DumpFile::go_on_to(std::uint64_t place) {
  must(place >= at_ && place <= size_);
  at_ = place;
}

void DumpFile::skip(std::int64_t bytes) {
  must(bytes >= 0 && static_cast<std::uint64_t>(bytes) <= size_ - at_);
  at_ += static_cast<std::uint64_t>(bytes);
}

int DumpFile::byte() {
  if (at_ < from_ || at_ >= from_ + buffer_.size()) fill();
  return static_cast<unsigned char>(buffer_[at_++ - from_]);
}

std::uint64_t DumpFile::little_endian(int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= static_cast<std::uint64_t>(byte()) << (8 * i);
  return value;
}

// A sign, and as many bytes as the head says.
std::int64_t DumpFile::integer() {
  const bool negative = byte() != 0;
  const auto value = static_cast<std::int64_t>(little_endian(integer_bytes));
  return negative ? -value : value;
}

std::optional<std::string> DumpFile::text() {
  const std::int64_t length = integer();
  if (length < 0) return std::nullopt;
  const std::uint64_t end = at_ + static_cast<std::uint64_t>(length);
  must(end <= size_);
  std::string text;
  while (at_ < end) {
    if (at_ < from_ || at_ >= from_ + buffer_.size()) fill();
    const std::uint64_t here = std::min(end, from_ + buffer_.size()) - at_;
    text.append(buffer_, at_ - from_, here);
    at_ += here;
  }
  return text;
}

void DumpFile::texts(int count) {
  while (count-- > 0)
    if (const std::int64_t length = integer(); length > 0) skip(length);
}

void DumpFile::fill() {
  constexpr std::size_t at_once = 256u << 10;
  buffer_.resize(at_once);
  const ssize_t got = pread(file_.get(), buffer_.data(), at_once, static_cast<off_t>(at_));
  if (got < 0) throw system_error(errno, "cannot read the dump", path_);
  buffer_.resize(static_cast<std::size_t>(got));
  from_ = at_;
  must(got > 0);
}

DumpHead DumpFile::head() {
  constexpr int custom = 1, tar = 3, parts_of_time = 7, by_gzip = 1;
  for (const char c : std::string("PGDMP")) must(byte() == c);
  DumpHead head;
  const int major = byte();
  head.version = byte();
  byte();  // revision
  must(major == 1 && head.version >= oldest && head.version <= with_kind_of_relation);
  must(byte() == integer_bytes && byte() == 8);
  const int form = byte();
  must(form == custom || form == tar);  // as the toc.dat of a directory says, too
  head.custom = form == custom;
  // Before there were others it was a level, 0 for none.
  head.gzip = head.version >= with_algorithm ? byte() == by_gzip : integer() != 0;
  for (int i = 0; i < parts_of_time; ++i) integer();
  texts(3);  // the database, the server's version, pg_dump's
  return head;
}

std::vector<DumpItem> DumpFile::contents(const DumpHead& head) {
  constexpr int place_not_known = 1, place_known = 2, no_data = 3;
  std::vector<DumpItem> items;
  for (std::int64_t left = integer(); left > 0; --left) {
    DumpItem& item = items.emplace_back();
    item.number = std::to_string(integer());
    integer();  // whether it has data
    texts(2);   // the catalog's numbers of it
    item.name = text().value_or("");
    item.kind = text().value_or("");
    integer();  // section
    item.definition = text().value_or("");
    texts(1);  // that drops it
    item.copy = text().value_or("");
    item.schema = text().value_or("");
    texts(head.version >= with_access_method ? 2 : 1);  // tablespace, access method
    if (head.version >= with_kind_of_relation) integer();
    texts(2);                 // owner, "with oids"
    while (text()) continue;  // what it needs
    if (!head.custom) {
      texts(1);  // its file
      continue;
    }
    const int state = byte();
    const std::uint64_t place = little_endian(8);
    must(state >= place_not_known && state <= no_data);
    if (state == place_known) item.place = place;
  }
  return items;
}

DumpFile::Block DumpFile::block() {
  constexpr int of_table = 1, of_large_objects = 3;
  const int kind = byte();
  must(kind == of_table || kind == of_large_objects);
  return {kind == of_table, std::to_string(integer())};
}

void DumpFile::pass_chunks() {
  while (const std::int64_t length = integer()) skip(length);
}

void DumpFile::pass(const Block& block) {
  if (block.of_table)
    pass_chunks();
  else
    while (integer() != 0) pass_chunks();  // each with its number
}

std::string_view DumpFile::chunk() {
  const std::int64_t length = integer();
  must(length >= 0);
  if (length == 0) return {};
  constexpr std::uint64_t largest = 64u << 20;  // pg_dump's own are of some kilobytes
  const auto size = static_cast<std::uint64_t>(length);
  must(size <= largest);
  if (at_ >= from_ && at_ + size <= from_ + buffer_.size()) {
    at_ += size;
    return std::string_view(buffer_).substr(at_ - size - from_, size);
  }
  must(size <= size_ - at_);
  chunk_.clear();
  for (const std::uint64_t end = at_ + size; at_ < end;) {
    if (at_ < from_ || at_ >= from_ + buffer_.size()) fill();
    const std::uint64_t here = std::min(end, from_ + buffer_.size()) - at_;
    chunk_.append(buffer_, at_ - from_, here);
    at_ += here;
  }
  return chunk_;
}

}  // namespace relight::postgres
