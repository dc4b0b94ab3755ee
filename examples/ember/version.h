// The one thing in which the two versions of Ember differ.
#pragma once

namespace ember {

const char* version();  // "1.0.0"
int schema_version();   // how many of the migrations this version knows: schema.h

}  // namespace ember
