// nlohmann/json.hpp for the sources that look into a Json, with the class itself compiled once, in
// json_whole.cpp: without that, every one of them compiles the parser and the writer anew, which was a
// fifth of the time of a clean build.
#pragma once
#include <nlohmann/json.hpp>

#include "runner/sys/json.h"

extern template class nlohmann::basic_json<>;
