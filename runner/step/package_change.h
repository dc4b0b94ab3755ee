// Debian packages brought to the versions that are wanted, and taken back: what every step type that installs
// packages shares. Nothing of them starts meanwhile (package_guards.h). Packages are never removed to make
// room.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "runner/step/apt.h"
#include "runner/step/call.h"
#include "runner/step/package_choice.h"
#include "runner/step/step.h"
#include "runner/sys/json.h"

namespace relight {

class PackageChange {
 public:
  PackageChange(Call& call, Apt& apt);  // both outlive it

  // What apt is seen to do; a problem where there is no apt, or only root may: true, there is more to tell.
  static bool can_look(const std::string& type, Preview& preview);
  // What an install of these, which are not there, would do: summary, space, problems, what cannot be undone.
  Simulation foresee(const Versions& left, Preview& preview);

  // Converges: a dpkg that was left half done is mended, lists that are too old are updated. Notes what was
  // there before. Returns the packages that are there now.
  std::map<std::string, Package> bring(const Versions& wanted);

  // Those that came in go, the earlier versions come back; returns what could not be put back, which
  // the log explains.
  std::vector<std::string> undo();
  void discard();

  // Of every package that was installed or changed: its version before, null where there was none.
  Json before() const;

 private:
  void install(const Versions& wanted, bool half_done);
  void install_once(const Versions& wanted, bool update);
  std::vector<std::string> choose(const Versions& wanted, std::vector<std::string>& missing);
  void note_before(const Simulation& simulation);
  void take_away(const Json& before);
  std::vector<std::string> put_back(const Json& before);

  Call& call_;
  Apt& apt_;
};

}  // namespace relight
