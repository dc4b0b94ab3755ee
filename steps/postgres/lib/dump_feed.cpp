#include "steps/postgres/lib/dump_feed.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <system_error>

#include "runner/sys/decode.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/dump_contents.h"

namespace relight::postgres {
namespace {

constexpr const char* what_failed = "cannot restore the dump";

// What pg_restore says to its own sessions.
constexpr const char* as_pg_restore_does =
    "SET standard_conforming_strings = on; SET check_function_bodies = false; SET xmloption = content; "
    "SET client_min_messages = warning; SET row_security = off";

std::string qualified(const DumpItem& item) {
  return sys::quote_identifier(item.schema) + "." + sys::quote_identifier(item.name);
}

// Its COPY names the table as far as it must with quotes. Rows that go by the root of the partitions say so
// in place of a definition, or their COPY names the root.
bool copies_into_its_own(const DumpItem& item) {
  if (!item.definition.empty()) return false;
  const auto without_quotes = [](std::string text) {
    std::erase(text, '"');
    return text;
  };
  return without_quotes(item.copy).starts_with("COPY " + without_quotes(item.schema + "." + item.name) +
                                               " (");
}

std::string file_of(const std::string& dump, const DumpItem& item) {
  return dump + "/" + item.number + ".dat.gz";
}

// The data of an item of a custom dump, its chunks put together: small ones cost their decoder time.
class Chunks {
 public:
  Chunks(const std::string& dump, const DumpItem& item) : file_(dump) {
    file_.go_on_to(*item.place);
    const DumpFile::Block block = file_.block();
    if (!block.of_table || block.number != item.number) throw NotShown();
  }
  std::string_view next() {
    constexpr std::size_t enough = 128u << 10;
    together_.clear();
    while (!ended_ && together_.size() < enough) {
      const std::string_view chunk = file_.chunk();
      ended_ = chunk.empty();
      together_ += chunk;
    }
    return together_;
  }

 private:
  DumpFile file_;
  std::string together_;
  bool ended_ = false;
};

}  // namespace

// The rows of an item, decoded. One thread at a time.
class DumpFeed::Source {
 public:
  Source(const DumpLoad& load, const DumpItem& item) {
    if (load.format == DumpFormat::custom) {
      chunks_.emplace(load.path, item);
      decoder_ = sys::decode_zlib(load.path, [this] { return chunks_->next(); });
    } else {
      decoder_ = sys::open_decoder(file_of(load.path, item));
    }
  }
  Source(const Source&) = delete;

  // Good until the next call; empty: the end.
  std::string_view next() {
    if (ahead_.empty()) {
      held_ = decoded();
    } else {
      held_ = std::move(ahead_.front());
      ahead_.pop_front();
    }
    return held_;
  }
  // Decodes a piece and keeps it. Returns the memory that it takes; 0: the end.
  std::size_t decode_ahead() {
    std::string piece = decoded();
    if (piece.empty()) return 0;
    piece.shrink_to_fit();
    ahead_.push_back(std::move(piece));
    return ahead_.back().capacity() + sizeof(std::string);
  }

 private:
  std::string decoded() {
    if (!decoder_) return "";
    std::string piece(256u << 10, '\0');
    piece.resize(decoder_->read(piece.data(), piece.size()));
    if (piece.empty()) {  // the file is closed: many may be decoded ahead
      decoder_.reset();
      chunks_.reset();
    }
    return piece;
  }

  std::optional<Chunks> chunks_;
  std::unique_ptr<sys::Decoder> decoder_;
  std::deque<std::string> ahead_;
  std::string held_;
};

namespace {

// What several threads have finished, and the first fault of any.
class Progress {
 public:
  void finished(const std::string& number) {
    const std::lock_guard lock(mutex_);
    numbers_.push_back(number);
    changed_.notify_one();
  }
  void failed_by(std::exception_ptr fault) {
    const std::lock_guard lock(mutex_);
    if (!fault_) fault_ = std::move(fault);
  }
  void ended() {
    const std::lock_guard lock(mutex_);
    ++ended_;
    changed_.notify_one();
  }
  bool failed() const {
    const std::lock_guard lock(mutex_);
    return fault_ != nullptr;
  }
  void throw_fault() const {
    const std::lock_guard lock(mutex_);
    if (fault_) std::rethrow_exception(fault_);
  }
  bool at_work(std::size_t threads) const {
    const std::lock_guard lock(mutex_);
    return !fault_ && ended_ < threads;
  }
  // Waits for the next; nothing: that many threads have ended.
  std::optional<std::string> next(std::size_t threads) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !numbers_.empty() || ended_ >= threads; });
    if (numbers_.empty()) return std::nullopt;
    const std::string number = numbers_.back();
    numbers_.pop_back();
    return number;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> numbers_;
  std::size_t ended_ = 0;
  std::exception_ptr fault_;
};

}  // namespace

DumpFeed::DumpFeed(const DumpLoad& load, const DumpLook& look) : load_(load), look_(look) {
  if (load.format != DumpFormat::custom && load.format != DumpFormat::directory) return;
  const bool custom = load.format == DumpFormat::custom;
  std::vector<DumpItem> items;
  std::uint64_t size = 0;
  try {
    DumpFile file(custom ? load.path : load.path + "/toc.dat");
    const DumpHead head = file.head();
    if (!head.gzip || head.custom != custom) return;
    items = file.contents(head);
    size = file.size();
  } catch (const NotShown&) {
    return;  // pg_restore knows it, or says what is wrong with it
  }
  std::set<std::pair<std::string, std::string>> made;
  std::set<std::uint64_t> places = {size};
  for (const DumpItem& item : items) {
    if (item.kind == "ENCODING" || item.kind == "STDSTRINGS" || item.kind == "SEARCHPATH")
      session_.push_back(item.definition);
    if (item.kind == "TABLE" && look.selection.numbers.contains(item.number))
      made.emplace(item.schema, item.name);
    if (item.place) places.insert(*item.place);
  }
  for (DumpItem& item : items) {
    if (item.kind != "TABLE DATA" || !look.selection.numbers.contains(item.number) ||
        !made.contains({item.schema, item.name}) || !copies_into_its_own(item) ||
        (custom ? !item.place : !sys::exists(file_of(load.path, item))))
      continue;
    numbers_.insert(item.number);
    Rows& rows = rows_.emplace_back();
    std::error_code none;
    if (!custom)
      rows.bytes = std::filesystem::file_size(file_of(load.path, item), none);
    else if (const auto end = places.upper_bound(*item.place); end != places.end())
      rows.bytes = *end - *item.place;
    rows.item = std::move(item);
  }
  std::stable_sort(rows_.begin(), rows_.end(),
                   [](const Rows& one, const Rows& other) { return one.bytes > other.bytes; });
}

DumpFeed::~DumpFeed() {
  end_ahead();
}

void DumpFeed::decode_ahead(std::uint64_t memory) try {
  ahead_ = std::thread([this, memory] {
    std::uint64_t kept = 0;
    for (std::size_t i = 0; i < rows_.size() && kept < memory && !enough_; ++i) try {
        Source& source = *(sources_[i] = std::make_unique<Source>(load_, rows_[i].item));
        for (std::size_t more = 1; more > 0 && kept < memory && !enough_; kept += more)
          more = source.decode_ahead();
      } catch (...) {  // whoever copies that item meets the same
        sources_.erase(i);
        return;
      }
  });
} catch (const std::system_error&) {  // no thread: all is decoded when its turn comes
}

void DumpFeed::end_ahead() {
  enough_ = true;
  if (ahead_.joinable()) ahead_.join();
}

void DumpFeed::copy(std::size_t number, sys::Sql& sql) {
  const DumpItem& item = rows_[number].item;
  const auto begun = sources_.find(number);
  const auto source =
      begun == sources_.end() ? std::make_unique<Source>(load_, item) : std::move(begun->second);
  sql.execute("BEGIN; TRUNCATE TABLE ONLY " + qualified(item));
  sql.copy_in(item.copy, [&] { return source->next(); });
  sql.execute("COMMIT");
}

// The fault that is being handled, told of the item.
std::exception_ptr DumpFeed::fault_at(const Rows& rows) const {
  const auto entry = std::find_if(look_.entries.begin(), look_.entries.end(),
                                  [&](const DumpEntry& one) { return one.number == rows.item.number; });
  const auto told = [&](ErrorKind kind, const std::string& on, std::string why, std::string hint) {
    return std::make_exception_ptr(
        Error(kind, what_failed, on + ", " + entry->told, std::move(why), std::move(hint)));
  };
  try {
    throw;
  } catch (const NotShown&) {
    return told(ErrorKind::permanent, load_.path,
                "its rows are not where the table of contents has them, or cut off", other_copy);
  } catch (const sys::SqlError& error) {
    return told(error.kind, load_.path, error.why, load_.mend);
  } catch (const Error& error) {  // of a file
    return told(error.kind, error.on, error.why,
                error.kind == ErrorKind::permanent ? other_copy : error.hint);
  } catch (...) {
    return std::current_exception();
  }
}

void DumpFeed::run(const DatabaseServer& server, const Call& call,
                   const std::function<void(const std::string& number)>& finished,
                   const std::function<void()>& idle) {
  end_ahead();
  Progress progress;
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    const Rows* at = nullptr;
    try {
      sys::Sql sql = server.connect(call, load_.database);
      sql.stop_when([&] { return progress.failed() || call.stop_wanted(); });
      sql.execute(as_pg_restore_does);
      for (const std::string& statement : session_) sql.execute(statement);
      for (std::size_t i = next++; i < rows_.size() && !progress.failed(); i = next++) {
        at = &rows_[i];
        copy(i, sql);
        progress.finished(at->item.number);
      }
    } catch (...) {
      progress.failed_by(at == nullptr ? std::current_exception() : fault_at(*at));
    }
    progress.ended();
  };
  std::vector<std::thread> threads;
  const std::size_t jobs = std::min(rows_.size(), static_cast<std::size_t>(std::max(load_.jobs, 1)));
  threads.reserve(jobs);
  try {
    while (threads.size() < jobs) threads.emplace_back(work);
    while (const auto number = progress.next(1)) finished(*number);
    if (progress.at_work(jobs)) idle();
    while (const auto number = progress.next(jobs)) finished(*number);
  } catch (...) {
    progress.failed_by(std::current_exception());
  }
  for (std::thread& thread : threads) thread.join();
  call.stop_here_if_wanted();
  progress.throw_fault();
}

}  // namespace relight::postgres
