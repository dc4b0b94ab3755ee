#include "runner/engine/run_folder.h"

#include <dirent.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

std::string id_of(sys::Time time) {
  std::string digits;
  for (const char c : sys::show_time(time))
    if (std::isdigit(static_cast<unsigned char>(c))) digits += c;
  digits += "000";  // a whole second has no fraction
  return digits.substr(0, 8) + "-" + digits.substr(8, 6) + "-" + digits.substr(14, 3) + sys::random_hex(1);
}

// The time that an id names; nothing: it is none.
std::optional<sys::Time> time_of(const std::string& id) {
  if (id.size() < 18 || id[8] != '-' || id[15] != '-') return std::nullopt;
  return sys::parse_time(id.substr(0, 4) + "-" + id.substr(4, 2) + "-" + id.substr(6, 2) + "T" +
                         id.substr(9, 2) + ":" + id.substr(11, 2) + ":" + id.substr(13, 2) + "." +
                         id.substr(16, 3) + "Z");
}

// Sorted by time, to the millisecond: the last of them is the latest run, also where the clock was set back
// since the one before.
std::string new_id(const std::vector<RunFolder>& others) {
  const std::string id = id_of(sys::now());
  if (others.empty() || others.back().id() < id) return id;
  const auto last = time_of(others.back().id());
  return last ? id_of(*last + std::chrono::milliseconds(1)) : id;
}

void write_frozen(const std::string& folder, const Frozen& frozen) {
  sys::write_file(folder + "/plan.json", to_json(*frozen.plan).dump(), 0600);
  sys::write_file(folder + "/inputs.json", frozen.inputs->dump(), 0600);
  for (const auto& [name, bytes] : frozen.sources) {
    sys::make_folders(sys::parent_of(folder + "/runbook/" + name));
    sys::write_file(folder + "/runbook/" + name, bytes, 0600);
  }
}

std::vector<std::string> visible_names(const std::string& folder) {
  std::vector<std::string> names;
  if (DIR* open = opendir(folder.c_str())) {
    while (const dirent* entry = readdir(open))
      if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    closedir(open);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

RunFolder::RunFolder(std::string path) : path_(std::move(path)), frozen_(path_) {}

RunFolder RunFolder::create(const std::string& state_folder, const Frozen& frozen) {
  const std::string runs = state_folder + "/runs";
  sys::make_folders(state_folder);  // every user comes through it to the targets' locks; the runs are closed
  sys::make_folders(runs, 0700);
  const std::string id = new_id(all(state_folder));
  const std::string hidden = runs + "/.new-" + id;
  sys::make_folders(hidden + "/log", 0700);
  sys::make_folders(hidden + "/runbook", 0700);
  write_frozen(hidden, frozen);
  sys::rename_durably(hidden, runs + "/" + id);
  return RunFolder(runs + "/" + id);
}

std::vector<RunFolder> RunFolder::all(const std::string& state_folder) {
  std::vector<RunFolder> runs;
  for (const std::string& name : visible_names(state_folder + "/runs"))
    runs.emplace_back(state_folder + "/runs/" + name);
  return runs;
}

RunFolder RunFolder::find(const std::string& state_folder, const std::string& typed) {
  const std::vector<RunFolder> runs = all(state_folder);
  if (runs.empty())
    throw Error(ErrorKind::refused, "cannot find a run", state_folder, "there is none",
                "`relight run RUNBOOK` starts one; --state names another state folder");
  if (typed.empty()) return runs.back();
  std::vector<std::string> matching;
  for (const RunFolder& run : runs)
    if (run.id().rfind(typed, 0) == 0) matching.push_back(run.id());
  if (matching.size() == 1) return RunFolder(state_folder + "/runs/" + matching[0]);
  std::vector<std::string> ids;
  for (const RunFolder& run : runs) ids.push_back(run.id());
  if (matching.empty())
    throw Error(ErrorKind::refused, "cannot find the run", typed, "no run's id begins with it",
                "there are " + sys::join(ids, ", "));
  throw Error(ErrorKind::refused, "cannot tell the run", typed, "several ids begin with it",
              "write more of it: " + sys::join(matching, ", "));
}

std::string RunFolder::id() const {
  return sys::name_of_path(path_);
}
std::string RunFolder::state_folder() const {
  return sys::parent_of(sys::parent_of(path_));
}

bool RunFolder::was_amended() const {
  return !visible_names(path_ + "/amended").empty();
}

void RunFolder::choose(const std::string& plan_digest) {
  frozen_ = path_;
  const std::vector<std::string> amendments = visible_names(path_ + "/amended");
  if (plan_digest.empty() || amendments.empty()) return;
  const auto is_it = [&](const std::string& folder) {
    const Json plan = Json::parse(sys::read_file(folder + "/plan.json", 1u << 30), nullptr, false);
    return plan.is_object() && plan.value("digest", "") == plan_digest;
  };
  for (auto name = amendments.rbegin(); name != amendments.rend(); ++name)
    if (is_it(path_ + "/amended/" + *name)) {
      frozen_ = path_ + "/amended/" + *name;
      return;
    }
  if (!is_it(path_))
    throw Error(
        ErrorKind::needs_person, "cannot find the plan of the run", id(),
        "the journal names the plan " + plan_digest.substr(0, 16) + ", and it is not in " + path_,
        "the run's folder was changed by hand; `relight abandon " + id() + "` gives its targets back");
}

Plan RunFolder::plan(const std::vector<const StepType*>& types) const {
  return plan_from_json(Json::parse(sys::read_file(frozen_folder() + "/plan.json", 1u << 30)), types);
}

Json RunFolder::inputs() const {
  return Json::parse(sys::read_file(frozen_folder() + "/inputs.json"));
}

void RunFolder::amend(const Frozen& frozen) {
  std::string number = std::to_string(visible_names(path_ + "/amended").size() + 1);
  number.insert(0, 4 - std::min<std::size_t>(4, number.size()), '0');
  sys::make_folders(path_ + "/amended", 0700);
  const std::string hidden = path_ + "/amended/.new";
  sys::remove_tree(hidden);
  sys::make_folders(hidden + "/runbook", 0700);
  write_frozen(hidden, frozen);
  frozen_ = path_ + "/amended/" + number;
  sys::rename_durably(hidden, frozen_);
}

std::string default_state_folder() {
  if (const char* given = std::getenv("RELIGHT_STATE"); given != nullptr && *given != '\0')
    return sys::absolute(given);
  const sys::User user = sys::current_user();
  if (user.uid == 0) return "/var/lib/relight";
  if (const char* xdg = std::getenv("XDG_STATE_HOME"); xdg != nullptr && *xdg == '/')
    return std::string(xdg) + "/relight";
  return user.home + "/.local/state/relight";
}

}  // namespace relight
