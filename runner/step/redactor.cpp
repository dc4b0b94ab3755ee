#include "runner/step/redactor.h"

#include <algorithm>

#include "runner/sys/digest.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

constexpr std::size_t shortest = 8;

std::string percent(std::string_view bytes, const char* digits) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || byte == '-' || byte == '_' || byte == '.' || byte == '~') {
      text += c;
    } else {
      text += '%';
      text += digits[byte >> 4];
      text += digits[byte & 15];
    }
  }
  return text;
}

// The part of a base64 text that the secret alone decides, when it begins `lead` bytes into a group of three.
std::string base64_core(std::string_view secret, std::size_t lead) {
  const std::string text = sys::to_base64(std::string(lead, '\0') + std::string(secret));
  const std::size_t first = lead == 0 ? 0 : lead + 1;
  const std::size_t whole = (lead + secret.size()) / 3 * 4;
  return text.substr(first, whole - first);
}

std::string shell_quoted(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

void Redactor::add(std::string_view secret) {
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.remove_suffix(1);
  std::vector<std::string> parts = {std::string(secret)};
  for (const std::string& line : sys::split(secret, '\n')) {
    parts.push_back(sys::trim(line));
    // A line of an env file: its value alone is what leaks.
    if (const std::size_t equals = line.find('='); equals != std::string::npos) {
      std::string value = sys::trim(line.substr(equals + 1));
      if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
          value.back() == value.front())
        value = value.substr(1, value.size() - 2);
      parts.push_back(value);
      // What is stored as base64 is leaked as its bytes, or as hex of them.
      if (std::string bytes; sys::from_base64(value, bytes)) parts.push_back(bytes);
    }
  }
  for (const std::string& part : parts) {
    if (part.size() < shortest) continue;
    std::vector<std::string> forms = {part,
                                      sys::to_hex(part),
                                      upper(sys::to_hex(part)),
                                      percent(part, "0123456789ABCDEF"),
                                      percent(part, "0123456789abcdef"),
                                      shell_quoted(part)};
    for (std::size_t lead = 0; lead < 3; ++lead) {
      forms.push_back(base64_core(part, lead));
      std::string url = forms.back();
      std::replace(url.begin(), url.end(), '+', '-');
      std::replace(url.begin(), url.end(), '/', '_');
      forms.push_back(url);
    }
    if (sys::is_utf8(part)) {
      const std::string json = nlohmann::json(part).dump();
      forms.push_back(json.substr(1, json.size() - 2));
    }
    for (std::string& form : forms)
      if (form.size() >= shortest && std::find(patterns_.begin(), patterns_.end(), form) == patterns_.end())
        patterns_.push_back(std::move(form));
  }
  std::sort(patterns_.begin(), patterns_.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
}

// Redacts `text` up to its last `keep` bytes and takes that part out of it.
std::string Redactor::pass(std::string& text, std::size_t keep) const {
  std::string out;
  std::size_t at = 0;
  for (;;) {
    std::size_t first = std::string::npos, length = 0;
    for (const std::string& pattern : patterns_) {
      const std::size_t found = text.find(pattern, at);
      if (found < first) first = found, length = pattern.size();
    }
    if (first == std::string::npos) break;
    out.append(text, at, first - at);
    out += "[secret]";
    at = first + length;
  }
  const std::size_t rest = text.size() - at;
  const std::size_t give = rest > keep ? rest - keep : 0;
  out.append(text, at, give);
  text.erase(0, at + give);
  return out;
}

std::string Redactor::redact(std::string_view text) const {
  std::string copy(text);
  return patterns_.empty() ? copy : pass(copy, 0);
}

std::string Redactor::Stream::push(const Redactor& redactor, std::string_view bytes) {
  held_ += bytes;
  return redactor.pass(held_, redactor.patterns_.empty() ? 0 : redactor.patterns_.front().size() - 1);
}

std::string Redactor::Stream::finish(const Redactor& redactor) {
  return redactor.pass(held_, 0);
}

}  // namespace relight
