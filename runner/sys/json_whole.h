// nlohmann/json.hpp for the sources that look into a Json, with the class itself compiled once, in
// json_whole.cpp: without that, every one of them compiles the parser and the writer anew, which was a
// fifth of the time of a clean build.
#pragma once
#include <nlohmann/json.hpp>

#include "runner/sys/json.h"

extern template class nlohmann::basic_json<>;

namespace relight::sys {

// The JSON of a text that others wrote; discarded where it is none, or nested more than 200 deep: the class
// copies, compares and writes by calling itself, so that a few megabytes of "[" would end the process.
Json parse_json(std::string_view text);

}  // namespace relight::sys
