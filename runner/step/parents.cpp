#include "runner/step/parents.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {
namespace {
constexpr const char* note_key = "made_folders";
}

void make_parents(Call& call, const std::string& path) {
  const std::string parent = sys::parent_of(path);
  std::vector<std::string> missing;
  for (std::string folder = parent; !sys::exists(folder); folder = sys::parent_of(folder))
    missing.push_back(folder);
  if (missing.empty()) return;

  Json made = call.notes().value(note_key, Json::array());
  for (auto folder = missing.rbegin(); folder != missing.rend(); ++folder)
    if (std::find(made.begin(), made.end(), *folder) == made.end()) made.push_back(*folder);
  call.note(note_key, made);
  sys::make_folders(parent, 0755);
}

void remove_made_parents(Call& call) {
  const Json made = call.notes().value(note_key, Json::array());
  for (auto folder = made.rbegin(); folder != made.rend(); ++folder) {
    const std::string path = folder->get<std::string>();
    if (!fails_at("sys:rmdir") && rmdir(path.c_str()) == 0)
      sys::sync_folder(sys::parent_of(path));
    else if (errno == ENOTEMPTY || errno == EEXIST || errno == EBUSY)
      call.log(path + " is not empty, and stays");
    else if (errno != ENOENT)
      throw system_error(errno, "cannot remove the folder", path);
  }
}

std::optional<Problem> write_protected(const std::string& what, const std::string& path) {
  std::string at = path;
  while (!sys::exists(at)) at = sys::parent_of(at);
  if (access(at.c_str(), W_OK) == 0) return std::nullopt;
  if (errno == EROFS)
    return Problem{what, path, "the file system of " + at + " is mounted read-only",
                   "mount it read-write (`mount -o remount,rw`), or see in the kernel's log why it is not"};
  if (errno == EPERM)
    return Problem{what, path, at + " is set immutable", "`chattr -i " + at + "` takes that off"};
  return std::nullopt;
}

}  // namespace relight
