#include "runner/sys/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "runner/sys/archive_locale.h"
#include "runner/sys/decode.h"
#include "runner/sys/error.h"
#include "runner/sys/text.h"

namespace relight::sys {
namespace {

constexpr const char* kCannotRead = "cannot read the archive";

struct Free {
  void operator()(::archive* one) const { archive_read_free(one); }
};

}  // namespace

struct ArchiveReader::State {
  std::string path;
  bool zip = false;
  std::unique_ptr<DecodingThread> decoding;  // not of a zip, which is read at its own pace
  std::exception_ptr decoding_fault;
  std::string tail;  // the last 512 bytes that were decoded
  std::unique_ptr<::archive, Free> reader;
  std::string entry;  // the one at hand, as the archive names it
  std::uint64_t size = 0;
  Stretch left{0, {}};  // of the stretch at hand, for read
  std::uint64_t position = 0;

  // `why`, or what the decoder said, with the entry at hand.
  [[noreturn]] void broken(std::string why) {
    std::string where = entry.empty() ? "before the first entry" : "at the entry " + entry;
    if (decoding_fault) {
      try {
        std::rethrow_exception(decoding_fault);
      } catch (const Error& error) {
        throw Error(error.kind, kCannotRead, path, error.why + " (" + where + ")");
      }
    }
    throw Error(ErrorKind::permanent, kCannotRead, path, std::move(why) + " (" + where + ")");
  }

  std::string_view pull() {
    try {
      const std::string_view block = decoding->next();
      if (block.size() >= 512) {
        tail = block.substr(block.size() - 512);
      } else if (!block.empty()) {
        tail += block;
        tail.erase(0, tail.size() - std::min<std::size_t>(tail.size(), 512));
      }
      return block;
    } catch (...) {
      decoding_fault = std::current_exception();
      throw;
    }
  }

  static la_ssize_t pull_for_libarchive(::archive* reader, void* client, const void** buffer) {
    auto* state = static_cast<State*>(client);
    try {
      const std::string_view block = state->pull();
      *buffer = block.data();
      return static_cast<la_ssize_t>(block.size());
    } catch (...) {  // no exception passes through C; `broken` throws it again
      archive_set_error(reader, EIO, "decoding failed");
      return ARCHIVE_FATAL;
    }
  }

  // libarchive stops at a tar's end mark, or where the data happens to end: the rest is decoded for its check
  // sums, and the end mark looked for.
  void check_end() {
    if (zip) return;
    try {
      while (!pull().empty()) {
      }
    } catch (...) {
      broken("");
    }
    if (tail.size() < 512 || tail.find_first_not_of('\0') != std::string::npos)
      broken("it is truncated: a tar's end mark is missing");
  }
};

ArchiveReader::ArchiveReader(const std::string& path) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = path;
  s.zip = is_zip(path);
  s.reader.reset(archive_read_new());
  const ArchiveLocale locale(s.zip);
  if (s.zip) {
    archive_read_support_format_zip_seekable(s.reader.get());
    if (archive_read_open_filename(s.reader.get(), path.c_str(), 256u << 10) != ARCHIVE_OK)
      s.broken(archive_fault(s.reader.get()));
  } else {
    s.decoding = std::make_unique<DecodingThread>(path);
    archive_read_support_format_tar(s.reader.get());
    if (archive_read_open2(s.reader.get(), &s, nullptr, State::pull_for_libarchive, nullptr, nullptr) !=
        ARCHIVE_OK)
      s.broken(archive_fault(s.reader.get()));
  }
}

ArchiveReader::~ArchiveReader() = default;

bool ArchiveReader::next(ArchiveEntry& entry) {
  State& s = *state_;
  const ArchiveLocale locale(s.zip);
  struct archive_entry* one = nullptr;
  const int result = archive_read_next_header(s.reader.get(), &one);
  if (result == ARCHIVE_EOF) {
    s.check_end();
    return false;
  }
  // A warning is about a name's conversion or a foreign attribute; the entry is whole.
  if (result != ARCHIVE_OK && result != ARCHIVE_WARN) s.broken(archive_fault(s.reader.get()));
  const char* name = archive_entry_pathname(one);
  if (name == nullptr) s.broken("the name of an entry cannot be read");
  s.entry = name;
  const char* const hard = archive_entry_hardlink(one);
  const char* const symbolic = archive_entry_symlink(one);
  switch (archive_entry_filetype(one)) {
    case AE_IFREG:
      entry.kind = 'f';
      break;
    case AE_IFDIR:
      entry.kind = 'd';
      break;
    case AE_IFLNK:
      entry.kind = 'l';
      break;
    default:
      entry.kind = 'o';
      break;
  }
  if (hard != nullptr) entry.kind = 'h';
  if (entry.kind == 'l' && symbolic == nullptr) s.broken("the text of a link cannot be read");
  entry.path = path_within(s.path, s.entry);
  entry.link = hard != nullptr ? path_within(s.path, hard) : entry.kind == 'l' ? symbolic : "";
  const la_int64_t size = archive_entry_size(one);
  if (size < 0) s.broken("the size of an entry is negative");
  entry.size = entry.kind == 'f' ? static_cast<std::uint64_t>(size) : 0;
  entry.mode = archive_entry_perm(one) & 07777;
  entry.owner = {static_cast<uid_t>(archive_entry_uid(one)), static_cast<gid_t>(archive_entry_gid(one))};
  const std::int64_t seconds = archive_entry_mtime(one);
  if (__builtin_mul_overflow(seconds, std::int64_t{1000000000}, &entry.mtime_ns) ||
      __builtin_add_overflow(entry.mtime_ns, archive_entry_mtime_nsec(one), &entry.mtime_ns))
    entry.mtime_ns = 0;
  s.size = entry.size;
  s.position = 0;
  s.left = {0, {}};
  return true;
}

bool ArchiveReader::next_stretch(Stretch& stretch) {
  State& s = *state_;
  const void* buffer = nullptr;
  std::size_t size = 0;
  la_int64_t at = 0;
  do {
    const int result = archive_read_data_block(s.reader.get(), &buffer, &size, &at);
    if (result == ARCHIVE_EOF) return false;
    if (result != ARCHIVE_OK) s.broken(archive_fault(s.reader.get()));
  } while (size == 0);
  stretch = {static_cast<std::uint64_t>(at), {static_cast<const char*>(buffer), size}};
  return true;
}

std::size_t ArchiveReader::read(char* buffer, std::size_t size) {
  State& s = *state_;
  if (s.left.bytes.empty() && !next_stretch(s.left)) {
    s.left = {s.size, {}};
    if (s.position >= s.size) return 0;
  }
  if (s.position < s.left.at) {  // a hole
    const auto zeros = static_cast<std::size_t>(std::min<std::uint64_t>(size, s.left.at - s.position));
    std::memset(buffer, 0, zeros);
    s.position += zeros;
    return zeros;
  }
  const std::size_t taken = std::min(size, s.left.bytes.size());
  std::memcpy(buffer, s.left.bytes.data(), taken);
  s.left.bytes.remove_prefix(taken);
  s.left.at += taken;
  s.position += taken;
  return taken;
}

std::string ArchiveReader::read_all(std::uint64_t limit) {
  std::string bytes;
  std::array<char, 65536> block;
  while (const std::size_t got = read(block.data(), block.size())) {
    bytes.append(block.data(), got);
    if (bytes.size() > limit)
      throw Error(ErrorKind::refused, kCannotRead, state_->path,
                  "the entry " + state_->entry + " is larger than " + show_size(limit));
  }
  return bytes;
}

std::string path_within(const std::string& archive, const std::string& path) {
  const auto leads_out = [&] {
    return Error(ErrorKind::refused, kCannotRead, archive, "the entry " + path + " leads out of the folder",
                 "do not trust this archive; nothing of it belongs there");
  };
  if (path.starts_with('/')) throw leads_out();
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(std::move(part));
    } else if (parts.empty()) {
      throw leads_out();
    } else {
      parts.pop_back();
    }
  }
  return join(parts, "/");
}

bool is_archive(const std::string& path) {
  for (const char* end : {".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.lz4", ".tar.xz", ".zip"})
    if (path.ends_with(end)) return true;
  return false;
}

}  // namespace relight::sys
