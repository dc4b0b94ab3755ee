#include "runner/sys/pipeline.h"

#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/queue.h"
#include "runner/sys/tree_writer.h"

namespace relight::sys {
namespace {

constexpr std::size_t kPieces = 64;  // at most 16 MiB wait for a thread

// What the hasher and the writer get. A small file is one piece: begun, written and ended.
struct Piece {
  std::shared_ptr<const ArchiveEntry> entry;
  std::shared_ptr<const std::string> bytes;
  std::uint64_t at = 0;
  bool first = false, last = false;
};
using Pieces = Queue<Piece>;

// Runs a loop over a queue's pieces in a thread. A fault closes the queue, so that the reader sees it.
class Consumer {
 public:
  template <class Loop>
  explicit Consumer(Loop loop)
      : pieces_(kPieces), thread_([this, loop] {
          try {
            loop(pieces_);
          } catch (...) {
            fault_ = std::current_exception();
            pieces_.close();
          }
        }) {}
  ~Consumer() {  // only after a fault elsewhere does anything wait here
    pieces_.close();
    if (thread_.joinable()) thread_.join();
  }
  Consumer(const Consumer&) = delete;

  void put(const Piece& piece) {
    if (!pieces_.put(piece)) finish();
  }
  void finish() {  // waits for its end, and throws its fault
    pieces_.end();
    if (thread_.joinable()) thread_.join();
    if (fault_) std::rethrow_exception(fault_);
  }

 private:
  Pieces pieces_;
  std::exception_ptr fault_;
  std::thread thread_;
};

// What the hasher and the writer have done: told to the calling thread, and recorded when both have done it.
// Both take the files in the same order.
class Doings {
 public:
  explicit Doings(UnpackRecord* record) : record_(record) {}

  void hashed(const std::shared_ptr<const ArchiveEntry>& entry, const std::string& hex) {
    const std::lock_guard lock(mutex_);
    untold_.emplace_back(entry, hex);
    if (record_ == nullptr) return;
    unrecorded_.emplace_back(entry, hex);
    record();
  }
  void written() {
    const std::lock_guard lock(mutex_);
    ++written_;
    record();
  }
  void tell(const UnpackOptions& options) {
    std::vector<Hashed> hashed;
    {
      const std::lock_guard lock(mutex_);
      hashed.swap(untold_);
    }
    if (options.hashed)
      for (const auto& [entry, hex] : hashed) options.hashed(*entry, hex);
  }

 private:
  using Hashed = std::pair<std::shared_ptr<const ArchiveEntry>, std::string>;

  void record() {
    for (; recorded_ < written_ && !unrecorded_.empty(); ++recorded_) {
      record_->add(*unrecorded_.front().first, unrecorded_.front().second);
      unrecorded_.pop_front();
    }
  }

  UnpackRecord* const record_;
  std::mutex mutex_;
  std::vector<Hashed> untold_;
  std::deque<Hashed> unrecorded_;
  std::uint64_t written_ = 0, recorded_ = 0;
};

void write_all(Pieces& pieces, TreeWriter& writer, Doings& doings) {
  while (const std::optional<Piece> piece = pieces.take()) {
    if (piece->first) writer.begin(*piece->entry);
    if (piece->bytes) writer.write(piece->at, *piece->bytes);
    if (!piece->last || piece->entry->kind != 'f') continue;
    writer.end();
    doings.written();
  }
}

void hash_all(Pieces& pieces, Doings& doings) {
  const std::string zeros(kPiece, '\0');
  std::optional<Sha256> hash;
  std::uint64_t position = 0;
  const auto fill = [&](std::uint64_t to) {  // a hole reads as zeros
    while (position < to) {
      const std::uint64_t size = std::min<std::uint64_t>(to - position, zeros.size());
      hash->add({zeros.data(), static_cast<std::size_t>(size)});
      position += size;
    }
  };
  while (const std::optional<Piece> piece = pieces.take()) {
    if (piece->first) {
      hash.emplace();
      position = 0;
    }
    if (piece->bytes) {
      fill(piece->at);
      hash->add(*piece->bytes);
      position += piece->bytes->size();
    }
    if (piece->last) {
      fill(piece->entry->size);
      doings.hashed(piece->entry, hash->hex());
    }
  }
}

}  // namespace

struct Pipeline::State {
  State(const std::string& folder, const UnpackOptions& options, UnpackRecord* record)
      : folder_(folder),
        options_(options),
        record_(record),
        goes_on_(record != nullptr && record->goes_on()),
        doings_(record),
        tree_(folder, options.keep_owners, goes_on_,
              [this](const std::string& path) {
                if (record_ != nullptr) record_->replaced(path);
              }),
        there_(folder, options.keep_owners, goes_on_),
        writer_([this](Pieces& pieces) { write_all(pieces, tree_, doings_); }) {
    if (options.hashed || record_ != nullptr)
      hasher_.emplace([this](Pieces& pieces) { hash_all(pieces, doings_); });
  }

  void add(ArchiveEntry given, const Next& next_stretch) {
    look();
    if (options_.each && !options_.each(given)) return;
    const auto entry = std::make_shared<const ArchiveEntry>(std::move(given));
    (entry->kind == 'f' ? done_.files : entry->kind == 'd' ? done_.folders : done_.links) += 1;
    if (goes_on_) paths_.insert(entry->path);
    if (goes_on_ && entry->kind == 'f' && is_done(*entry)) return;
    Piece piece{.entry = entry, .bytes = nullptr, .at = 0, .first = true, .last = false};
    if (entry->kind == 'f') {
      std::string held;
      const auto flush = [&] {
        done_.bytes += held.size();
        piece.bytes = std::make_shared<const std::string>(std::move(held));
        put(piece);
        piece = {.entry = entry,
                 .bytes = nullptr,
                 .at = piece.at + piece.bytes->size(),
                 .first = false,
                 .last = false};
        held = {};
        look();
      };
      std::uint64_t at = 0;
      std::string_view bytes;
      while (next_stretch(at, bytes)) {
        if (at != piece.at + held.size()) {
          if (!held.empty()) flush();
          piece.at = at;
        }
        while (!bytes.empty()) {
          if (held.empty())
            held.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(entry->size, kPiece)));
          const std::size_t taken = std::min(bytes.size(), kPiece - held.size());
          held += bytes.substr(0, taken);
          bytes.remove_prefix(taken);
          if (held.size() == kPiece) flush();
        }
      }
      done_.bytes += held.size();
      if (!held.empty()) piece.bytes = std::make_shared<const std::string>(std::move(held));
    }
    piece.last = true;
    put(piece);
    if (options_.progress) options_.progress(done_.files, done_.bytes);
  }

  Unpacked finish() {
    writer_.finish();
    if (goes_on_) drop_what_is_gone();
    tree_.finish();
    if (hasher_) {
      hasher_->finish();
      doings_.tell(options_);
    }
    sync_tree(folder_);
    return done_;
  }

  bool is_done(const ArchiveEntry& entry) {
    const auto hash = record_->take(entry);
    if (!hash || !there_.has(entry)) return false;
    done_.bytes += entry.size;
    if (options_.hashed) options_.hashed(entry, *hash);
    return true;
  }
  // What an earlier attempt found in a folder that was changed since.
  void drop_what_is_gone() {
    std::vector<std::string> gone;
    walk(folder_, [&](const Entry& found) {
      if (found.path == UnpackRecord::name || paths_.count(found.path) > 0) return;
      const auto below = paths_.lower_bound(found.path + "/");
      if (below == paths_.end() || !below->starts_with(found.path + "/")) gone.push_back(found.path);
    });
    for (const std::string& path : gone) remove_tree(folder_ + "/" + path);
  }
  void put(const Piece& piece) {
    if (options_.block && piece.entry->kind == 'f') tell_block(piece);
    if (hasher_ && piece.entry->kind == 'f') hasher_->put(piece);
    writer_.put(piece);
  }
  void tell_block(const Piece& piece) {
    const auto zeros_up_to = [&](std::uint64_t to) {
      static const std::string zeros(kPiece, '\0');
      for (std::uint64_t size; told_ < to; told_ += size) {
        size = std::min<std::uint64_t>(to - told_, zeros.size());
        options_.block(*piece.entry, {zeros.data(), static_cast<std::size_t>(size)});
      }
    };
    if (piece.first) told_ = 0;
    if (piece.bytes) {
      zeros_up_to(piece.at);
      options_.block(*piece.entry, *piece.bytes);
      told_ += piece.bytes->size();
    }
    if (piece.last) zeros_up_to(piece.entry->size);
  }
  void look() {
    if (options_.stop && options_.stop())
      throw Error(ErrorKind::transient, "cannot unpack into", folder_, "told to stop");
    if (hasher_) doings_.tell(options_);
    if (options_.progress) options_.progress(done_.files, done_.bytes);
  }

  const std::string folder_;
  const UnpackOptions& options_;
  Unpacked done_;
  std::uint64_t told_ = 0;  // of the file at hand, by `block`
  UnpackRecord* const record_;
  const bool goes_on_;
  Doings doings_;
  std::set<std::string> paths_;  // of what is told, when the folder is gone on with
  TreeWriter tree_, there_;      // the writing thread's, and the calling one's
  Consumer writer_;              // after what its thread uses: gone before it
  std::optional<Consumer> hasher_;
};

Pipeline::Pipeline(const std::string& folder, const UnpackOptions& options, UnpackRecord* record)
    : state_(std::make_unique<State>(folder, options, record)) {}

Pipeline::~Pipeline() = default;

void Pipeline::add(ArchiveEntry entry, const Next& next_stretch) {
  state_->add(std::move(entry), next_stretch);
}

Unpacked Pipeline::finish() {
  return state_->finish();
}

}  // namespace relight::sys
