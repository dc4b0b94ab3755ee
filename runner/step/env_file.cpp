#include "runner/step/env_file.h"

#include <algorithm>
#include <cctype>

#include "runner/sys/error.h"

namespace relight {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

bool begins_name(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_';
}

bool goes_on_name(char c) {
  return begins_name(c) || std::isdigit(static_cast<unsigned char>(c));
}

bool is_quote(char c) {
  return c == '"' || c == '\'';
}

// Adds what stands in the quotes that open at `at`, which is moved behind them; false: they do not close.
bool take_quoted(const std::string& text, std::size_t& at, std::string& value) {
  const char quote = text[at];
  for (++at; at < text.size() && text[at] != quote; ++at) {
    if (quote == '"' && text[at] == '\\' && at + 1 < text.size() &&
        std::string_view("\"\\$`").find(text[at + 1]) != std::string_view::npos)
      ++at;
    value += text[at];
  }
  return at++ < text.size();
}

}  // namespace

EnvFile::EnvFile(std::string text, const std::string& where) : text_(std::move(text)) {
  parse(where);
}

void EnvFile::parse(const std::string& where) {
  assignments_.clear();
  const std::size_t size = text_.size();
  for (std::size_t at = 0; at < size;) {
    const std::size_t line_start = at;
    std::size_t line_end = std::min(text_.find('\n', at), size);
    const auto skip_blanks = [&] {
      while (at < line_end && is_blank(text_[at])) ++at;
    };
    skip_blanks();
    if (text_.compare(at, 6, "export") == 0 && at + 6 < line_end && is_blank(text_[at + 6])) {
      at += 6;
      skip_blanks();
    }
    const std::size_t name_start = at;
    if (at < line_end && begins_name(text_[at]))
      while (at < line_end && goes_on_name(text_[at])) ++at;
    if (at == name_start || at == line_end || text_[at] != '=') {
      at = line_end + 1;
      continue;
    }
    Assignment found;
    found.name = text_.substr(name_start, at - name_start);
    found.begin = ++at;
    const char quote = at < size ? text_[at] : '\n';
    const bool quoted = is_quote(quote);
    if (quoted) {
      // What follows a quote without a blank belongs to the value, too.
      while (at < size && text_[at] != '\n' && !is_blank(text_[at])) {
        if (!is_quote(text_[at])) {
          found.value += text_[at++];
        } else if (!take_quoted(text_, at, found.value)) {
          throw Error(
              ErrorKind::refused, "cannot read the env file", where,
              "line " +
                  std::to_string(
                      1 + std::count(text_.begin(), text_.begin() + static_cast<long>(line_start), '\n')) +
                  ": the quote of " + found.name + " is not closed",
              "close it, or take it away");
        }
      }
      line_end = std::min(text_.find('\n', at), size);
    }
    std::size_t end = at;
    while (end < line_end && !(text_[end] == '#' && end > at && is_blank(text_[end - 1]))) ++end;
    while (end > at && is_blank(text_[end - 1])) --end;
    found.end = end;  // with what else stands behind a quoted value: it must not become part of a bare one
    if (!quoted) found.value = text_.substr(at, end - at);
    assignments_.push_back(std::move(found));
    at = line_end + 1;
  }
}

const EnvFile::Assignment* EnvFile::find(const std::string& name) const {
  const auto found = std::find_if(assignments_.rbegin(), assignments_.rend(),
                                  [&](const Assignment& assignment) { return assignment.name == name; });
  return found == assignments_.rend() ? nullptr : &*found;
}

std::vector<std::string> EnvFile::names() const {
  std::vector<std::string> names;
  for (const Assignment& assignment : assignments_)
    if (std::find(names.begin(), names.end(), assignment.name) == names.end())
      names.push_back(assignment.name);
  return names;
}

std::optional<std::string> EnvFile::value(const std::string& name) const {
  const Assignment* found = find(name);
  return found ? std::optional(found->value) : std::nullopt;
}

void EnvFile::take(const EnvFile& from, const std::string& name) {
  const Assignment* source = from.find(name);
  if (!source)
    throw Error(ErrorKind::refused, "cannot take a variable", name, "the other file does not have it");
  const std::string written = from.text_.substr(source->begin, source->end - source->begin);
  if (const Assignment* here = find(name)) {
    text_.replace(here->begin, here->end - here->begin, written);
  } else {
    if (!text_.empty() && text_.back() != '\n') text_ += '\n';
    text_ += name + "=" + written + "\n";
  }
  parse("");
}

}  // namespace relight
