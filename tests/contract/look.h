// What lies in a folder, a text for each path: kind, mode, owner, bytes, xattrs, links and times.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace relight {

using Look = std::map<std::string, std::string>;

// Every entry below `folder`, and itself as ".", hidden ones too. Times as make_old() set them, else "new";
// of the folders in `busy` (relative) none. `exact`: also inodes, and the times of the last change of
// anything but the time of the last access.
Look look_at(const std::string& folder, const std::vector<std::string>& busy, bool exact);

// Gives every entry a time of its own, long ago: what is written from now on is told by its time.
void make_old(const std::string& folder);

// "" where they are equal, else the first differences, a line each.
std::string differences(const Look& wanted, const Look& seen);

}  // namespace relight
