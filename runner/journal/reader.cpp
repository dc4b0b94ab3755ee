#include "runner/journal/reader.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "runner/journal/record.h"
#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {
namespace {

constexpr std::uint64_t size_limit = 4ull << 30;

std::string seal_path(const std::string& path) {
  return path + ".seal";
}

bool is_count(const Json& json, const char* name) {
  auto member = json.find(name);
  return member != json.end() && member->is_number_unsigned();
}

std::string text_of(const Json& json, const char* name) {
  auto member = json.find(name);
  return member != json.end() && member->is_string() ? member->get<std::string>() : "";
}

// What of a record the chain is made of.
struct Frame {
  std::uint64_t seq = 0, batch = 0, place = 0, length = 0;
  std::string_view hash;
};

// Reads a line that is whole by its own hash; nothing otherwise.
std::optional<Frame> frame_of(std::string_view line, Json& record) {
  Frame frame;
  frame.hash = own_hash(line);
  if (frame.hash.empty()) return std::nullopt;
  record = Json::parse(line, nullptr, false);
  if (!record.is_object() || !is_count(record, "seq") || !is_count(record, "batch")) return std::nullopt;
  auto of = record.find("of"), prev = record.find("prev"), kind = record.find("kind");
  if (of == record.end() || !of->is_array() || of->size() != 2 || !(*of)[0].is_number_unsigned() ||
      !(*of)[1].is_number_unsigned() || prev == record.end() || !prev->is_string() || kind == record.end() ||
      !kind->is_string())
    return std::nullopt;
  frame.seq = record["seq"];
  frame.batch = record["batch"];
  frame.place = (*of)[0];
  frame.length = (*of)[1];
  return frame;
}

// Is there a record of a later batch, whole by its own hash? Looked for at every byte, not at every line: the
// newline before it may be what was lost.
bool holds_later_batch(std::string_view bytes, std::uint64_t batch) {
  Json record;
  for (std::size_t at = bytes.find(line_start); at != bytes.npos; at = bytes.find(line_start, at + 1)) {
    std::size_t end = std::min(bytes.find_first_of(std::string_view("\n\0", 2), at), bytes.size());
    std::optional<Frame> frame = frame_of(bytes.substr(at, end - at), record);
    if (frame && frame->batch > batch) return true;
  }
  return false;
}

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& on) : bytes_(bytes), on_(on) {}

  JournalSurvey survey() {
    while (at_ < bytes_.size() && next_record()) {
    }
    if (survey_.damage) return std::move(survey_);
    survey_.read.torn = survey_.read.valid_bytes < bytes_.size();
    if (at_ < bytes_.size() && !may_be_torn()) survey_.damage = damage();
    if (survey_.damage) survey_.read.torn = false;
    return std::move(survey_);
  }

 private:
  // Takes the record at at_ into the chain; false: it does not continue it, and why_ says how.
  bool next_record() {
    std::size_t newline = bytes_.find('\n', at_);
    std::string_view line = bytes_.substr(at_, newline == bytes_.npos ? newline : newline - at_);
    Json record;
    std::optional<Frame> frame = frame_of(line, record);
    if (newline == bytes_.npos) return fault("it has no end");
    if (!frame) return fault("its text does not fit its hash");
    if (at_ == 0 && !format_is_known(record)) return false;
    const JournalEnd& end = survey_.read.end;
    if (frame->seq != end.seq + batch_.size() + 1 || record["prev"] != last_hash_)
      return fault("it does not follow the record before it");
    if (frame->batch != end.batch + 1 || frame->place != batch_.size() + 1 || frame->length < frame->place ||
        (!batch_.empty() && frame->length != batch_length_))
      return fault("it has no place in its batch");

    at_ = newline + 1;
    last_hash_ = frame->hash;
    batch_length_ = frame->length;
    batch_.push_back(std::move(record));
    if (frame->place == frame->length) close_batch();
    return true;
  }

  void close_batch() {
    JournalRead& read = survey_.read;
    read.end.seq += batch_.size();
    ++read.end.batch;
    read.end.hash = last_hash_;
    read.valid_bytes = at_;
    for (Json& record : batch_) read.records.push_back(std::move(record));
    batch_.clear();
  }

  bool format_is_known(const Json& first) {
    if (text_of(first, "kind") == "opened" && first.contains("format") && first["format"] == journal_format)
      return true;
    std::string program = text_of(first, "program");
    if (program.empty()) program = "the program that wrote it";
    survey_.damage = Error(ErrorKind::needs_person, "cannot read the journal", on_,
                           first.contains("format")
                               ? "it is of format " + first["format"].dump() +
                                     ", and this program reads format " + std::to_string(journal_format)
                               : std::string("its first record is not that of a journal of relight"),
                           "use " + program + " for this run");
    return false;
  }

  bool fault(const char* why) {
    why_ = why;
    return false;
  }

  // at_ is the first byte of the first bad line, which belongs to the batch after the last whole one.
  bool may_be_torn() const {
    std::size_t newline = bytes_.find('\n', at_);
    bool cut = newline == bytes_.npos;
    bool lost_sectors = bytes_.substr(at_, newline - at_).find('\0') != bytes_.npos;
    return (cut || lost_sectors) && !holds_later_batch(bytes_.substr(at_), survey_.read.end.batch + 1);
  }

  Error damage() const {
    const JournalRead& read = survey_.read;
    std::uint64_t number = read.end.seq + batch_.size() + 1;
    std::string run = read.records.empty() ? "" : text_of(read.records[0], "run");
    return Error(
        ErrorKind::needs_person, "the journal is damaged", on_,
        "record " + std::to_string(number) + ", at byte " + std::to_string(at_) + ": " + why_ + "; the " +
            std::to_string(number - 1) + " records before it are whole",
        "keep the file, and put an undamaged copy of it in its place if there is one; else settle what the "
        "run did by hand and give it up with `relight abandon" +
            (run.empty() ? "" : " " + run) + "`");
  }

  std::string_view bytes_;
  const std::string& on_;
  JournalSurvey survey_;
  std::size_t at_ = 0;
  std::vector<Json> batch_;  // the records of a batch that is not whole yet
  std::uint64_t batch_length_ = 0;
  std::string last_hash_ = JournalEnd{}.hash;
  const char* why_ = "";
};

// Throws nothing for a seal that fits; says whether there is one.
std::optional<Error> seal_fault(const std::string& path, std::string_view bytes, bool& sealed) {
  std::optional<std::string> text = sys::read_file_if_there(seal_path(path));
  sealed = text.has_value();
  if (!sealed) return std::nullopt;
  Json seal = Json::parse(*text, nullptr, false);
  std::string why;
  if (!seal.is_object() || !is_count(seal, "bytes") || !seal.contains("sha256"))
    why = "its seal cannot be read";
  else if (seal["bytes"] != bytes.size())
    why = "it has " + std::to_string(bytes.size()) + " bytes, and had " + seal["bytes"].dump() +
          " when it was sealed";
  else if (seal["sha256"] != sys::sha256_hex(bytes))
    why = "its bytes are not those that were sealed";
  else
    return std::nullopt;
  return Error(
      ErrorKind::needs_person, "the journal does not match its seal", path, why,
      "keep both files, and put undamaged copies of them in their place if there are any; the run had "
      "ended when " +
          seal_path(path) + " was written");
}

std::string read_bytes(const std::string& path) {
  if (!sys::exists(path))
    throw Error(ErrorKind::refused, "cannot read the journal", path, "there is none",
                "`relight status` without a run shows the latest; --state says where runs are kept");
  return sys::read_file(path, size_limit);
}

// Of bytes that end with a newline.
std::string_view last_line(std::string_view bytes) {
  bytes.remove_suffix(1);
  std::size_t newline = bytes.rfind('\n');
  return newline == bytes.npos ? bytes : bytes.substr(newline + 1);
}

}  // namespace

JournalSurvey survey_journal(const std::string& path) {
  std::string bytes = read_bytes(path);
  JournalSurvey survey = Reader(bytes, path).survey();
  if (survey.damage) return survey;
  survey.damage = seal_fault(path, bytes, survey.read.sealed);
  if (survey.damage) survey.read.sealed = false;
  return survey;
}

JournalRead read_journal(const std::string& path) {
  JournalSurvey survey = survey_journal(path);
  if (survey.damage) throw *survey.damage;
  return std::move(survey.read);
}

JournalRead read_journal_text(std::string_view bytes, const std::string& on) {
  JournalSurvey survey = Reader(bytes, on).survey();
  if (survey.damage) throw *survey.damage;
  return std::move(survey.read);
}

void mend_journal(const std::string& path, const JournalRead& read) {
  std::string bytes = read_bytes(path);
  std::string_view valid = std::string_view(bytes).substr(0, read.valid_bytes);
  if (valid.size() != read.valid_bytes || (!valid.empty() && own_hash(last_line(valid)) != read.end.hash))
    throw Error(ErrorKind::needs_person, "cannot mend the journal", path, "it has changed since it was read",
                "see that no other relight works on this run, then `relight resume`");
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) throw system_error(errno, "cannot mend the journal", path);
  sys::write_file(path, valid, 0600, sys::Owner{status.st_uid, status.st_gid});
}

void seal_journal(const std::string& path) {
  std::string bytes = read_bytes(path);
  Json seal = {{"bytes", bytes.size()}, {"sha256", sys::sha256_hex(bytes)}};
  sys::write_file(seal_path(path), seal.dump() + "\n", 0600);
}

void unseal_journal(const std::string& path) {
  sys::remove_file(seal_path(path));
}

}  // namespace relight
