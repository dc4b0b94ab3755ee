#include "steps/postgres/lib/tablespaces.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runner/step/parents.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"

namespace relight::postgres {

namespace {

constexpr const char* tablespaces_note = "tablespaces";

bool is_in_use(const std::string& folder) {
  return sys::is_folder(folder) ? !sys::names_in(folder).empty() : sys::exists(folder);
}

}  // namespace

bool foresee_writable(const std::string& path, std::string folder, const std::string& hint,
                      std::vector<Problem>& problems) {
  while (!sys::exists(folder) && folder != "/") folder = sys::parent_of(folder);
  if (sys::is_folder(folder) && access(folder.c_str(), W_OK | X_OK) == 0) return true;
  problems.push_back({"cannot write beside the target", path,
                      folder + " is not writable for " + sys::current_user().name, hint});
  return false;
}

std::string beside_old(const std::string& location, const std::string& run) {
  return location.substr(0, location.find(".relight-")) + ".relight-" + run;
}

std::vector<NewTablespace> place_tablespaces(const std::vector<OldTablespace>& old,
                                             const std::map<std::string, std::string>& told,
                                             const std::function<std::string(const OldTablespace&)>& place,
                                             std::vector<Problem>& problems,
                                             std::vector<std::string>& hints) {
  std::vector<NewTablespace> found;
  for (const OldTablespace& one : old) {
    NewTablespace fresh{one.oid, one.location, ""};
    for (const std::string& key : {one.oid, one.location})
      if (const auto named = told.find(key); named != told.end()) fresh.folder = named->second;
    if (fresh.folder.empty()) fresh.folder = place(one);
    const std::string hint =
        "name a folder for it: tablespaces = { [\"" + one.location + "\"] = \"/a/folder\" }";
    const bool twice = std::any_of(found.begin(), found.end(),
                                   [&](const NewTablespace& other) { return other.folder == fresh.folder; });
    if (!fresh.folder.starts_with("/"))
      problems.push_back({"a tablespace's new folder is no absolute path", fresh.folder,
                          "it is " + one.location + "'s", hint});
    else if (twice)
      problems.push_back(
          {"a tablespace's new folder is in use", fresh.folder, "another is made in it", hint});
    else if (is_in_use(fresh.folder))
      problems.push_back({"a tablespace's new folder is in use", fresh.folder, "it is not empty", hint});
    else if (sys::is_folder(fresh.folder) && access(fresh.folder.c_str(), W_OK | X_OK) != 0)
      problems.push_back({"a tablespace's new folder cannot be used", fresh.folder,
                          "it is not writable for " + sys::current_user().name, "make it the user's own"});
    else if (!sys::exists(fresh.folder))
      foresee_writable(fresh.folder, sys::parent_of(fresh.folder), hint, problems);
    hints.push_back("the tablespace at " + fresh.was + " is made anew in " + fresh.folder +
                    ", and stays there");
    found.push_back(fresh);
  }
  for (const auto& [key, folder] : told)
    if (std::none_of(found.begin(), found.end(),
                     [name = key](const NewTablespace& one) { return one.oid == name || one.was == name; }))
      problems.push_back({"there is no such tablespace", key, "it was to be made in " + folder,
                          "name the old location, or the OID, of one that it has"});
  return found;
}

std::vector<NewTablespace> noted_tablespaces(const Call& call) {
  std::vector<NewTablespace> found;
  for (const Json& one : call.notes().value(tablespaces_note, Json::array()))
    found.push_back({one.at("oid"), one.at("was"), one.at("folder")});
  return found;
}

void make_noted_tablespaces(const std::vector<NewTablespace>& fresh, Call& call) {
  if (fresh.empty()) return;
  if (!call.notes().contains(tablespaces_note)) {
    Json noted = Json::array();
    for (const NewTablespace& one : fresh) {
      struct stat there = {};
      const bool made = stat(one.folder.c_str(), &there) != 0;
      noted.push_back({{"oid", one.oid},
                       {"was", one.was},
                       {"folder", one.folder},
                       {"made", made},
                       {"mode", made ? 0 : there.st_mode & 07777}});
    }
    call.note(tablespaces_note, noted);
  }
  clear_noted_tablespaces(call);
  for (const NewTablespace& one : fresh) {
    make_parents(call, one.folder);
    sys::make_folders(one.folder, 0700);
  }
}

void clear_noted_tablespaces(Call& call) {
  for (const Json& one : call.notes().value(tablespaces_note, Json::array())) {
    const std::string folder = one.at("folder");
    struct stat now = {};
    if (stat(folder.c_str(), &now) != 0 || !S_ISDIR(now.st_mode)) continue;
    for (const std::string& name : sys::names_in(folder)) sys::remove_tree(folder + "/" + name);
    const auto mode = one.at("mode").get<mode_t>();  // a server leaves it to its user alone
    if (one.at("made").get<bool>())
      sys::remove_tree(folder);
    else if ((now.st_mode & 07777) != mode && chmod(folder.c_str(), mode) != 0)
      throw system_error(errno, "cannot give a tablespace's folder its mode back", folder);
  }
}

}  // namespace relight::postgres
