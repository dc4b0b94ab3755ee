// The bytes of a file, decompressed by a thread of its own where they are gzip, zstd, lz4, xz or bzip2 (told
// by their first bytes, not by the name). Every check that the format has is made, to the last byte.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/queue.h"

struct archive;  // libarchive's

namespace relight::sys {

// The error of a read that failed: an I/O error, too, may pass, as a file system's on a network does.
Error read_error(int error_number, std::string what, std::string on);

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual std::size_t read(char* buffer, std::size_t size) = 0;  // 0: the end; throws Error
};

// `piece`: how much of the file is read at once.
std::unique_ptr<Decoder> open_decoder(const std::string& path, std::size_t piece = 256u << 10);

// A zlib stream (RFC 1950) that comes in pieces, each good until the next is asked for; an empty one is the
// end; what follows the stream is not looked at. `on`: what an Error names.
std::unique_ptr<Decoder> decode_zlib(std::string on, std::function<std::string_view()> next);

class DecodingThread {
 public:
  explicit DecodingThread(const std::string& path);
  ~DecodingThread();
  DecodingThread(const DecodingThread&) = delete;

  std::string_view next();  // good until the next call; empty: the end; throws what the decoder threw

 private:
  Queue<std::vector<char>> blocks_;
  std::vector<char> held_;
  std::thread thread_;
};

bool is_zip(const std::string& path);  // by its first bytes

// libarchive's own text of the last fault; "no reason given" where it has none.
std::string archive_fault(::archive* archive);

}  // namespace relight::sys
