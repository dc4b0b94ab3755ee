#include "steps/probe/lib/expect.h"

#include <algorithm>

#include "runner/step/schema.h"
#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

void check_expect_names(const Json& expect, const std::vector<std::string>& known) {
  for (auto it = expect.begin(); expect.is_object() && it != expect.end(); ++it) {
    if (std::find(known.begin(), known.end(), it.key()) != known.end()) continue;
    const std::string near = near_name(it.key(), known);
    throw Error(ErrorKind::refused, "cannot tell what is expected", "expect." + it.key(),
                "there is no such field",
                near.empty() ? "write one of: " + sys::join(known, ", ") : "did you mean `" + near + "`?");
  }
}

std::string json_difference(const Json& expected, const Json& seen, const std::string& path) {
  if (expected.is_object()) {
    if (!seen.is_object()) return path + " is " + excerpt(seen.dump()) + ", not an object";
    for (auto it = expected.begin(); it != expected.end(); ++it) {
      const std::string place = path + "." + it.key();
      if (!seen.contains(it.key())) return place + " is not there";
      if (std::string why = json_difference(*it, seen[it.key()], place); !why.empty()) return why;
    }
    return "";
  }
  if (expected.is_array() && seen.is_array() && expected.size() == seen.size()) {
    for (std::size_t i = 0; i < expected.size(); ++i)
      if (std::string why = json_difference(expected[i], seen[i], path + "[" + std::to_string(i + 1) + "]");
          !why.empty())
        return why;
    return "";
  }
  return expected == seen ? "" : path + " is " + excerpt(seen.dump()) + ", not " + excerpt(expected.dump());
}

std::string body_difference(const Json& expected, const std::string& body) {
  const Json seen = sys::parse_json(body);
  if (seen.is_discarded()) return "the answer is no JSON" + (body.empty() ? "" : ": " + excerpt(body));
  return json_difference(expected, seen, "json");
}

std::string excerpt(const std::string& text, std::size_t at_most) {
  std::string line = sys::mend_utf8(sys::trim(text.substr(0, at_most + 4)));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  if (text.size() <= at_most) return line;
  while (line.size() > at_most || (!line.empty() && (line.back() & 0x80) != 0)) line.pop_back();
  return line + "...";
}

}  // namespace relight
