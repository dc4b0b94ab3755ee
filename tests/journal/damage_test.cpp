// A journal cut, flipped and with lost sectors, at every place: read to its last whole batch, or refused.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "runner/journal/reader.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/memory_journal.h"
#include "tests/support/share.h"

using namespace relight;

namespace {

Json started(const std::string& step) {
  return {{"kind", "started"}, {"step", step}, {"attempt", 1}, {"op", "apply"}};
}
Json finished(const std::string& step, const std::string& stdout_text) {
  return {{"kind", "finished"},
          {"step", step},
          {"attempt", 1},
          {"by", "apply"},
          {"outputs", {{"path", "/srv/a b@c"}, {"stdout", stdout_text}}}};
}

struct Sample {
  std::string bytes;
  std::vector<std::size_t> ends;     // of its batches
  std::vector<std::size_t> records;  // in all, at each end

  explicit Sample(const std::vector<std::vector<Json>>& batches) {
    MemoryDisk disk;
    JournalWriter writer(disk.open(), {});
    for (const std::vector<Json>& batch : batches) {
      for (const Json& body : batch) writer.add(body);
      writer.flush();
      ends.push_back(disk.bytes.size());
      records.push_back((records.empty() ? 0 : records.back()) + batch.size());
    }
    bytes = disk.bytes;
  }
  std::size_t last() const { return ends[ends.size() - 2]; }  // where the last batch begins
  std::size_t before_last() const { return records[records.size() - 2]; }
};

Sample small() {
  return Sample({{opened()},
                 {started("a"), started("b")},
                 {finished("a", "one")},
                 {finished("b", "two"), started("c"), started("d")}});
}

// Its last batch covers four blocks of 4096 bytes, and begins and ends within one.
Sample large() {
  return Sample({{opened()},
                 {started("a"), finished("b", std::string(5000, 'x'))},
                 {finished("a", "one"), finished("c", std::string(700, 'y')), started("d"),
                  finished("e", std::string(9000, 'z')), finished("f", std::string(600, 'w'))}});
}

// How a damaged or torn text is taken.
struct Taken {
  bool refused = false;
  JournalRead read;

  bool torn_to(std::size_t records, std::size_t bytes) const {
    return !refused && read.torn && read.records.size() == records && read.valid_bytes == bytes;
  }
};
Taken take(const std::string& bytes) {
  Taken taken;
  try {
    taken.read = read_journal_text(bytes, "memory");
  } catch (const Error& error) {
    CHECK(error.kind == ErrorKind::needs_person);
    CHECK_FALSE(error.hint.empty());
    taken.refused = true;
  }
  return taken;
}

// Under a sanitizer some of a byte's bits.
int bit_step() {
  return test_part() == 1 ? 1 : 5;
}

// What a byte can become by one bit, and the two values that mean something to the reader.
std::vector<char> changes_of(char byte) {
  std::vector<char> changes;
  for (int bit = 0; bit < 8; bit += bit_step()) changes.push_back(static_cast<char>(byte ^ (1 << bit)));
  for (const char special : {'\0', '\n'})
    if (byte != special) changes.push_back(special);
  return changes;
}

// The sectors that the bytes from `from` on touch: begin and end of each; the first begins at `from`, for
// what is before it in its sector was synced with an earlier batch and is written again with the same bytes.
std::vector<std::pair<std::size_t, std::size_t>> sectors(std::size_t from, std::size_t end,
                                                         std::size_t size) {
  std::vector<std::pair<std::size_t, std::size_t>> found;
  for (std::size_t at = from; at < end; at = found.back().second)
    found.emplace_back(at, std::min((at / size + 1) * size, end));
  return found;
}

}  // namespace

TEST_CASE("cut at every byte, the whole batches before the cut are kept") {
  for (const Sample& sample : {small(), large()})
    for (std::size_t cut = 0; cut <= sample.bytes.size(); ++cut) {
      std::size_t records = 0, valid = 0;
      for (std::size_t i = 0; i < sample.ends.size() && sample.ends[i] <= cut; ++i)
        records = sample.records[i], valid = sample.ends[i];
      const JournalRead read = read_journal_text(sample.bytes.substr(0, cut), "memory");
      CHECK(read.records.size() == records);
      CHECK(read.valid_bytes == valid);
      CHECK(read.torn == (valid != cut));
    }
}

TEST_CASE("with NULs in place of what was cut, as ext4 shows it, and after it, the same") {
  const Sample sample = small();
  for (std::size_t cut = sample.last(); cut <= sample.bytes.size(); ++cut)
    for (const std::size_t extra : {0, 1, 300, 4096}) {
      if (cut + extra == sample.bytes.size() && extra == 0) continue;
      const Taken taken =
          take(sample.bytes.substr(0, cut) + std::string(sample.bytes.size() - cut + extra, '\0'));
      if (cut < sample.bytes.size())
        CHECK(taken.torn_to(sample.before_last(), sample.last()));
      else
        CHECK(taken.torn_to(sample.records.back(), sample.bytes.size()));
    }
}

TEST_CASE("a stretch of the last batch that was lost is a tear, wherever it lies") {
  const Sample sample = small();
  for (const std::size_t size : {1, 16, 64, 512})
    for (std::size_t at = sample.last(); at < sample.bytes.size(); ++at) {
      std::string bytes = sample.bytes;
      for (std::size_t i = at; i < std::min(at + size, bytes.size()); ++i) bytes[i] = '\0';
      CHECK(take(bytes).torn_to(sample.before_last(), sample.last()));
    }
}

TEST_CASE("a power cut may lose any of the last batch's sectors, and its length: never refused") {
  const Sample sample = large();
  std::mt19937 random(1);  // always the same choices
  for (const std::size_t size : {512, 4096}) {
    const auto all = sectors(sample.last(), sample.bytes.size(), size);
    REQUIRE(all.size() >= 4);
    const std::size_t sets = std::size_t{1} << std::min<std::size_t>(all.size(), 12);
    for (std::size_t set = 1; set < sets; ++set) {
      std::string bytes = sample.bytes;
      // Every set where there are few sectors, some of all sets where there are many.
      const std::uint64_t lost = sets == std::size_t{1} << all.size() ? set : random();
      bool any = false;
      for (std::size_t i = 0; i < all.size(); ++i) {
        if ((lost >> i & 1) == 0) continue;
        any = true;
        std::fill(bytes.begin() + all[i].first, bytes.begin() + all[i].second, '\0');
      }
      if (any) CHECK(take(bytes).torn_to(sample.before_last(), sample.last()));
      const std::size_t length = all[random() % all.size()].first;
      const Taken cut = take(bytes.substr(0, length));
      CHECK_FALSE(cut.refused);
      CHECK(cut.read.records.size() == sample.before_last());
    }
  }
}

TEST_CASE("a changed byte before the last batch is never taken in silence") {
  const Sample sample = small();
  for (std::size_t at = 0; at < sample.last(); ++at)
    for (const char changed : changes_of(sample.bytes[at])) {
      std::string bytes = sample.bytes;
      bytes[at] = changed;
      CHECK_MESSAGE(take(bytes).refused, "byte ", at, " changed to ", int(changed));
    }
}

TEST_CASE("a changed byte in the last batch is refused, or taken as a tear that loses that batch only") {
  const Sample sample = small();
  for (std::size_t at = sample.last(); at < sample.bytes.size(); ++at)
    for (const char changed : changes_of(sample.bytes[at])) {
      std::string bytes = sample.bytes;
      bytes[at] = changed;
      const Taken taken = take(bytes);
      const bool like_a_tear = changed == '\0' || at + 1 == bytes.size();
      CHECK_MESSAGE(taken.refused == !like_a_tear, "byte ", at, " changed to ", int(changed));
      if (like_a_tear) CHECK(taken.torn_to(sample.before_last(), sample.last()));
    }
}

TEST_CASE("sectors lost before the last batch are damage") {
  for (const Sample& sample : {small(), large()})
    for (const std::size_t size : {64, 512, 4096})
      for (std::size_t at = 0; at < sample.last(); at += size == 64 ? 1 : size) {
        std::string bytes = sample.bytes;
        const std::size_t end = std::min(at + size, sample.last());
        std::fill(bytes.begin() + at, bytes.begin() + end, '\0');
        CHECK(take(bytes).refused);
      }
}

TEST_CASE("a journal that is sealed refuses every changed bit, of itself and of its seal, and every cut") {
  const sys::TempFolder folder;
  const std::string path = folder.path() + "/journal";
  const Sample sample = small();
  sys::write_file(path, sample.bytes, 0600);
  seal_journal(path);
  for (const std::string& file : {path, path + ".seal"}) {
    const sys::Fd fd(open(file.c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(fd);
    const std::string bytes = sys::read_file(file);
    const auto put = [&](std::size_t at, char byte) {
      REQUIRE(pwrite(fd.get(), &byte, 1, static_cast<off_t>(at)) == 1);
    };
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      for (int bit = 0; bit < 8; bit += bit_step()) {
        put(at, static_cast<char>(bytes[at] ^ (1 << bit)));
        CHECK_THROWS_AS(read_journal(path), Error);
      }
      put(at, bytes[at]);
    }
  }
  CHECK(read_journal(path).sealed);
  for (std::size_t length = sample.bytes.size(); length-- > 0;) {
    REQUIRE(truncate(path.c_str(), static_cast<off_t>(length)) == 0);
    CHECK_THROWS_AS(read_journal(path), Error);
  }
}
