// apt and dpkg, as steps drive them: never asking, keeping configuration files that are there.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runner/step/call.h"

namespace relight {

struct Package {
  std::string status;  // dpkg's: installed, unpacked, half-configured, half-installed, config-files ...
  std::string version;
  bool installed() const { return status == "installed"; }
  bool there() const { return status != "not-installed" && status != "config-files"; }  // whole or in part
};

struct Simulation {
  struct Install {
    std::string name, old_version, version;  // old_version: empty when it is new
  };
  std::vector<Install> installs;
  std::vector<std::string> removes;
  std::string refused;  // what apt said when it saw no way; empty: it saw one
};

// `dpkg-query -W`, by name, and by name:architecture.
std::map<std::string, Package> parse_packages(const std::string& text);
// `apt-cache policy NAME...`: the versions that repositories offer, by name, in apt's order with its
// candidate first.
std::map<std::string, std::vector<std::string>> parse_policy(const std::string& text);
// `apt-get -s`.
Simulation parse_simulation(const std::string& text);
// Does a version fit "15.*", or an exact version?
bool version_fits(const std::string& version, const std::string& wanted);

class Apt {
 public:
  // change_held: those that are asked for may be held; apt changes no other one that is.
  Apt(Call& call, bool recommends, bool change_held = false)
      : call_(call), recommends_(recommends), change_held_(change_held) {}

  std::map<std::string, Package> packages();
  std::map<std::string, std::vector<std::string>> offered(const std::vector<std::string>& names);
  // Was dpkg left half done?
  bool half_done();
  // Bytes that these take: to download, and installed.
  struct Bytes {
    std::uint64_t download = 0, installed = 0;
  };
  Bytes bytes_of(const std::vector<Simulation::Install>& installs);

  // dpkg's holds: what no upgrade moves. A name that is none of the host's architecture bears its own.
  std::set<std::string> held();
  void hold(const std::vector<std::string>& names, bool wanted);  // throws Error where they are not so then
  // -1, 0 or 1, by Debian's order of versions.
  int compare(const std::string& one, const std::string& other);

  Simulation simulate_install(const std::vector<std::string>& wanted);  // NAME=VERSION
  Simulation simulate_remove(const std::vector<std::string>& names);

  void update();     // a transient Error when no repository could be read
  void configure();  // dpkg --configure -a; what it cannot mend alone, the install that follows does
  // Throws Error: transient where it could not fetch or another holds the lock.
  void install(const std::vector<std::string>& wanted);
  void remove(const std::vector<std::string>& names);

 private:
  sys::Result run(std::vector<std::string> argv, bool capture);
  std::string read(std::vector<std::string> argv, const std::string& what_failed);
  Simulation simulate(std::vector<std::string> argv);
  std::vector<std::string> install_argv(const std::vector<std::string>& wanted) const;
  void change(std::vector<std::string> argv, const std::string& what_failed, const std::string& on);

  Call& call_;
  bool recommends_, change_held_;
};

}  // namespace relight
