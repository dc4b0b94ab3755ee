#include "steps/compose/lib/image.h"

#include <algorithm>

#include "runner/sys/error.h"

namespace relight {
namespace {

bool is_tag(const std::string& text) {
  return !text.empty() && text.size() <= 128 && text[0] != '.' && text[0] != '-' &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_digest(const std::string& text) {
  return text.size() == 71 && text.starts_with("sha256:") &&
         text.find_first_not_of("0123456789abcdef", 7) == std::string::npos;
}

}  // namespace

std::size_t end_of_name(const std::string& image, const std::string& service) {
  std::size_t end = std::string::npos;
  bool variable = false;  // in the part behind the last "/"
  int depth = 0;
  for (std::size_t i = 0; i < image.size(); ++i) {
    const char c = image[i];
    if (c == '$') variable = true;
    if (c == '{' && i > 0 && image[i - 1] == '$') ++depth;
    if (c == '}' && depth > 0) --depth;
    if (depth > 0) continue;
    if (c == '/') end = std::string::npos, variable = false;
    if ((c == ':' || c == '@') && end == std::string::npos) end = i;
  }
  const bool held = end == std::string::npos ? variable : image.find('$', end) != std::string::npos;
  if (held)
    throw Error(ErrorKind::refused, "cannot pin the image", service, "a variable holds its tag: " + image,
                "set that variable where it is set, or write the tag into the compose file");
  return end == std::string::npos ? image.size() : end;
}

std::string pin_of(const std::string& wanted, const std::string& service) {
  const std::string hint = "write \"1.2.0\", \"1.2.0@sha256:...\" or \"sha256:...\"";
  if (is_digest(wanted)) return "@" + wanted;
  const std::size_t at = wanted.find('@');
  const std::string tag = wanted.substr(0, at);
  if (!is_tag(tag) || (at != std::string::npos && !is_digest(wanted.substr(at + 1))))
    throw Error(ErrorKind::refused, "not a tag", service, wanted.empty() ? "it is empty" : wanted, hint);
  for (const char* word : {"latest", "stable", "current", "edge", "nightly", "main", "master"})
    if (wanted == word)
      throw Error(ErrorKind::refused, "not a pinned version", service, wanted + " is another image tomorrow",
                  "write the exact tag, or its digest too");
  return ":" + wanted;
}

std::string shown_pin(const std::string& pin) {
  return pin.empty() ? "" : pin.substr(1);
}

}  // namespace relight
