#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "runner/sys/error.h"

namespace relight::fuzz {

void must(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

bool takes(const std::function<void()>& work) {
  try {
    work();
    return true;
  } catch (const Error& error) {
    must(*error.what() != '\0', "an Error tells what is wrong");
    return false;
  }
}

std::string_view part(std::string_view& bytes, char end) {
  const std::size_t at = bytes.find(end);
  const std::string_view taken = bytes.substr(0, at);
  bytes.remove_prefix(at == std::string_view::npos ? bytes.size() : at + 1);
  return taken;
}

MemoryFile::MemoryFile(std::string_view bytes) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
  must(fd_ >= 0 && write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
       "a file in memory can be made");
}

MemoryFile::~MemoryFile() {
  close(fd_);
}

std::string MemoryFile::path() const {
  return "/proc/self/fd/" + std::to_string(fd_);
}

}  // namespace relight::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  relight::fuzz::look({reinterpret_cast<const char*>(data), size});
  return 0;
}
