// Where the tablespaces of a cluster go that is made anew.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/step.h"

namespace relight::postgres {

struct OldTablespace {
  std::string oid, location;
};

struct NewTablespace {
  std::string oid, was, folder;  // folder: where it is unpacked, and stays
};

// Each in the folder that `told` names for its location or OID, else where `place` says; a folder that is in
// use or cannot be made, and a key of `told` that is no tablespace's, are problems.
std::vector<NewTablespace> place_tablespaces(const std::vector<OldTablespace>& old,
                                             const std::map<std::string, std::string>& told,
                                             const std::function<std::string(const OldTablespace&)>& place,
                                             std::vector<Problem>& problems, std::vector<std::string>& hints);

// LOCATION.relight-RUN, and not one name longer at every recovery.
std::string beside_old(const std::string& location, const std::string& run);

// The folders are noted before the first of them is made: a later attempt, and an undo, empties these and no
// others.
std::vector<NewTablespace> noted_tablespaces(const Call& call);
void make_noted_tablespaces(const std::vector<NewTablespace>& fresh, Call& call);  // empty, whatever was left
void clear_noted_tablespaces(Call& call);  // a folder that was there before stays, empty, with its mode

// Can this process make something in `folder`, or in the first one above it that is there? `path`: for whom.
bool foresee_writable(const std::string& path, std::string folder, const std::string& hint,
                      std::vector<Problem>& problems);

}  // namespace relight::postgres
