#include "runner/sys/decode.h"

#include <doctest/doctest.h>
#include <isa-l/igzip_lib.h>

using namespace relight;
using namespace relight::sys;

namespace {

std::string zlib_of(std::string text) {
  std::string bytes(text.size() + 1000, '\0');
  struct isal_zstream stream;
  isal_deflate_stateless_init(&stream);
  stream.gzip_flag = IGZIP_ZLIB;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<std::uint8_t*>(text.data());
  stream.avail_in = static_cast<std::uint32_t>(text.size());
  stream.next_out = reinterpret_cast<std::uint8_t*>(bytes.data());
  stream.avail_out = static_cast<std::uint32_t>(bytes.size());
  REQUIRE(isal_deflate_stateless(&stream) == COMP_OK);
  bytes.resize(stream.total_out);
  return bytes;
}

// Decoded from pieces of that size; where it is damaged, why.
std::string decoded(const std::string& bytes, std::size_t piece) {
  std::size_t at = 0;
  const auto decoder = decode_zlib("the item", [&] {
    const std::string_view next = std::string_view(bytes).substr(std::min(at, bytes.size()), piece);
    at += next.size();
    return next;
  });
  std::string text, buffer(1000, '\0');
  try {
    while (const std::size_t got = decoder->read(buffer.data(), buffer.size())) text += buffer.substr(0, got);
    return text;
  } catch (const Error& error) {
    CHECK(error.on == "the item");
    return error.why;
  }
}

}  // namespace

TEST_CASE("a zlib stream is decoded from pieces of every size, and checked to its last byte") {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += std::to_string(i * 7919) + (i % 3 == 0 ? "\n" : "\t");
  const std::string bytes = zlib_of(text);
  for (const std::size_t piece :
       {std::size_t(1), std::size_t(2), std::size_t(7), std::size_t(4096), bytes.size()}) {
    CAPTURE(piece);
    CHECK(decoded(bytes, piece) == text);
    CHECK(decoded(zlib_of(""), piece).empty());
    CHECK(decoded(bytes.substr(0, bytes.size() - 1), piece) == "the compressed data is cut off");
    CHECK(decoded(bytes.substr(0, bytes.size() / 2), piece) == "the compressed data is cut off");
    CHECK(decoded("", piece) == "the compressed data is cut off");
  }
  for (std::size_t at = 0; at < bytes.size(); at += 1 + bytes.size() / 300) {
    CAPTURE(at);
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    const std::string told = decoded(damaged, 4096);
    CHECK((told.find("damaged") != std::string::npos || told.find("cut off") != std::string::npos));
  }
  std::string damaged = bytes;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  CHECK(decoded(damaged, 4096) == "the check sum is wrong: the data is damaged");
}
