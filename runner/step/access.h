// Mode, owner and group as a runbook writes them.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "runner/step/params.h"
#include "runner/step/step.h"

namespace relight {

// What a step was asked for; nothing: as it is, or as files are made.
struct Access {
  std::optional<mode_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;

  bool fits(mode_t its_mode, uid_t its_uid, gid_t its_gid) const;
};

// "0640": throws a refused Error for anything but three or four octal digits.
mode_t mode_of(const std::string& text);
uid_t user_id(const std::string& name_or_number);   // refused Error: no such user
gid_t group_id(const std::string& name_or_number);  // refused Error: no such group

// From the fields `mode`, `owner` and `group`, as far as the type declares them. An owner without a group
// brings its own group.
Access access_wanted(const Params& params);

// The fields that these read, for a type to declare.
Field mode_field(std::string doc = "its mode, in octal digits", std::string fallback = "");
Field owner_field(std::string doc = "its owner, by name or number");
Field group_field();

// "path:..." of the field, in the one form in which two runs name the same path; nothing where it is not
// known yet.
std::vector<std::string> path_target(const Params& params, const std::string& field);

// The same as access_wanted for a preview: a bad mode is a problem, a user who is not there yet (a package
// may bring it) makes the verdict cannot_yet_tell; nothing is returned then.
std::optional<Access> access_foreseen(const Params& params, Preview& preview);

}  // namespace relight
