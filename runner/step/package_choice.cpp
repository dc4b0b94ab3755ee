#include "runner/step/package_choice.h"

#include <algorithm>

#include "runner/sys/text.h"

namespace relight {

Versions unmet(const Versions& wanted, const std::map<std::string, Package>& packages) {
  Versions left;
  for (const auto& [name, version] : wanted) {
    const auto found = packages.find(name);
    if (found == packages.end() || !found->second.installed() ||
        !version_fits(found->second.version, version))
      left[name] = version;
  }
  return left;
}

std::vector<std::string> names_of(const Versions& versions) {
  std::vector<std::string> names;
  for (const auto& [name, version] : versions) names.push_back(name);
  return names;
}

std::vector<std::string> chosen(const Versions& wanted,
                                const std::map<std::string, std::vector<std::string>>& offered,
                                std::vector<std::string>& missing) {
  std::vector<std::string> choice;
  for (const auto& [name, version] : wanted) {
    const auto found = offered.find(name);
    const std::vector<std::string> none;
    const auto& versions = found == offered.end() ? none : found->second;
    const auto fitting =
        std::find_if(versions.begin(), versions.end(),
                     [&fit = version](const std::string& one) { return version_fits(one, fit); });
    if (fitting != versions.end())
      choice.push_back(name + "=" + *fitting);
    else
      missing.push_back(
          name + " " + version +
          (versions.empty() ? " (not known)" : " (offered: " + sys::join(versions, ", ") + ")"));
  }
  return choice;
}

bool brings_clusters(const Simulation& simulation) {
  return std::any_of(simulation.installs.begin(), simulation.installs.end(),
                     [](const auto& install) { return install.name.starts_with("postgresql"); });
}

std::string listed(const std::vector<Simulation::Install>& installs) {
  constexpr std::size_t shown_at_most = 6;
  std::vector<std::string> parts;
  for (const auto& install : installs) {
    if (parts.size() == shown_at_most) break;
    parts.push_back(install.name + " " + (install.old_version.empty() ? "" : install.old_version + " -> ") +
                    install.version);
  }
  std::string text = sys::join(parts, ", ");
  if (installs.size() > shown_at_most)
    text += " and " + std::to_string(installs.size() - shown_at_most) + " more";
  return text;
}

}  // namespace relight
