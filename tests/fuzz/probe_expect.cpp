// What an answer must be, as JSON, NUL, and the body of the answer.
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/probe/lib/expect.h"
#include "tests/fuzz/fuzz.h"

namespace relight {

void fuzz::look(std::string_view bytes) {
  const Json expected = Json::parse(part(bytes), nullptr, false);
  if (expected.is_discarded()) return;
  const std::string body(bytes);
  must(sys::is_utf8(body_difference(expected, body)), "a difference can be told in UTF-8");
  must(body_difference(expected, expected.dump()).empty(), "what is expected passes");
  const std::string start = excerpt(body, 20);
  must(sys::is_utf8(start) && start.size() <= 60 && start.find('\n') == start.npos,
       "an excerpt is a short line");
  takes([&] { check_expect_names(expected, {"status", "json", "body"}); });
}

}  // namespace relight
