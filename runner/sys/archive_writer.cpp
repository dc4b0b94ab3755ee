#include "runner/sys/archive_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "runner/sys/archive_locale.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/text.h"

namespace relight::sys {
namespace {

constexpr const char* cannot_pack = "cannot pack";

struct FreeWriter {
  void operator()(::archive* one) const { archive_write_free(one); }
};
struct FreeEntry {
  void operator()(archive_entry* one) const { archive_entry_free(one); }
};

class Packer {
 public:
  Packer(std::string folder, const std::string& archive, Packing packing, const PackOptions& options)
      : folder_(std::move(folder)),
        archive_(archive),
        zip_(packing == Packing::zip),
        options_(options),
        fd_(open(archive.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)),
        writer_(archive_write_new()),
        buffer_(1u << 20) {
    if (!fd_) throw system_error(errno, "cannot make the archive", archive);
    ::archive* const writer = writer_.get();
    if (zip_) {
      check(archive_write_set_format_zip(writer));
    } else {
      check(archive_write_set_format_pax(writer));  // the restricted one drops parts of a second
      if (packing == Packing::tar_gz) {
        check(archive_write_add_filter_gzip(writer));
        // The same files make the same archive: no time of its own.
        archive_write_set_filter_option(writer, "gzip", "timestamp", nullptr);
      } else {
        check(archive_write_add_filter_zstd(writer));
        // Where the library is too old for it, one thread does the work.
        archive_write_set_filter_option(
            writer, "zstd", "threads",
            std::to_string(std::max(1u, std::thread::hardware_concurrency())).c_str());
      }
      archive_write_set_bytes_in_last_block(writer, 1);
    }
    check(archive_write_open_fd(writer, fd_.get()));
  }

  Packed all() {
    add_top();
    walk(folder_, [&](const Entry& entry) {
      if (options_.stop && options_.stop())
        throw Error(ErrorKind::transient, cannot_pack, folder_, "told to stop");
      if (!options_.each || options_.each(entry)) add(entry);
    });
    {
      const ArchiveLocale locale(zip_);
      check(archive_write_close(writer_.get()));
    }
    if (fails_at("sys:fsync") || fsync(fd_.get()) != 0)
      throw system_error(errno, "cannot sync the archive", archive_);
    return packed_;
  }

 private:
  void check(int result) const {
    if (result == ARCHIVE_OK || result == ARCHIVE_WARN) return;
    const int number = archive_errno(writer_.get());
    const char* const text = archive_error_string(writer_.get());
    if (number == ENOSPC || number == EDQUOT || number == EIO || number == EFBIG)
      throw system_error(number, "cannot write the archive", archive_);
    throw Error(ErrorKind::permanent, "cannot write the archive", archive_,
                text == nullptr ? "libarchive gives no reason" : text);
  }

  [[noreturn]] void changed(const std::string& path, const std::string& how) const {
    throw Error(ErrorKind::permanent, cannot_pack, folder_ + "/" + path, how + " while it was read",
                "stop what writes there in a step before this one, or leave it out");
  }

  // The folder itself, which a zip has no place for.
  void add_top() {
    if (zip_) return;
    struct stat status;
    if (stat(folder_.c_str(), &status) != 0) throw system_error(errno, "cannot read", folder_);
    header({.path = ".",
            .kind = 'd',
            .size = 0,
            .mode = status.st_mode,
            .owner = {status.st_uid, status.st_gid},
            .mtime_ns = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec,
            .link = ""},
           0, "");
  }

  void add(const Entry& entry) {
    const std::string path = folder_ + "/" + entry.path;
    if (entry.kind == 'o')
      throw Error(ErrorKind::refused, cannot_pack, path, "it is a device, fifo or socket", "leave it out");
    // A backslash comes back as a slash.
    if (zip_ && (!is_utf8(entry.path) || entry.path.find('\\') != std::string::npos))
      throw Error(ErrorKind::refused, cannot_pack, path,
                  "a zip holds names in UTF-8 only, and none with a backslash",
                  "pack into a .tar.zst or .tar.gz");
    if (entry.kind == 'f')
      add_file(entry, path);
    else
      header(entry, entry.size, "");
  }

  void header(const Entry& entry, std::uint64_t size, const std::string& hard_link) {
    const ArchiveLocale locale(zip_);
    const std::unique_ptr<archive_entry, FreeEntry> one(archive_entry_new());
    archive_entry* const e = one.get();
    archive_entry_set_pathname(e, entry.path.c_str());
    archive_entry_set_filetype(e, entry.kind == 'd' ? AE_IFDIR : entry.kind == 'l' ? AE_IFLNK : AE_IFREG);
    archive_entry_set_perm(e, entry.mode & 07777);
    archive_entry_set_uid(e, entry.owner.uid);
    archive_entry_set_gid(e, entry.owner.gid);
    constexpr std::int64_t second = 1000000000;
    std::int64_t seconds = entry.mtime_ns / second, rest = entry.mtime_ns % second;
    if (rest < 0) --seconds, rest += second;
    archive_entry_set_mtime(e, seconds, static_cast<long>(rest));
    if (entry.kind == 'l') archive_entry_set_symlink(e, entry.link.c_str());
    if (!hard_link.empty())
      archive_entry_set_hardlink(e, hard_link.c_str());
    else
      archive_entry_set_size(e, entry.kind == 'f' ? static_cast<la_int64_t>(size) : 0);
    check(archive_write_header(writer_.get(), e));
  }

  void add_file(const Entry& entry, const std::string& path) {
    const Fd file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file && (errno == ENOENT || errno == ELOOP)) changed(entry.path, "it went away");
    if (!file) throw system_error(errno, "cannot read", path);
    struct stat before, after;
    if (fstat(file.get(), &before) != 0) throw system_error(errno, "cannot read", path);
    if (!S_ISREG(before.st_mode)) changed(entry.path, "it became another thing");
    const auto [first, is_first] = linked_.try_emplace({before.st_dev, before.st_ino}, entry.path);
    if (before.st_nlink < 2) linked_.erase(first);
    const bool again = before.st_nlink > 1 && !is_first;
    if (again && !zip_) {
      header(entry, 0, first->second);
      if (options_.hashed) options_.hashed(entry, hashes_.at(first->second));
      ++packed_.files;
      return;
    }
    const auto size = static_cast<std::uint64_t>(before.st_size);
    header(entry, size, "");
    Sha256 hash;
    for (std::uint64_t done = 0; done < size;) {
      const ssize_t got =
          read(file.get(), buffer_.data(), std::min<std::uint64_t>(buffer_.size(), size - done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw system_error(errno, "cannot read", path);
      if (got == 0) changed(entry.path, "it became shorter");
      const std::string_view block(buffer_.data(), static_cast<std::size_t>(got));
      hash.add(block);
      write(block);
      done += block.size();
      packed_.bytes += block.size();
      if (options_.progress) options_.progress(packed_.files, packed_.bytes);
      if (options_.stop && options_.stop())
        throw Error(ErrorKind::transient, cannot_pack, folder_, "told to stop");
    }
    if (fstat(file.get(), &after) != 0) throw system_error(errno, "cannot read", path);
    if (after.st_size != before.st_size || after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
        after.st_mtim.tv_nsec != before.st_mtim.tv_nsec)
      changed(entry.path, "it was written to");
    ++packed_.files;
    const std::string hex = hash.hex();
    if (before.st_nlink > 1) hashes_[entry.path] = hex;
    if (options_.hashed) options_.hashed(entry, hex);
  }

  void write(std::string_view block) const {
    const ArchiveLocale locale(zip_);
    for (std::size_t done = 0; done < block.size();) {
      const la_ssize_t wrote = archive_write_data(writer_.get(), block.data() + done, block.size() - done);
      if (wrote <= 0) check(ARCHIVE_FATAL);
      done += static_cast<std::size_t>(wrote);
    }
  }

  const std::string folder_, archive_;
  const bool zip_;
  const PackOptions& options_;
  const Fd fd_;
  const std::unique_ptr<::archive, FreeWriter> writer_;
  std::vector<char> buffer_;
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;  // the first name of a file that has several
  std::map<std::string, std::string> hashes_;              // of those
  Packed packed_;
};

}  // namespace

Packed pack(const std::string& folder, const std::string& archive, Packing packing,
            const PackOptions& options) {
  return Packer(folder, archive, packing, options).all();
}

}  // namespace relight::sys
