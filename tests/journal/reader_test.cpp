#include "runner/journal/reader.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runner/journal/record.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/memory_journal.h"

using namespace relight;

namespace {

Json started(const std::string& step) {
  return {{"kind", "started"}, {"step", step}, {"attempt", 1}, {"op", "apply"}};
}
Json finished(const std::string& step) {
  return {
      {"kind", "finished"}, {"step", step}, {"attempt", 1}, {"by", "apply"}, {"outputs", {{"path", "/x"}}}};
}

// A journal of several batches: its bytes, and where its last batch begins.
struct Sample {
  std::vector<std::vector<Json>> batches = {
      {opened()}, {started("a"), started("b")}, {finished("a")}, {finished("b"), started("c"), started("d")}};
  std::string bytes = journal_of(batches);
  std::size_t last = journal_of({batches[0], batches[1], batches[2]}).size();
  std::size_t before_last = 4;  // records

  Sample() {  // the stamps of two writings differ in length: the place is found by content
    last = bytes.find("{\"seq\":5,");
  }
};

// How a damaged or torn text is taken.
struct Taken {
  bool refused = false;
  JournalRead read;
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

std::vector<std::string> lines_of(const std::string& bytes) {
  std::vector<std::string> lines;
  for (std::size_t at = 0, end; at < bytes.size(); at = end + 1) {
    end = bytes.find('\n', at);
    lines.push_back(bytes.substr(at, end - at + 1));
  }
  return lines;
}
std::string joined(const std::vector<std::string>& lines) {
  std::string bytes;
  for (const std::string& line : lines) bytes += line;
  return bytes;
}

std::string message(const std::string& bytes) {
  try {
    read_journal_text(bytes, "/runs/r1/journal");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("what was written is read back") {
  Sample sample;
  JournalRead read = read_journal_text(sample.bytes, "memory");
  CHECK(read.records.size() == 7);
  CHECK(read.records[6]["step"] == "d");
  CHECK(read.valid_bytes == sample.bytes.size());
  CHECK(read.end.seq == 7);
  CHECK(read.end.batch == 4);
  CHECK(read.end.hash == read.records[6]["hash"]);
  CHECK_FALSE(read.torn);
  CHECK_FALSE(read.sealed);
}

TEST_CASE("an empty journal has no records") {
  JournalRead read = read_journal_text("", "memory");
  CHECK(read.records.empty());
  CHECK_FALSE(read.torn);
  CHECK(read.end.hash == std::string(64, '0'));
}

TEST_CASE("a newline that became NUL does not hide the record of a later batch after it") {
  std::string bytes = journal_of({{opened()}, {started("a")}, {finished("a")}});
  bytes[bytes.find("{\"seq\":3,") - 1] = '\0';
  CHECK(take(bytes).refused);
  bytes.pop_back();  // and that record's own newline is lost as well
  CHECK(take(bytes).refused);
}

TEST_CASE("lines taken out, doubled, exchanged or put in are damage") {
  Sample sample;
  std::vector<std::string> lines = lines_of(sample.bytes);
  REQUIRE(lines.size() == 7);
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    auto without = lines, twice = lines, exchanged = lines;
    without.erase(without.begin() + i);
    twice.insert(twice.begin() + i, lines[i]);
    std::swap(exchanged[i], exchanged[i + 1]);
    CHECK(take(joined(without)).refused);
    CHECK(take(joined(twice)).refused);
    CHECK(take(joined(exchanged)).refused);
  }
  auto with = lines;
  with.insert(with.begin() + 3, "hello\n");
  CHECK(take(joined(with)).refused);
  CHECK(take(sample.bytes + "hello\n").refused);
}

TEST_CASE("the records of a batch agree on it") {
  std::string zeros(64, '0');
  Line first = make_line(opened(), 1, 1, 1, 1, zeros);
  auto after = [&](std::uint64_t batch, std::uint64_t place, std::uint64_t length) {
    return take(first.text + "\n" + make_line(started("a"), 2, batch, place, length, first.hash).text + "\n");
  };
  CHECK_FALSE(after(2, 1, 1).refused);
  CHECK(after(2, 1, 2).read.torn);
  CHECK(after(1, 2, 2).refused);
  CHECK(after(3, 1, 1).refused);
  CHECK(after(2, 2, 2).refused);
  CHECK(after(2, 1, 0).refused);
}

TEST_CASE("damage is told with its record, its byte and what to do") {
  Sample sample;
  std::size_t at = sample.bytes.find("{\"seq\":2,");
  std::string bytes = sample.bytes;
  bytes[at + 60] ^= 1;
  CHECK(message(bytes) == "the journal is damaged: /runs/r1/journal: record 2, at byte " +
                              std::to_string(at) +
                              ": its text does not fit its hash; the 1 records before it are whole");
  std::vector<std::string> lines = lines_of(sample.bytes);
  lines.erase(lines.begin() + 3);
  CHECK(message(joined(lines)).find(": it does not follow the record before it; the 3 records") !=
        std::string::npos);
  try {
    read_journal_text(bytes, "x");
  } catch (const Error& error) {
    CHECK(error.hint ==
          "keep the file, and put an undamaged copy of it in its place if there is one; else settle what the "
          "run "
          "did by hand and give it up with `relight abandon r1`");
  }
}

TEST_CASE("an unknown format is told as such") {
  Json future = opened();
  future["format"] = 2;
  future["program"] = "relight 9.0.0";
  CHECK(message(journal_of({{future}})) ==
        "cannot read the journal: /runs/r1/journal: it is of format 2, and this program reads format 1");
  CHECK(message(journal_of({{started("a")}})) ==
        "cannot read the journal: /runs/r1/journal: its first record is not that of a journal of relight");
}

TEST_CASE("a torn journal is mended and goes on") {
  sys::TempFolder folder;
  std::string path = folder.path() + "/journal";
  Sample sample;
  sys::write_file(path, sample.bytes.substr(0, sample.bytes.size() - 10), 0600);
  JournalRead read = read_journal(path);
  CHECK(read.torn);
  mend_journal(path, read);
  CHECK(sys::read_file(path) == sample.bytes.substr(0, sample.last));
  struct stat status;
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);

  JournalWriter writer(open_journal_file(path), read.end);
  writer.add({{"kind", "resumed"}, {"program", "relight 0.1.0"}, {"pid", 1}});
  writer.flush();
  JournalRead again = read_journal(path);
  CHECK_FALSE(again.torn);
  CHECK(again.records.size() == 5);

  SUBCASE("what has changed meanwhile is not mended") {
    read.end.hash[0] ^= 1;
    CHECK_THROWS_AS(mend_journal(path, read), Error);
    read.valid_bytes = 1 << 20;
    CHECK_THROWS_AS(mend_journal(path, read), Error);
    CHECK(read_journal(path).records.size() == 5);
  }
  SUBCASE("a journal of which nothing is whole becomes empty") {
    sys::write_file(path, "{\"seq\":1,", 0600);
    mend_journal(path, read_journal(path));
    CHECK(sys::read_file(path).empty());
  }
}

TEST_CASE("a sealed journal is whole or refused") {
  sys::TempFolder folder;
  std::string path = folder.path() + "/journal";
  Sample sample;
  sys::write_file(path, sample.bytes, 0600);
  seal_journal(path);
  CHECK(read_journal(path).sealed);

  auto why = [&] {
    try {
      read_journal(path);
    } catch (const Error& error) {
      CHECK(error.kind == ErrorKind::needs_person);
      return error.why;
    }
    return std::string();
  };
  SUBCASE("a tear that would pass unsealed") {
    sys::write_file(path, sample.bytes.substr(0, sample.last), 0600);
    CHECK(why() == "it has " + std::to_string(sample.last) + " bytes, and had " +
                       std::to_string(sample.bytes.size()) + " when it was sealed");
    CHECK(survey_journal(path).read.records.size() == sample.before_last);
  }
  SUBCASE("other bytes of the same length") {
    std::string other = sample.bytes;
    other.back() = '\0';
    sys::write_file(path, other, 0600);
    CHECK(why() == "its bytes are not those that were sealed");
  }
  SUBCASE("a seal that cannot be read") {
    sys::write_file(path + ".seal", "{", 0600);
    CHECK(why() == "its seal cannot be read");
  }
  SUBCASE("unsealed, it is taken as it is") {
    unseal_journal(path);
    unseal_journal(path);
    CHECK_FALSE(read_journal(path).sealed);
  }
}

TEST_CASE("who only looks sees the valid part of a damaged journal") {
  sys::TempFolder folder;
  std::string path = folder.path() + "/journal";
  Sample sample;
  std::string bytes = sample.bytes;
  bytes[sample.last - 20] ^= 1;
  sys::write_file(path, bytes, 0600);
  JournalSurvey survey = survey_journal(path);
  REQUIRE(survey.damage);
  CHECK(survey.read.records.size() == 3);
  CHECK_FALSE(survey.read.torn);
  CHECK_THROWS_AS(read_journal(path), Error);
}

TEST_CASE("no journal is refused, not taken as an empty one") {
  sys::TempFolder folder;
  try {
    read_journal(folder.path() + "/journal");
    FAIL("read");
  } catch (const Error& error) {
    CHECK(error.kind == ErrorKind::refused);
  }
}
