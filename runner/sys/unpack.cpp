// unpack and copy_checked of archive.h: one thread reads (and another decodes), one hashes, one writes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>
#include <thread>

#include "runner/sys/archive.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/queue.h"
#include "runner/sys/tree.h"
#include "runner/sys/tree_writer.h"

namespace relight::sys {
namespace {

constexpr std::size_t kPiece = 256u << 10, kPieces = 64;  // at most 16 MiB wait for a thread

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

// The files that were hashed and not yet told, handed from the hasher to the calling thread.
class Hashes {
 public:
  void add(std::shared_ptr<const ArchiveEntry> entry, std::string hex) {
    const std::lock_guard lock(mutex_);
    done_.emplace_back(std::move(entry), std::move(hex));
  }
  void tell(const UnpackOptions& options) {
    std::vector<std::pair<std::shared_ptr<const ArchiveEntry>, std::string>> done;
    {
      const std::lock_guard lock(mutex_);
      done.swap(done_);
    }
    for (const auto& [entry, hex] : done) options.hashed(*entry, hex);
  }

 private:
  std::mutex mutex_;
  std::vector<std::pair<std::shared_ptr<const ArchiveEntry>, std::string>> done_;
};

void write_all(Pieces& pieces, TreeWriter& writer) {
  while (const std::optional<Piece> piece = pieces.take()) {
    if (piece->first) writer.begin(*piece->entry);
    if (piece->bytes) writer.write(piece->at, *piece->bytes);
    if (piece->last && piece->entry->kind == 'f') writer.end();
  }
}

void hash_all(Pieces& pieces, Hashes& hashes) {
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
      hashes.add(piece->entry, hash->hex());
    }
  }
}

// Takes pieces from the calling thread to the hasher and the writer.
class Pipeline {
 public:
  Pipeline(const std::string& folder, const UnpackOptions& options)
      : folder_(folder),
        options_(options),
        tree_(folder, options.keep_owners),
        writer_([this](Pieces& pieces) { write_all(pieces, tree_); }) {
    if (options.hashed) hasher_.emplace([this](Pieces& pieces) { hash_all(pieces, hashes_); });
  }

  // `next_stretch(at, bytes)` gives the entry's bytes in order; false: its end.
  template <class Next>
  void add(ArchiveEntry given, Next next_stretch) {
    look();
    if (options_.each && !options_.each(given)) return;
    const auto entry = std::make_shared<const ArchiveEntry>(std::move(given));
    (entry->kind == 'f' ? done_.files : entry->kind == 'd' ? done_.folders : done_.links) += 1;
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
    tree_.finish();
    if (hasher_) {
      hasher_->finish();
      hashes_.tell(options_);
    }
    sync_tree(folder_);
    return done_;
  }

 private:
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
    if (hasher_) hashes_.tell(options_);
    if (options_.progress) options_.progress(done_.files, done_.bytes);
  }

  const std::string folder_;
  const UnpackOptions& options_;
  Unpacked done_;
  std::uint64_t told_ = 0;  // of the file at hand, by `block`
  Hashes hashes_;
  TreeWriter tree_;
  Consumer writer_;  // after what its thread uses: gone before it
  std::optional<Consumer> hasher_;
};

void must_be_empty(const std::string& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw system_error(errno, "cannot unpack into", folder);
  if (!names_in(fd.get(), folder).empty())
    throw Error(ErrorKind::permanent, "cannot unpack into", folder, "it is not empty");
}

// The stretches of a file that hold data.
class FileReader {
 public:
  explicit FileReader(const std::string& path)
      : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)), block_(kPiece, '\0') {
    if (!fd_) throw system_error(errno, "cannot read", path_);
  }
  bool operator()(std::uint64_t& at, std::string_view& bytes) {
    if (at_ >= end_) {
      at_ = ::lseek(fd_.get(), end_, SEEK_DATA);
      if (at_ < 0 && errno == ENXIO) return false;  // a hole up to the end, or the end
      if (at_ < 0 || (end_ = ::lseek(fd_.get(), at_, SEEK_HOLE)) < 0)
        throw system_error(errno, "cannot read", path_);
    }
    const auto size = std::min<std::size_t>(block_.size(), static_cast<std::size_t>(end_ - at_));
    const ssize_t got = ::pread(fd_.get(), block_.data(), size, at_);
    if (got < 0) throw system_error(errno, "cannot read", path_);
    if (got == 0)
      throw Error(ErrorKind::transient, "cannot read", path_, "it became shorter while it was read");
    at = static_cast<std::uint64_t>(at_);
    bytes = {block_.data(), static_cast<std::size_t>(got)};
    at_ += got;
    return true;
  }

 private:
  const std::string path_;
  Fd fd_;
  off_t at_ = 0, end_ = 0;
  std::string block_;
};

ArchiveEntry entry_of(const std::string& root, const std::string& path, struct stat& info) {
  const std::string whole = path.empty() ? root : root + "/" + path;
  if (::fstatat(AT_FDCWD, whole.c_str(), &info, path.empty() ? 0 : AT_SYMLINK_NOFOLLOW) != 0)
    throw system_error(errno, "cannot look at", whole);
  return {.path = path,
          .kind = S_ISREG(info.st_mode)   ? 'f'
                  : S_ISDIR(info.st_mode) ? 'd'
                  : S_ISLNK(info.st_mode) ? 'l'
                                          : 'o',
          .size = S_ISREG(info.st_mode) ? static_cast<std::uint64_t>(info.st_size) : 0,
          .mode = info.st_mode & 07777,
          .owner = {info.st_uid, info.st_gid},
          .mtime_ns = info.st_mtim.tv_sec * std::int64_t{1000000000} + info.st_mtim.tv_nsec,
          .link = {}};
}

}  // namespace

Unpacked unpack(const std::string& archive, const std::string& folder, const UnpackOptions& options) {
  must_be_empty(folder);
  ArchiveReader reader(archive);
  Pipeline pipeline(folder, options);
  ArchiveEntry entry;
  ArchiveReader::Stretch stretch;
  while (reader.next(entry))
    pipeline.add(entry, [&](std::uint64_t& at, std::string_view& bytes) {
      if (!reader.next_stretch(stretch)) return false;
      at = stretch.at;
      bytes = stretch.bytes;
      return true;
    });
  return pipeline.finish();
}

Unpacked copy_checked(const std::string& from, const std::string& folder, const UnpackOptions& options) {
  must_be_empty(folder);
  Pipeline pipeline(folder, options);
  std::map<std::pair<dev_t, ino_t>, std::string> linked;  // the first name of what has several
  const auto nothing = [](std::uint64_t&, std::string_view&) { return false; };
  struct stat info;
  pipeline.add(entry_of(from, "", info), nothing);
  walk(from, [&](const Entry& found) {
    ArchiveEntry entry = entry_of(from, found.path, info);
    entry.link = found.link;
    if (entry.kind == 'f' && info.st_nlink > 1) {
      const auto [first, fresh] = linked.try_emplace({info.st_dev, info.st_ino}, entry.path);
      if (!fresh) {
        entry.kind = 'h';
        entry.size = 0;
        entry.link = first->second;
      }
    }
    if (entry.kind == 'f') {
      pipeline.add(std::move(entry), FileReader(from + "/" + found.path));
    } else {
      pipeline.add(std::move(entry), nothing);
    }
  });
  return pipeline.finish();
}

}  // namespace relight::sys
