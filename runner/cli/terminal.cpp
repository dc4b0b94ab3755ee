#include "runner/cli/terminal.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>

#include "runner/cli/print.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

std::string time_of_day() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[16];
  std::strftime(text, sizeof text, "%H:%M:%S", &local);
  return text;
}

// The end of what a step printed, for a person who must now decide.
std::string last_lines(const std::string& path, std::size_t count) {
  std::FILE* file = std::fopen(path.c_str(), "r");
  if (file == nullptr) return "";
  std::fseek(file, 0, SEEK_END);
  const long size = std::ftell(file);
  const long from = size > 8192 ? size - 8192 : 0;
  std::fseek(file, from, SEEK_SET);
  std::string text(static_cast<std::size_t>(size - from), '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::size_t at = text.size();
  for (std::size_t i = 0; i < count && at != std::string::npos && at > 0; ++i) at = text.rfind('\n', at - 1);
  return at == std::string::npos || at == 0 ? text : text.substr(at + 1);
}

const char* verb_of(const std::string& op) {
  return op == "undo" ? "undoing" : op == "discard" ? "freeing" : "started";
}

}  // namespace

Terminal::Terminal(const Plan& plan, const RunFolder& folder, bool quiet, std::FILE* out)
    : folder_(folder), out_(out), quiet_(quiet), live_(isatty(fileno(out)) == 1) {
  for (const PlannedStep& step : plan.steps) name_width_ = std::max(name_width_, step.name.size());
  name_width_ = std::min<std::size_t>(name_width_, 24);
}

Terminal::~Terminal() {
  if (!live_line_.empty()) put("");
}

void Terminal::put(const std::string& text) {
  if (quiet_) return;
  std::string out = live_line_.empty() ? "" : "\r\033[K";
  live_line_.clear();
  if (!text.empty()) out += text + "\n";
  std::fputs(out.c_str(), out_);
  std::fflush(out_);
}

void Terminal::line(const PlannedStep& step, const std::string& text) {
  put(fmt::format("{}  {:<{}}  {}", time_of_day(), step.name, name_width_, wrapped(text, 12 + name_width_)));
}

void Terminal::step_started(const PlannedStep& step, int attempt, const std::string& op) {
  std::string text = verb_of(op);
  if (attempt > 1 && op == "apply") text += fmt::format(" (attempt {})", attempt);
  line(step, text);
}

void Terminal::step_progress(const PlannedStep& step, const std::string& phase, std::uint64_t done,
                             std::uint64_t total) {
  if (!live_ || quiet_) return;
  std::string text = fmt::format("{}  {:<{}}  {}", time_of_day(), step.name, name_width_, phase);
  if (total > 0) text += fmt::format(" {} %", done * 100 / total);
  if (text.size() > 79) text.resize(79);
  if (text == live_line_) return;  // a slow line need not carry a thousand of them
  live_line_ = text;
  std::fputs(("\r\033[K" + text).c_str(), out_);
  std::fflush(out_);
}

void Terminal::step_ended(const PlannedStep& step, const StepRecord& record, const std::string& op,
                          std::chrono::milliseconds took) {
  if (record.state == StepRecord::State::failed || (op == "undo" && record.undo_failed)) {
    line(step, "FAILED after " + sys::show_duration(took));
    if (record.error) {
      put("  " + wrapped(record.error->what(), 2));
      if (!record.error->hint.empty()) put("  hint: " + wrapped(record.error->hint, 8));
    }
    const std::string printed = last_lines(folder_.log_of(step.name), 5);
    if (!printed.empty()) {
      put("  the last that it printed:");
      for (const std::string& text : sys::split(printed, '\n')) put("    | " + text);
    }
    return;
  }
  if (record.state == StepRecord::State::pending) return;  // it will be tried again: told by retry_in
  if (step.type == approve_type) return line(step, "approved");
  line(step, (op == "undo"      ? "undone in "
              : op == "discard" ? "freed in "
                                : "done in ") +
                 sys::show_duration(took));
}

void Terminal::step_skipped(const PlannedStep& step, const std::string& why) {
  line(step, "skipped: " + why);
}

void Terminal::retry_in(const PlannedStep& step, const Error& error, std::chrono::milliseconds wait) {
  line(step, fmt::format("failed, again in {}: {}", sys::show_duration(wait), error.what()));
}

void Terminal::note(const std::string& text) {
  put(wrapped(text, 0));
}

void Terminal::trouble(const Error& error) {
  if (!live_line_.empty()) put("");
  print_error(error);
}

bool Terminal::can_ask() const {
  return !quiet_ && at_terminal();
}

void Terminal::ask(const std::string& name, const std::string& prompt) {
  put("");
  std::fprintf(out_, "approval `%s`: %s [yes/no] ", name.c_str(), wrapped(prompt, 2).c_str());
  std::fflush(out_);
}

}  // namespace relight
