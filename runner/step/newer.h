// What was written to a folder since a step, in words, for Step::newer.
#pragma once
#include <string>

#include "runner/sys/text.h"

namespace relight {

// Against a copy made by sys::copy_tree, file by file (name, size, time): "3 files were added, 1 was changed
// and 2 were removed"; empty: none.
std::string newer_than(const std::string& copy, const std::string& folder);

// The files whose time is later: "3 files were written"; empty: none. A file that came with an older time is
// not seen.
std::string newer_since(sys::Time since, const std::string& folder);

// Both end with what becomes of it.
inline constexpr const char* kept_aside = "; a rollback puts that aside";
inline constexpr const char* taken_away = "; a rollback takes that AWAY";

}  // namespace relight
