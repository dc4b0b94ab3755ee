// Which packages are wanted, and in which of the versions that are offered.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "runner/step/apt.h"

namespace relight {

using Versions = std::map<std::string, std::string>;  // by package: an exact version or a pattern

// Those that are not there, or not whole, or in no fitting version.
Versions unmet(const Versions& wanted, const std::map<std::string, Package>& packages);

std::vector<std::string> names_of(const Versions& versions);

// NAME=VERSION for each, by what is offered; what is not offered in a fitting version is left in `missing`.
std::vector<std::string> chosen(const Versions& wanted,
                                const std::map<std::string, std::vector<std::string>>& offered,
                                std::vector<std::string>& missing);

// Is a PostgreSQL package among them, which would make a cluster?
bool brings_clusters(const Simulation& simulation);

// "oil 1.5, lamp 1.0 -> 2.0 and 12 more".
std::string listed(const std::vector<Simulation::Install>& installs);

}  // namespace relight
