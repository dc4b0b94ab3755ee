// What the tree functions of files.h share: reading a folder, opening below one, attributes. Not for other
// rooms.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/files.h"

namespace relight::sys {

// The names in the folder, sorted by their bytes, without "." and "..".
std::vector<std::string> names_in(int folder, const std::string& path);

// A folder below `parent`, never through a link.
Fd open_folder_at(int parent, const std::string& name, const std::string& path);

// A name for *xattr calls that is the entry itself, a link included: /proc/self/fd/N/NAME.
std::string by_descriptor(int parent, const std::string& name);

// The extended attributes that count as state, sorted: all but user.relight*. None where the file system has
// none.
struct Attribute {
  std::string name, value;
};
std::vector<Attribute> attributes_of(const std::string& by_descriptor, const std::string& path);

inline constexpr const char* kMarkerFile = ".relight";

}  // namespace relight::sys
