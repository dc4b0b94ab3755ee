#include "steps/postgres/lib/waldump.h"

#include <charconv>
#include <cstdlib>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight::postgres {

std::optional<WalRecord> parse_record(const std::string& line) {
  // rmgr: Transaction len (rec/tot):     34/    34, tx:        726, lsn: 0/03001E20, prev 0/03001DD8, desc:
  // COMMIT ...
  if (line.rfind("rmgr: ", 0) != 0) return std::nullopt;
  const auto after = [&](const char* word, char until) -> std::optional<std::string> {
    const std::size_t at = line.find(word);
    if (at == std::string::npos) return std::nullopt;
    const std::size_t begin = at + std::string_view(word).size();
    return sys::trim(std::string_view(line).substr(begin, line.find(until, begin) - begin));
  };
  const auto manager = after("rmgr: ", ' '), xid = after(", tx:", ','), lsn = after(", lsn: ", ','),
             previous = after(", prev ", ',');
  const std::size_t text = line.find(", desc: ");
  if (!manager || !xid || !lsn || !previous || text == std::string::npos) return std::nullopt;
  WalRecord record;
  record.manager = *manager;
  std::from_chars(xid->data(), xid->data() + xid->size(), record.xid);
  const auto begin = parse_lsn(*lsn), before = parse_lsn(*previous);
  if (!begin || !before) return std::nullopt;
  record.lsn = *begin;
  record.previous = *before;
  record.text = line.substr(text + 8);
  return record;
}

// "error in WAL record at 0/3001F70: invalid record length at 0/3001FE0: wanted 24, got 0": the first
// position is that of the last record that is whole.
WalComplaint parse_complaint(const std::string& text, std::uint64_t segment_size) {
  WalComplaint complaint;
  std::string& why = complaint.why;
  why = text;
  for (const std::string prefix : {"pg_waldump: error: ", "pg_waldump: fatal: "})
    if (why.rfind(prefix, 0) == 0) why = why.substr(prefix.size());
  const auto position = [&](const std::string& word) -> std::optional<Lsn> {
    const std::size_t at = why.rfind(word);
    if (at == std::string::npos) return std::nullopt;
    const std::size_t begin = at + word.size();
    return parse_lsn(why.substr(begin, why.find_first_not_of("0123456789ABCDEFabcdef/", begin) - begin));
  };
  if (const std::string word = "error in WAL record at "; why.rfind(word, 0) == 0) {
    complaint.last = position(word);
    const std::size_t colon = why.find(": ");
    if (colon != std::string::npos) why = why.substr(colon + 2);
  }
  complaint.at = position(" at ");
  if (const std::size_t named = why.find("in log segment "); named != std::string::npos) {
    const auto segment = parse_segment(why.substr(named + 15, 24), segment_size);
    std::uint64_t offset = 0;
    if (const std::size_t word = why.find("offset "); word != std::string::npos)
      offset = std::strtoull(why.c_str() + word + 7, nullptr, 10);
    if (segment) complaint.at = segment->number * segment_size + offset;
  }
  if (!complaint.at) complaint.at = complaint.last;
  if (!complaint.at) complaint.at = position("could not find a valid record after ");
  return complaint;
}

Waldump::Waldump(const Programs& programs, std::string folder, Timeline timeline, std::string complaints,
                 std::function<bool()> stop)
    : programs_(programs),
      folder_(std::move(folder)),
      timeline_(timeline),
      complaints_(std::move(complaints)),
      stop_(std::move(stop)) {}

std::optional<std::string> Waldump::read(Lsn from, Lsn to, Of of,
                                         const std::function<bool(const WalRecord&)>& see) const {
  std::vector<std::string> arguments = {"-p", folder_,        "-t", std::to_string(timeline_),
                                        "-s", show_lsn(from), "-e", show_lsn(to)};
  // Before 15 it knows one filter only.
  if (of == Of::transactions_and_xlog && programs_.major() >= 15)
    arguments.insert(arguments.end(), {"-r", "Transaction", "-r", "XLOG"});
  sys::Command command = programs_.command("pg_waldump", arguments, {folder_});
  // Standard error apart from standard output: a complaint within a record's line would lose the record.
  command.argv.insert(
      command.argv.begin(),
      {"/bin/sh", "-c", "complaints=$1; shift; exec \"$@\" 2>\"$complaints\"", "sh", complaints_});
  command.capture_stdout = false;
  std::string line;
  bool seen = false;
  command.on_output = [&](std::string_view bytes) {
    for (const char c : bytes) {
      if (c != '\n') {
        line += c;
        continue;
      }
      const auto record = seen ? std::nullopt : parse_record(line);
      line.clear();
      if (record) seen = see(*record);
    }
  };
  command.stop = [&] { return seen || (stop_ && stop_()); };
  const sys::Result result = sys::run(command);
  if (seen) return std::nullopt;
  if (result.stopped)
    throw Error(ErrorKind::transient, "cannot check the WAL", show_lsn(from), "told to stop");
  if (result.exit_code == 0) return std::nullopt;
  return sys::trim(sys::read_file(complaints_));
}

}  // namespace relight::postgres
