#include "steps/probe/lib/patterns.h"

#include <re2/re2.h>

#include "runner/sys/error.h"
#include "steps/probe/lib/expect.h"

namespace relight {
namespace {

constexpr std::size_t longest = 1u << 20;  // of a line, what is looked at
constexpr std::size_t told = 400;

}  // namespace

struct Patterns::Pattern {
  explicit Pattern(const std::string& wanted) : text(wanted) {
    RE2::Options options;
    options.set_encoding(RE2::Options::EncodingLatin1);  // a log may hold any bytes
    options.set_log_errors(false);
    expression = std::make_unique<RE2>(text, options);
    if (!expression->ok())
      throw Error(ErrorKind::refused, "not a pattern", text, expression->error(),
                  "write a regular expression as RE2 takes it; a . that is meant so is \\\\.");
    if (matches(""))
      throw Error(ErrorKind::refused, "nothing would be proved", text, "it matches every line",
                  "write what the line must hold");
  }
  bool matches(std::string_view line) const {
    return RE2::PartialMatch(re2::StringPiece(line.data(), line.size()), *expression);
  }

  std::string text;
  std::unique_ptr<RE2> expression;
};

Patterns::Patterns(const std::vector<std::string>& must, const std::vector<std::string>& must_not) {
  for (const std::string& one : must) must_.emplace_back(one);
  for (const std::string& one : must_not) must_not_.emplace_back(one);
}
Patterns::~Patterns() = default;

void Patterns::begin() {
  seen_.clear();
  line_.clear();
  offence_.clear();
  number_ = 0;
}

void Patterns::take(std::string_view bytes, bool counts) {
  counts_ = counts;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\n', at), bytes.size());
    if (line_.size() < longest) line_ += bytes.substr(at, std::min(end - at, longest - line_.size()));
    if (end < bytes.size()) line();
    at = end + 1;
  }
}

void Patterns::end() {
  if (!line_.empty()) line();
}

void Patterns::line() {
  ++number_;
  if (line_.ends_with('\r')) line_.pop_back();
  if (counts_) {
    for (std::size_t i = 0; i < must_.size(); ++i)
      if (seen_.count(i) == 0 && must_[i].matches(line_)) seen_.insert(i);
    if (offence_.empty())
      for (const Pattern& pattern : must_not_)
        if (pattern.matches(line_)) {
          offence_ =
              "line " + std::to_string(number_) + " matches /" + pattern.text + "/: " + excerpt(line_, told);
          break;
        }
  }
  line_.clear();
}

std::string Patterns::unseen() const {
  std::string text;
  for (std::size_t i = 0; i < must_.size(); ++i)
    if (seen_.count(i) == 0) text += (text.empty() ? "/" : ", /") + must_[i].text + "/";
  return text;
}

}  // namespace relight
