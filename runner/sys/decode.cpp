#include "runner/sys/decode.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runner/sys/error.h"

namespace relight::sys {
namespace {

constexpr const char* cannot_read = "cannot read the archive";
constexpr std::size_t kBlock = 256u << 10;

Fd open_archive(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw read_error(errno, cannot_read, path);
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return fd;
}

// Nothing of a pipe, which can be read once: what comes by one is taken as plain.
std::string first_bytes(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0 && S_ISFIFO(info.st_mode)) return "";
  Fd fd = open_archive(path);
  std::string bytes(8, '\0');
  const ssize_t got = ::read(fd.get(), bytes.data(), bytes.size());
  if (got < 0) throw read_error(errno, cannot_read, path);
  if (got == 0) throw Error(ErrorKind::permanent, cannot_read, path, "it is empty");
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

class Plain : public Decoder {
 public:
  explicit Plain(std::string path) : path_(std::move(path)), fd_(open_archive(path_)) {}
  std::size_t read(char* buffer, std::size_t size) override {
    while (true) {
      const ssize_t got = ::read(fd_.get(), buffer, size);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) throw read_error(errno, cannot_read, path_);
    }
  }

 private:
  std::string path_;
  Fd fd_;
};

// By libisal, twice as fast as zlib; libarchive's gzip filter does not look at the check sum.
class Gunzip : public Decoder {
 public:
  Gunzip(const std::string& path, std::size_t piece) : path_(path), file_(path), input_(piece) {
    begin_member();
  }

  std::size_t read(char* buffer, std::size_t size) override {
    state_.next_out = reinterpret_cast<std::uint8_t*>(buffer);
    state_.avail_out = static_cast<std::uint32_t>(std::min<std::size_t>(size, 1u << 30));
    const std::uint32_t room = state_.avail_out;
    while (state_.avail_out == room && !ended_) {
      if (state_.block_state == ISAL_BLOCK_FINISH) {
        ended_ = !next_member();
        continue;
      }
      if (state_.avail_in == 0) at_end_ = !refill();
      const int fault = in_header_ ? isal_read_gzip_header(&state_, &header_) : isal_inflate(&state_);
      if (fault < 0) throw broken(text_of(fault));
      if (in_header_ && fault == ISAL_DECOMP_OK) {
        in_header_ = false;
        continue;
      }
      if (at_end_ && state_.avail_out == room && state_.block_state != ISAL_BLOCK_FINISH)
        throw broken("the gzip data is truncated");
    }
    return room - state_.avail_out;
  }

 private:
  Error broken(std::string why) const {
    return Error(ErrorKind::permanent, cannot_read, path_, std::move(why));
  }

  static std::string text_of(int fault) {
    if (fault == ISAL_INCORRECT_CHECKSUM) return "the gzip check sum is wrong: the data is damaged";
    if (fault == ISAL_UNSUPPORTED_METHOD || fault == ISAL_INVALID_WRAPPER) return "a gzip header is damaged";
    return "the gzip data is damaged";
  }

  void begin_member() {
    if (begun_) {
      isal_inflate_reset(&state_);
    } else {
      isal_inflate_init(&state_);
    }
    // isal_inflate could read the header, too, but keeps nothing of one that comes in two pieces.
    isal_gzip_header_init(&header_);
    in_header_ = true;
    state_.crc_flag = ISAL_GZIP_NO_HDR_VER;  // it checks the trailer
    begun_ = true;
  }

  bool refill() {
    const std::size_t got = file_.read(reinterpret_cast<char*>(input_.data()), input_.size());
    state_.next_in = input_.data();
    state_.avail_in = static_cast<std::uint32_t>(got);
    return got > 0;
  }

  // A gzip file is one member after another; zeros may pad the last.
  bool next_member() {
    bool padded = false;
    while (state_.avail_in > 0 || refill()) {
      if (*state_.next_in != 0) {
        if (padded || *state_.next_in != 0x1F)
          throw broken("something that is not gzip follows the gzip data");
        std::uint8_t* const out = state_.next_out;
        const std::uint32_t room = state_.avail_out, left = state_.avail_in;
        std::uint8_t* const in = state_.next_in;
        begin_member();
        state_.next_out = out, state_.avail_out = room, state_.next_in = in, state_.avail_in = left;
        return true;
      }
      padded = true;
      ++state_.next_in, --state_.avail_in;
    }
    return false;
  }

  std::string path_;
  Plain file_;
  std::vector<std::uint8_t> input_;
  struct inflate_state state_;
  struct isal_gzip_header header_ {};
  bool in_header_ = true, begun_ = false, at_end_ = false, ended_ = false;
};

class Inflate : public Decoder {
 public:
  Inflate(std::string on, std::function<std::string_view()> next)
      : on_(std::move(on)), next_(std::move(next)) {
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_ZLIB;  // it checks header and trailer
  }

  std::size_t read(char* buffer, std::size_t size) override {
    state_.next_out = reinterpret_cast<std::uint8_t*>(buffer);
    state_.avail_out = static_cast<std::uint32_t>(std::min<std::size_t>(size, 1u << 30));
    const std::uint32_t room = state_.avail_out;
    while (state_.avail_out == room && state_.block_state != ISAL_BLOCK_FINISH) {
      const bool at_end = state_.avail_in == 0 && !refill();  // it may hold some yet
      if (const int fault = isal_inflate(&state_); fault < 0)
        throw broken(fault == ISAL_INCORRECT_CHECKSUM ? "the check sum is wrong: the data is damaged"
                                                      : "the compressed data is damaged");
      if (at_end && state_.avail_out == room && state_.block_state != ISAL_BLOCK_FINISH)
        throw broken("the compressed data is cut off");
    }
    return room - state_.avail_out;
  }

 private:
  bool refill() {
    const std::string_view piece = next_();
    state_.next_in = const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(piece.data()));
    state_.avail_in = static_cast<std::uint32_t>(piece.size());
    return !piece.empty();
  }
  Error broken(std::string why) const {
    return Error(ErrorKind::permanent, "cannot decode", on_, std::move(why));
  }

  std::string on_;
  std::function<std::string_view()> next_;
  struct inflate_state state_;
};

// zstd, lz4, xz and bzip2, by libarchive's filters.
class Filtered : public Decoder {
 public:
  explicit Filtered(const std::string& path) : path_(path), archive_(archive_read_new()) {
    archive_read_support_filter_zstd(archive_.get());
    archive_read_support_filter_lz4(archive_.get());
    archive_read_support_filter_xz(archive_.get());
    archive_read_support_filter_bzip2(archive_.get());
    archive_read_support_format_raw(archive_.get());
    struct archive_entry* entry = nullptr;
    if (archive_read_open_filename(archive_.get(), path.c_str(), kBlock) != ARCHIVE_OK ||
        archive_read_next_header(archive_.get(), &entry) != ARCHIVE_OK)
      throw broken();
  }

  std::size_t read(char* buffer, std::size_t size) override {
    const la_ssize_t got = archive_read_data(archive_.get(), buffer, size);
    if (got < 0) throw broken();
    return static_cast<std::size_t>(got);
  }

 private:
  Error broken() const {
    const ErrorKind kind = read_error(archive_errno(archive_.get()), cannot_read, path_).kind;
    return Error(kind, cannot_read, path_, archive_fault(archive_.get()));
  }

  struct Free {
    void operator()(::archive* one) const { archive_read_free(one); }
  };
  std::string path_;
  std::unique_ptr<::archive, Free> archive_;
};

}  // namespace

Error read_error(int error_number, std::string what, std::string on) {
  Error error = system_error(error_number, std::move(what), std::move(on));
  for (const int passing : {EIO, ESTALE, ENOTCONN, EHOSTDOWN})
    if (error_number == passing) error.kind = ErrorKind::transient;
  return error;
}

std::string archive_fault(::archive* archive) {
  const char* text = archive_error_string(archive);
  return text == nullptr ? "no reason given" : text;
}

std::unique_ptr<Decoder> decode_zlib(std::string on, std::function<std::string_view()> next) {
  return std::make_unique<Inflate>(std::move(on), std::move(next));
}

bool is_zip(const std::string& path) {
  const std::string bytes = first_bytes(path);
  return bytes.starts_with("PK\x03\x04") || bytes.starts_with("PK\x05\x06");
}

std::unique_ptr<Decoder> open_decoder(const std::string& path, std::size_t piece) {
  const std::string bytes = first_bytes(path);
  if (bytes.starts_with("\x1F\x8B")) return std::make_unique<Gunzip>(path, piece);
  const bool skippable =
      bytes.size() >= 4 && bytes.substr(1, 3) == "\x2A\x4D\x18" && (bytes[0] & '\xF0') == '\x50';
  for (std::string_view magic : {"\x28\xB5\x2F\xFD", "\x04\x22\x4D\x18", "\xFD\x37\x7A\x58\x5A", "BZh"})
    if (bytes.starts_with(magic) || skippable) return std::make_unique<Filtered>(path);
  return std::make_unique<Plain>(path);
}

DecodingThread::DecodingThread(const std::string& path)
    : blocks_(8), thread_([this, decoder = open_decoder(path)] {
        try {
          while (true) {
            std::vector<char> block(kBlock);
            std::size_t size = 0;
            while (size < block.size()) {
              const std::size_t got = decoder->read(block.data() + size, block.size() - size);
              if (got == 0) break;
              size += got;
            }
            const bool last = size < block.size();
            block.resize(size);
            if (size > 0 && !blocks_.put(std::move(block))) return;
            if (last) return blocks_.end();
          }
        } catch (...) {
          blocks_.end(std::current_exception());
        }
      }) {}

DecodingThread::~DecodingThread() {
  blocks_.close();
  thread_.join();
}

std::string_view DecodingThread::next() {
  std::optional<std::vector<char>> block = blocks_.take();
  if (!block) return {};
  held_ = std::move(*block);
  return {held_.data(), held_.size()};
}

}  // namespace relight::sys
