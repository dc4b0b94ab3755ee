#include "runner/step/access.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/process.h"

namespace relight {
namespace {

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 10 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool given(const Params& params, const std::string& field) {
  return params.has(field) && params.known(field);
}

}  // namespace

bool Access::fits(mode_t its_mode, uid_t its_uid, gid_t its_gid) const {
  return (!mode || (its_mode & 07777) == *mode) && (!uid || its_uid == *uid) && (!gid || its_gid == *gid);
}

mode_t mode_of(const std::string& text) {
  const bool octal = text.size() >= 3 && text.size() <= 4 &&
                     std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '7'; });
  if (!octal)
    throw Error(ErrorKind::refused, "not a mode", text, "a mode is three or four octal digits",
                "write \"0640\"");
  return static_cast<mode_t>(std::stoul(text, nullptr, 8));
}

uid_t user_id(const std::string& name) {
  if (is_number(name)) return static_cast<uid_t>(std::stoul(name));
  return sys::user_named(name).uid;
}

gid_t group_id(const std::string& name) {
  if (is_number(name)) return static_cast<gid_t>(std::stoul(name));
  std::vector<char> buffer(16384);
  group entry{};
  group* found = nullptr;
  while (getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == ERANGE)
    buffer.resize(buffer.size() * 2);
  if (!found)
    throw Error(ErrorKind::refused, "no such group", name, "the host does not know it",
                "check its spelling, or install the package that brings it first");
  return found->gr_gid;
}

Access access_wanted(const Params& params) {
  Access access;
  if (given(params, "mode")) access.mode = mode_of(params.text("mode"));
  if (given(params, "owner")) {
    const std::string owner = params.text("owner");
    access.uid = user_id(owner);
    if (!is_number(owner)) access.gid = sys::user_named(owner).gid;
  }
  if (given(params, "group")) access.gid = group_id(params.text("group"));
  return access;
}

Field mode_field(std::string doc, std::string fallback) {
  return {.name = "mode",
          .type = FieldType::text,
          .required = false,
          .fallback = std::move(fallback),
          .doc = std::move(doc),
          .example = "\"0640\"",
          .choices = {}};
}

Field owner_field(std::string doc) {
  return {.name = "owner",
          .type = FieldType::text,
          .required = false,
          .fallback = "",
          .doc = std::move(doc),
          .example = "\"aihummer\"",
          .choices = {}};
}

Field group_field() {
  Field field = owner_field("its group, by name or number; the owner's own when only the owner is given");
  field.name = "group";
  return field;
}

std::vector<std::string> path_target(const Params& params, const std::string& field) {
  if (!given(params, field)) return {};
  return {"path:" + sys::absolute(params.text(field))};
}

std::optional<Access> access_foreseen(const Params& params, Preview& preview) {
  for (const char* field : {"mode", "owner", "group"})
    if (params.has(field) && !params.known(field)) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      return std::nullopt;
    }
  try {
    if (given(params, "mode")) mode_of(params.text("mode"));
  } catch (const Error& error) {
    preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    return std::nullopt;
  }
  try {
    return access_wanted(params);
  } catch (const Error& error) {
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back(error.failed + ": " + error.on + ": an earlier step must bring it");
    return std::nullopt;
  }
}

}  // namespace relight
