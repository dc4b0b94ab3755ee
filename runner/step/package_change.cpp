#include "runner/step/package_change.h"

#include <unistd.h>

#include <algorithm>

#include "runner/step/package_guards.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

constexpr const char* changed_packages = "before";  // the note of before()

bool among(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void refuse(const Simulation& simulation) {
  if (!simulation.refused.empty())
    throw Error(ErrorKind::refused, "apt sees no way to install", "packages", simulation.refused,
                "try it by hand: apt-get -s install");
  if (!simulation.removes.empty())
    throw Error(ErrorKind::refused, "apt would remove packages", sys::join(simulation.removes, ", "),
                "they conflict with what is to be installed", "remove them first, if that is meant");
}

std::vector<std::string> listed_each(const Versions& versions) {
  std::vector<std::string> texts;
  for (const auto& [name, version] : versions) texts.push_back(name + " " + version);
  return texts;
}

}  // namespace

PackageChange::PackageChange(Call& call, Apt& apt) : call_(call), apt_(apt) {}

bool PackageChange::can_look(const std::string& type, Preview& preview) {
  if (!sys::find_program("apt-get").empty()) return true;
  preview.problems.push_back(
      {"cannot install packages", "apt-get", "it is not there", type + " needs a host with apt"});
  return false;
}

Json PackageChange::before() const {
  return call_.notes().value(changed_packages, Json::object());
}

Simulation PackageChange::foresee(const Versions& left, Preview& preview) {
  std::vector<std::string> missing;
  const std::vector<std::string> choice = chosen(left, apt_.offered(names_of(left)), missing);
  if (!missing.empty()) {
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    for (const std::string& one : missing)
      preview.hints.push_back("apt offers no " + one + ": the step runs apt-get update first");
    return {};
  }
  const Simulation simulation = apt_.simulate_install(choice);
  try {
    refuse(simulation);
  } catch (const Error& error) {
    preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    return {};
  }
  preview.summary = "install " + listed(simulation.installs);
  const Apt::Bytes bytes = apt_.bytes_of(simulation.installs);
  preview.space[call_.place("/usr")] = bytes.installed;
  preview.space[call_.place("/var/cache/apt/archives")] = bytes.download;

  std::vector<std::string> upgraded, lost;
  for (const auto& install : simulation.installs)
    if (!install.old_version.empty()) upgraded.push_back(install.name);
  if (upgraded.empty()) return simulation;
  const auto offered = apt_.offered(upgraded);
  for (const auto& install : simulation.installs) {
    const auto found = offered.find(install.name);
    const bool there = found != offered.end() && among(found->second, install.old_version);
    if (!install.old_version.empty() && !there) lost.push_back(install.name + " " + install.old_version);
  }
  if (!lost.empty())
    preview.cannot_undo = "the versions that no repository offers any more: " + sys::join(lost, ", ");
  return simulation;
}

std::map<std::string, Package> PackageChange::bring(const Versions& wanted) {
  PackageGuards guards(call_);
  const bool half_done = apt_.half_done();
  if (half_done || !unmet(wanted, apt_.packages()).empty()) {
    try {
      install(wanted, half_done);
    } catch (...) {
      guards.lift();
      throw;
    }
  }
  guards.lift();
  failpoint("packages:lifted");

  auto packages = apt_.packages();
  if (const Versions left = unmet(wanted, packages); !left.empty())
    throw Error(ErrorKind::permanent, "cannot install", sys::join(names_of(left), ", "),
                "apt-get ended well, and still they are not there", "see the step's log");
  return packages;
}

void PackageChange::install(const Versions& wanted, bool half_done) {
  if (half_done) {
    PackageGuards(call_).raise(true);
    call_.progress("mend dpkg", 0, 0);
    apt_.configure();
    failpoint("packages:mended");
  }
  try {
    install_once(wanted, false);
  } catch (const Error& error) {
    // Lists that are older than what the repository holds: the version that they name is gone from it.
    if (error.why.find("404") == std::string::npos) throw;
    install_once(wanted, true);
  }
}

void PackageChange::install_once(const Versions& wanted, bool update) {
  if (update) apt_.update();
  std::vector<std::string> missing;
  std::vector<std::string> choice = choose(wanted, missing);
  if (!missing.empty() && !update) {
    std::string update_failed;
    call_.progress("apt-get update", 0, 0);
    try {
      apt_.update();
    } catch (const Error& error) {
      update_failed = error.why;
    }
    missing.clear();
    choice = choose(wanted, missing);
    if (!missing.empty() && !update_failed.empty())
      throw Error(ErrorKind::transient, "apt does not know the packages", sys::join(missing, ", "),
                  "and apt-get update failed: " + update_failed,
                  "check the network and /etc/apt/sources.list");
  }
  if (!missing.empty())
    throw Error(ErrorKind::refused, "no repository offers the packages", sys::join(missing, ", "),
                "none of their versions is the one that is wanted",
                "check the wanted versions, and /etc/apt");

  const Simulation simulation = apt_.simulate_install(choice);
  refuse(simulation);
  note_before(simulation);
  failpoint("packages:noted");
  PackageGuards(call_).raise(brings_clusters(simulation) ||
                             sys::exists(call_.place("/etc/postgresql-common")));
  call_.progress("install", 0, simulation.installs.size());
  apt_.install(choice);
  failpoint("packages:installed");
}

std::vector<std::string> PackageChange::choose(const Versions& wanted, std::vector<std::string>& missing) {
  // One that is there in a fitting version is kept in exactly that one: an apt-get install of its name
  // would upgrade it.
  const Versions left = unmet(wanted, apt_.packages());
  if (left.empty()) return {};
  return chosen(left, apt_.offered(names_of(left)), missing);
}

void PackageChange::note_before(const Simulation& simulation) {
  // Over all attempts: the first that changed a package knew what was there before.
  Json known = before();
  for (const auto& install : simulation.installs)
    if (!known.contains(install.name))
      known[install.name] = install.old_version.empty() ? Json() : Json(install.old_version);
  if (!known.empty()) call_.note(changed_packages, known);
}

std::vector<std::string> PackageChange::undo() {
  PackageGuards guards(call_);
  const Json known = before();
  if (known.empty()) {
    guards.lift();
    return {};
  }
  if (apt_.half_done()) {
    guards.raise(true);
    apt_.configure();
  }
  guards.lift();
  take_away(known);
  return put_back(known);
}

void PackageChange::discard() {
  PackageGuards(call_).lift();
}

void PackageChange::take_away(const Json& before) {
  std::vector<std::string> names;
  const auto packages = apt_.packages();
  for (const auto& [name, version] : before.items()) {
    const auto found = packages.find(name);
    if (version.is_null() && found != packages.end() && found->second.there()) names.push_back(name);
  }
  if (names.empty()) return;
  for (const std::string& other : apt_.simulate_remove(names).removes)
    if (!among(names, other))
      throw Error(ErrorKind::needs_person, "cannot remove the packages", sys::join(names, ", "),
                  other + " was installed since and needs them",
                  "remove " + other + " by hand and roll back again, or keep them: relight resume --done " +
                      call_.step());
  failpoint("packages:before_remove");
  apt_.remove(names);
  failpoint("packages:removed");
}

std::vector<std::string> PackageChange::put_back(const Json& before) {
  const auto packages = apt_.packages();
  Versions changed;
  for (const auto& [name, version] : before.items()) {
    const auto found = packages.find(name);
    if (version.is_string() && (found == packages.end() || found->second.version != version))
      changed[name] = version.get<std::string>();
  }
  if (changed.empty()) return {};
  std::vector<std::string> missing;
  const std::vector<std::string> choice = chosen(changed, apt_.offered(names_of(changed)), missing);
  for (const std::string& one : missing) call_.log("cannot be put back, no repository offers it: " + one);
  if (choice.empty()) return listed_each(changed);
  PackageGuards guards(call_);
  guards.raise(true);
  try {
    apt_.install(choice);
  } catch (const Error& error) {
    guards.lift();
    // Without those that are gone the others may be in the way of what stays.
    if (missing.empty() || error.kind != ErrorKind::permanent) throw;
    call_.log(error.what());
  } catch (...) {
    guards.lift();
    throw;
  }
  guards.lift();
  // dpkg can be told to skip a downgrade, and apt-get then ends well.
  const auto now = apt_.packages();
  Versions left;
  for (const auto& [name, version] : changed)
    if (const auto found = now.find(name); found == now.end() || found->second.version != version) {
      left[name] = version;
      call_.log(name + " " + version + " is not back: see what apt-get said");
    }
  return listed_each(left);
}

}  // namespace relight
