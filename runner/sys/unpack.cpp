// unpack and copy_checked of archive.h.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>

#include "runner/sys/archive.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/pipeline.h"
#include "runner/sys/tree.h"
#include "runner/sys/unpack_record.h"

namespace relight::sys {
namespace {

void must_be_empty(const std::string& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw system_error(errno, "cannot unpack into", folder);
  if (!names_in(fd.get(), folder).empty())
    throw Error(ErrorKind::permanent, "cannot unpack into", folder, "it is not empty");
}

// What is unpacked and how, as one word.
std::string identity_of(const std::string& from, const UnpackOptions& options) {
  struct stat info;
  if (::stat(from.c_str(), &info) != 0) throw system_error(errno, "cannot read", from);
  std::string text =
      fmt::format("{}\n{}\n{} {} {}", options.resume_as, from, info.st_ino, ::geteuid(), options.keep_owners);
  // A folder is looked at entry by entry.
  if (!S_ISDIR(info.st_mode))
    text += fmt::format("\n{} {}.{}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  return sha256_hex(text);
}

std::unique_ptr<UnpackRecord> record_of(const std::string& from, const std::string& folder,
                                        const UnpackOptions& options) {
  if (!unpacking_begun(from, folder, options)) must_be_empty(folder);
  if (options.resume_as.empty()) return nullptr;
  return std::make_unique<UnpackRecord>(folder, identity_of(from, options));
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

ArchiveEntry archive_entry(const std::string& root, const std::string& path, struct stat& info) {
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

bool unpacking_begun(const std::string& from, const std::string& folder, const UnpackOptions& options) {
  return !options.resume_as.empty() && UnpackRecord::is_of(folder, identity_of(from, options));
}

void forget_unpacking(const std::string& folder) {
  UnpackRecord::remove(folder);
}

Unpacked unpack(const std::string& archive, const std::string& folder, const UnpackOptions& options) {
  const auto record = record_of(archive, folder, options);
  ArchiveReader reader(archive);
  Pipeline pipeline(folder, options, record.get());
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
  const auto record = record_of(from, folder, options);
  Pipeline pipeline(folder, options, record.get());
  std::map<std::pair<dev_t, ino_t>, std::string> linked;  // the first name of what has several
  const auto nothing = [](std::uint64_t&, std::string_view&) { return false; };
  struct stat info;
  pipeline.add(archive_entry(from, "", info), nothing);
  walk(from, [&](const Entry& found) {
    ArchiveEntry entry = archive_entry(from, found.path, info);
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
      std::optional<FileReader> reader;  // opened when its bytes are wanted
      pipeline.add(std::move(entry), [&](std::uint64_t& at, std::string_view& bytes) {
        if (!reader) reader.emplace(from + "/" + found.path);
        return (*reader)(at, bytes);
      });
    } else {
      pipeline.add(std::move(entry), nothing);
    }
  });
  return pipeline.finish();
}

}  // namespace relight::sys
