#include "steps/postgres/lib/deletions.h"

#include <charconv>

#include "steps/postgres/lib/moment.h"

namespace relight::postgres {
namespace {

constexpr std::uint64_t large_deletion = 100;  // rows

// The words of one list in a record's text: "COMMIT ... UTC; rels: base/5/16385 base/5/16388; subxacts: 8 9".
std::vector<std::string> list_in(const std::string& text, const std::string& name) {
  const std::string word = "; " + name + ": ";
  const std::size_t at = text.find(word);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + word.size();
  std::vector<std::string> words = sys::split(text.substr(begin, text.find(';', begin) - begin), ' ');
  std::erase(words, "");
  return words;
}

std::string so_many(std::uint64_t number, const std::string& one, const std::string& many) {
  return sys::show_count(number) + (number == 1 ? one : many);
}

}  // namespace

Deletions::Done Deletions::take(std::uint32_t xid) {
  const auto found = open_.find(xid);
  if (found == open_.end()) return {};
  const Done done = found->second;
  open_.erase(found);
  return done;
}

void Deletions::see(const WalRecord& record) {
  if (record.manager == "Heap" && record.text.rfind("DELETE", 0) == 0) ++open_[record.xid].rows;
  if (record.manager == "Database" && record.text.rfind("DROP", 0) == 0) ++open_[record.xid].databases;
  const auto end = transaction_end(record);
  if (!end) return;
  Done done = take(end->xid);
  for (const std::string& sub : list_in(record.text, "subxacts")) {
    std::uint32_t xid = 0;
    std::from_chars(sub.data(), sub.data() + sub.size(), xid);
    const Done own = take(xid);
    done.rows += own.rows;
    done.databases += own.databases;
  }
  if (!end->commit) return;
  std::uint64_t files = 0;  // those of temporary tables are named t3_16385
  for (const std::string& file : list_in(record.text, "rels")) files += file.find("/t") == std::string::npos;
  std::vector<std::string> what;
  if (done.rows >= large_deletion) what.push_back(so_many(done.rows, " row deleted", " rows deleted"));
  if (files > 0)
    what.push_back(so_many(files, " file", " files") +
                   " of tables or indexes dropped, truncated or rewritten");
  if (done.databases > 0) what.push_back(so_many(done.databases, " database dropped", " databases dropped"));
  if (!what.empty()) found_.push_back({record.previous, end->time, sys::join(what, ", ")});
}

}  // namespace relight::postgres
