// The journal. Bytes that begin with "framed\n" are the members of records, a line each, an empty line
// between batches: they get their frame and hashes here, so that what stands in them is looked at. All else
// is a journal as it is.
#include "runner/journal/reader.h"
#include "runner/journal/record.h"
#include "runner/sys/json_whole.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/memory_journal.h"

namespace relight {
namespace {

std::string framed(std::string_view bytes) {
  std::string journal, prev(64, '0');
  std::uint64_t seq = 0;
  for (std::uint64_t batch = 1; !bytes.empty(); ++batch) {
    std::vector<std::string_view> members;
    for (std::string_view line; !bytes.empty() && !(line = fuzz::part(bytes, '\n')).empty();)
      members.push_back(line);
    for (std::size_t i = 0; i < members.size(); ++i) {
      const Line line = frame_line(members[i], ++seq, batch, i + 1, members.size(), prev);
      journal += line.text + "\n";
      prev = line.hash;
    }
  }
  return journal;
}

JournalRead read(std::string_view bytes) {
  return read_journal_text(bytes, "fuzz");
}

Json body_of(Json record) {
  for (const char* name : {"seq", "batch", "of", "prev", "hash"}) record.erase(name);
  for (const char* stamp : {"wall", "boot"}) record.emplace(stamp, nullptr);  // the writer puts its own
  return record;
}

std::string rewritten(const std::vector<Json>& records) {
  std::vector<std::vector<Json>> batches;
  for (const Json& record : records) {
    if (record["of"][0] == 1) batches.emplace_back();
    batches.back().push_back(body_of(record));
  }
  return journal_of(batches);
}

}  // namespace

void fuzz::look(std::string_view bytes) {
  std::string made;
  constexpr std::string_view mark = "framed\n";
  if (bytes.starts_with(mark)) bytes = made = framed(bytes.substr(mark.size()));
  JournalRead whole;
  if (!takes([&] { whole = read(bytes); })) return;

  must(whole.valid_bytes <= bytes.size() && whole.torn == (whole.valid_bytes < bytes.size()),
       "what is not torn is whole");
  must(whole.records.size() == whole.end.seq, "a record has its number");
  must(whole.records.empty() || whole.records.back()["of"][0] == whole.records.back()["of"][1],
       "batches are whole");

  JournalRead valid = read(bytes.substr(0, whole.valid_bytes));
  must(!valid.torn && valid.records == whole.records, "the valid part reads the same");

  const std::string again = rewritten(whole.records);
  valid = read(again);
  must(valid.records.size() == whole.records.size(), "what is written again is all there");
  for (std::size_t i = 0; i < valid.records.size(); ++i)
    must(body_of(valid.records[i]) == body_of(whole.records[i]), "what is written again is the same");
  must(rewritten(valid.records) == again, "and is written the same");

  if (whole.records.empty()) return;
  MemoryDisk disk;
  JournalWriter writer(disk.open(), whole.end);
  writer.add({{"kind", "resumed"}});
  writer.flush();
  valid = read(std::string(bytes.substr(0, whole.valid_bytes)) + disk.bytes);
  must(valid.records.size() == whole.records.size() + 1 && !valid.torn, "a mended journal goes on");
}

}  // namespace relight
