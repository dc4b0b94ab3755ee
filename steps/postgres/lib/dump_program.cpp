#include "steps/postgres/lib/dump_program.h"

#include <algorithm>
#include <charconv>

#include "runner/sys/files.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"

namespace relight::postgres {
namespace {

constexpr const char* what_failed = "cannot restore the dump";

std::string lines_of(const std::vector<DumpEntry>& entries) {
  std::string lines;
  for (const DumpEntry& entry : entries) lines += entry.line + "\n";
  return lines;
}

// The number behind `word` at the start of a line, else "".
std::string number_behind(const std::string& line, std::string_view word) {
  const std::size_t at = line.find(word);
  if (at == std::string::npos || !line.starts_with("pg_restore: ")) return "";
  const std::size_t from = at + word.size();
  return line.substr(from, line.find_first_not_of("0123456789", from) - from);
}

std::string without_quotes(std::string text) {
  std::erase(text, '"');
  return text;
}

// The comment before the rows names their table, and the COPY where they go.
bool copies_where_it_says(const std::string& text) {
  constexpr std::string_view name = "-- Data for Name: ", in = "; Type: TABLE DATA; Schema: ";
  const std::size_t at = text.find(name), type = text.find(in, at == std::string::npos ? 0 : at);
  const std::size_t copy = text.find("\nCOPY ");
  if (at == std::string::npos || type == std::string::npos || copy == std::string::npos || copy < type)
    return false;
  const std::size_t schema = type + in.size();
  const std::string table = text.substr(schema, text.find("; Owner: ", schema) - schema) + "." +
                            text.substr(at + name.size(), type - at - name.size());
  return without_quotes(text.substr(copy + 6)).starts_with(without_quotes(table) + " ");
}

}  // namespace

DumpProgram::DumpProgram(const DumpLoad& load, const DumpLook& look, const DatabaseServer& server, Call& call)
    : load_(load), look_(look), server_(server), call_(call), items_(look.selection.numbers.size()) {
  if (load.format != DumpFormat::directory) return;
  sys::walk(load.path, [&](const sys::Entry& entry) {
    const std::string number = entry.path.substr(0, entry.path.find('.'));
    if (!look.selection.numbers.contains(number)) return;
    sizes_[number] = entry.size;
    all_bytes_ += entry.size;
  });
}

std::set<std::string> DumpProgram::before_the_rows() const {
  sys::Command command = load_.program.command({"--list", "--section=pre-data", load_.path}, {load_.path});
  command.capture_limit = 1u << 30;
  std::set<std::string> numbers;
  for (const DumpEntry& entry : parse_dump_entries(sys::output_of(command, "cannot read the dump")))
    numbers.insert(entry.number);
  return numbers;
}

bool DumpProgram::copies_into_its_tables() const {
  std::set<std::string> partitions;
  const DumpEntry* sample = nullptr;
  for (const DumpEntry& entry : look_.entries)
    if (entry.kind == "TABLE ATTACH") partitions.insert(entry.needs.begin(), entry.needs.end());
  for (const DumpEntry& entry : look_.entries) {
    if (entry.kind != "TABLE DATA" || !look_.selection.numbers.contains(entry.number)) continue;
    const bool of_partition = std::any_of(entry.needs.begin(), entry.needs.end(),
                                          [&](const auto& need) { return partitions.contains(need); });
    if (sample == nullptr || of_partition) sample = &entry;
  }
  if (sample == nullptr) return true;
  const sys::TempFolder temp;
  sys::write_file(temp.path() + "/list", sample->line + "\n", 0600);
  std::string head;
  constexpr std::size_t enough = 64u << 10;
  sys::Command command = load_.program.command(
      {"--use-list=" + temp.path() + "/list", "--file=-", load_.path}, {temp.path(), load_.path});
  command.capture_stdout = false;
  command.on_output = [&](std::string_view bytes) {
    if (head.size() < enough) head += bytes.substr(0, enough);
  };
  command.stop = [&] { return head.size() >= enough || call_.stop_wanted(); };
  sys::run(command);
  call_.stop_here_if_wanted();
  return copies_where_it_says(head);
}

void DumpProgram::tell_progress() {
  const std::string phase = "restore, item " + std::to_string(finished_.size()) + " of " +
                            std::to_string(items_) + (all_bytes_ == 0 ? "" : ", " + sys::show_size(bytes_));
  if (all_bytes_ != 0)
    call_.progress(phase, bytes_, all_bytes_);
  else
    call_.progress(phase, finished_.size(), items_);
}

void DumpProgram::done_already(const DumpEntry& entry) {
  if (!finished_.insert(entry.number).second) return;
  if (const auto size = sizes_.find(entry.number); size != sizes_.end()) bytes_ += size->second;
}

void DumpProgram::finished(const std::string& number) {
  at_hand_.erase(number);
  if (!look_.selection.numbers.contains(number)) return;
  DumpEntry entry;
  entry.number = number;
  done_already(entry);
  tell_progress();
  if (finished_one_) finished_one_(number);
}

void DumpProgram::heard(const std::string& line) {
  if (const std::string number = number_behind(line, "finished item "); !number.empty()) finished(number);
  // By one job, an item is finished when the next is begun.
  if (const std::string number = number_behind(line, "processing item "); !number.empty()) {
    for (const std::string& before : std::set<std::string>(at_hand_)) finished(before);
    at_hand_.insert(number);
  }
  if (const std::string number = number_behind(line, "launching item "); !number.empty())
    at_hand_.insert(number);
  if (const std::string number = number_behind(line, "from TOC entry "); !number.empty() && failed_.empty())
    failed_ = number;
}

void DumpProgram::run(const std::vector<DumpEntry>& entries, const std::vector<std::string>& options) {
  if (entries.empty()) return;
  const sys::TempFolder temp;
  sys::write_file(temp.path() + "/list", lines_of(entries), 0600);
  std::vector<std::string> arguments = {"--exit-on-error", "--verbose", "--no-password",
                                        "--dbname=" + load_.database, "--use-list=" + temp.path() + "/list"};
  for (const std::string& option : options)
    if (load_.format != DumpFormat::tar || !option.starts_with("--jobs=")) arguments.push_back(option);
  arguments.push_back(load_.path);
  std::map<std::string, std::string> variables = server_.environment();
  variables["LC_ALL"] = "C";  // its lines are read
  sys::Command command =
      load_.program.command(std::move(arguments), {temp.path(), load_.path}, std::move(variables));
  at_hand_.clear();
  std::string line;
  command.on_output = [&](std::string_view bytes) {
    for (const char c : bytes) {
      if (c != '\n') {
        line += c;
        continue;
      }
      call_.log(line);
      heard(line);
      line.clear();
    }
  };
  command.stop = [this] { return call_.stop_wanted(); };
  const sys::Result result = sys::run(command);
  if (!line.empty()) call_.log(line);
  if (result.stopped) throw Stopped();
  if (result.ok()) {
    for (const DumpEntry& entry : entries) done_already(entry);
    return;
  }
  std::string why = told_errors(result.err_tail), on = load_.path;
  if (why.empty()) why = "pg_restore exited with " + std::to_string(result.exit_code);
  // A worker that cannot read its rows names no item: then it is one of those that it may have been at.
  std::vector<std::string> items;
  for (const DumpEntry& entry : entries)
    if (failed_.empty() ? at_hand_.contains(entry.number) : entry.number == failed_)
      items.push_back(entry.told);
  if (!items.empty()) on += ", " + sys::join(items, " or ");
  throw Error(ErrorKind::permanent, what_failed, on, why, load_.mend);
}

}  // namespace relight::postgres
