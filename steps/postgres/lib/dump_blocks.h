// The data of a custom dump, walked without decompressing it.
#pragma once
#include <string>

namespace relight::postgres {

// Whether the dump has the data of that item, its last, from their first byte to their end. false says that
// this could not be shown: the dump is cut off or damaged, or of a form that is not known here.
bool reaches_end_of(const std::string& path, const std::string& item);

}  // namespace relight::postgres
