// The one thing in which the versions of Ember differ.
#pragma once

namespace ember {

const char* version();  // "1.0.0"
int schema_version();   // how many of the migrations this version knows: schema.h

// How a release that must not survive its upgrade breaks; "": it does not. "migration": half of it is done
// when it fails. "health": it never says that it is well. "exits": 3 s after it began to listen. "corrupts":
// it says that all is well, and has changed a note.
const char* broken();

}  // namespace ember
