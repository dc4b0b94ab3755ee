#include "runner/engine/step_log.h"

#include <fcntl.h>
#include <unistd.h>

namespace relight {

StepLog::StepLog(std::string path, const Redactor& redactor) : path_(std::move(path)), redactor_(redactor) {}

void StepLog::add(std::string_view bytes) {
  write(stream_.push(redactor_, bytes));
}

void StepLog::line(const std::string& text) {
  write(redactor_.redact(text) + "\n");
}

void StepLog::finish() {
  write(stream_.finish(redactor_));
}

void StepLog::write(std::string_view bytes) {
  if (bytes.empty() || written_ >= most_bytes) return;
  if (!file_) file_ = sys::Fd(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file_) return;  // a log that cannot be written fails no step
  std::string cut;
  if (written_ + bytes.size() >= most_bytes) {
    cut = std::string(bytes.substr(0, most_bytes - written_)) + "\n[relight: the rest of this log was cut]\n";
    bytes = cut;
    written_ = most_bytes;
  }
  written_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace relight
