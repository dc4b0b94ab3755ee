// What the fuzzers share. A fuzzer is a file of this folder that defines look(); its seeds, and every input
// that broke a promise once, lie in corpus/ under its name. scripts/fuzz builds and runs them.
#pragma once
#include <functional>
#include <string>
#include <string_view>

namespace relight::fuzz {

// Whatever the bytes: returns, or ends the process for a promise that does not hold.
void look(std::string_view bytes);

// Ends the process when a promise does not hold, so that its input is kept.
void must(bool holds, const char* promise);

// Runs `work`. False: it refused the input by an Error, which tells what failed and why. Any other exception
// ends the process.
bool takes(const std::function<void()>& work);

// The bytes up to the first that is `end`, taken off `bytes`; all of them where there is none.
std::string_view part(std::string_view& bytes, char end = '\0');

// A file in memory that holds the bytes, for what reads a file by its path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  std::string path() const;

 private:
  int fd_;
};

}  // namespace relight::fuzz
