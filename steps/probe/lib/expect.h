// What an answer must be, as a runbook writes it.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/json.h"

namespace relight {

// Refuses names in `expect` that are none of `known`, with the near one.
void check_expect_names(const Json& expect, const std::vector<std::string>& known);

// Why `seen` is not what was expected: every field that is expected must be there and equal, tables within
// tables alike, lists item by item; what else is there does not matter. Empty: it is. `path` names the place.
std::string json_difference(const Json& expected, const Json& seen, const std::string& path);

// The same for a body that must be JSON.
std::string body_difference(const Json& expected, const std::string& body);

// The start of a text, on one line, for messages.
std::string excerpt(const std::string& text, std::size_t at_most = 200);

}  // namespace relight
