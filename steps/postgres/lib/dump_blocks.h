// The data of a custom dump, walked without decompressing it.
//
// pg_dump writes: a head and the table of contents, which tells where the data of each item begin, where the
// file could be gone back in; then block after block, each a kind, the item's number, and its data in chunks
// that say how long they are. A chunk of length 0 ends the data.
#pragma once
#include <string>

namespace relight::postgres {

// Whether the dump has the data of that item, its last, from their first byte to their end. false says that
// this could not be shown: the dump is cut off or damaged, or of a form that is not known here.
bool reaches_end_of(const std::string& path, const std::string& item);

}  // namespace relight::postgres
