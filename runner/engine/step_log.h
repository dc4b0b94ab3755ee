// What a step prints: read from a pipe as it comes, redacted, appended to the step's log.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "runner/step/redactor.h"
#include "runner/sys/files.h"

namespace relight {

// Not DURABLE: a log is for people, the journal is the record.
class StepLog {
 public:
  static constexpr std::uint64_t most_bytes = 64u
                                              << 20;  // a step that prints more is cut there, and it is said

  StepLog(std::string path, const Redactor& redactor);
  void add(std::string_view bytes);  // a piece of a stream
  void line(const std::string& text);
  void finish();

 private:
  void write(std::string_view bytes);
  std::string path_;
  const Redactor& redactor_;
  Redactor::Stream stream_;
  sys::Fd file_;  // made at the first byte
  std::uint64_t written_ = 0;
};

}  // namespace relight
