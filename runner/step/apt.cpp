#include "runner/step/apt.h"

#include <fnmatch.h>

#include <algorithm>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

constexpr const char* lock_seconds = "DPkg::Lock::Timeout=600";

std::vector<std::string> words(const std::string& line) {
  std::vector<std::string> found;
  for (const std::string& word : sys::split(line, ' '))
    if (!word.empty()) found.push_back(word);
  return found;
}

std::size_t indent_of(const std::string& line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

// The last lines that say what went wrong.
std::string said(const sys::Result& result) {
  std::vector<std::string> errors;
  for (const std::string& line : sys::split(result.err_tail, '\n'))
    if (line.starts_with("E: ") || line.starts_with("dpkg: error")) errors.push_back(sys::trim(line));
  std::string text = errors.empty() ? sys::trim(result.err_tail) : sys::join(errors, "; ");
  if (text.size() > 600) text.erase(0, text.size() - 600);
  return sys::mend_utf8(text);
}

bool passing(const std::string& why) {
  for (const char* sign :
       {"Failed to fetch", "Unable to fetch", "Could not get lock", "Unable to acquire", "was locked by",
        "Temporary failure", "Could not connect", "Could not resolve", "No space left"})
    if (why.find(sign) != std::string::npos) return true;
  return false;
}

}  // namespace

std::map<std::string, Package> parse_packages(const std::string& text) {
  std::map<std::string, Package> packages;
  for (const std::string& line : sys::split(text, '\n')) {
    const auto parts = sys::split(line, '\t');  // status, version, package, architecture
    if (parts.size() != 4) continue;
    const Package package{parts[0], parts[1]};
    packages[parts[2] + ":" + parts[3]] = package;
    // Of several architectures the one that is there stands for the name.
    const auto [place, fresh] = packages.emplace(parts[2], package);
    if (!fresh && !place->second.there()) place->second = package;
  }
  return packages;
}

std::map<std::string, std::vector<std::string>> parse_policy(const std::string& text) {
  std::map<std::string, std::vector<std::string>> offered;
  std::string name, candidate, version;
  bool in_table = false;
  for (const std::string& line : sys::split(text, '\n')) {
    const std::string trimmed = sys::trim(line);
    if (indent_of(line) == 0 && trimmed.ends_with(':')) {
      name = trimmed.substr(0, trimmed.size() - 1);
      candidate.clear();
      in_table = false;
    } else if (trimmed.starts_with("Candidate: ")) {
      candidate = trimmed.substr(11);
    } else if (trimmed == "Version table:") {
      in_table = true;
    } else if (in_table && indent_of(line) <= 5) {  // " *** VERSION PRIORITY" or "     VERSION PRIORITY"
      const auto parts = words(trimmed.starts_with("*** ") ? trimmed.substr(4) : trimmed);
      version = parts.empty() ? "" : parts.front();
    } else if (in_table && !version.empty()) {  // "        500 http://... Packages"
      if (trimmed.ends_with("/dpkg/status")) continue;
      auto& versions = offered[name];
      if (std::find(versions.begin(), versions.end(), version) != versions.end()) continue;
      versions.insert(version == candidate ? versions.begin() : versions.end(), version);
    }
  }
  return offered;
}

Simulation parse_simulation(const std::string& text) {
  Simulation simulation;
  for (const std::string& line : sys::split(text, '\n')) {
    const auto parts = words(line);
    if (parts.size() < 2) continue;
    if (parts[0] == "Remv" || parts[0] == "Purg") simulation.removes.push_back(parts[1]);
    if (parts[0] != "Inst" || parts.size() < 3) continue;
    // "Inst NAME [OLD] (NEW Origin [arch])"; OLD only where it is there already.
    Simulation::Install install{parts[1], "", ""};
    std::size_t at = 2;
    if (parts[at].starts_with('[')) install.old_version = parts[at++].substr(1);
    if (install.old_version.ends_with(']')) install.old_version.pop_back();
    if (at < parts.size() && parts[at].starts_with('(')) install.version = parts[at].substr(1);
    simulation.installs.push_back(std::move(install));
  }
  return simulation;
}

bool version_fits(const std::string& version, const std::string& wanted) {
  return fnmatch(wanted.c_str(), version.c_str(), 0) == 0;
}

sys::Result Apt::run(std::vector<std::string> argv, bool capture) {
  sys::Command command;
  command.argv = std::move(argv);
  command.extra_env = {{"DEBIAN_FRONTEND", "noninteractive"},
                       {"APT_LISTCHANGES_FRONTEND", "none"},
                       {"NEEDRESTART_SUSPEND", "1"},
                       {"UCF_FORCE_CONFFOLD", "1"},
                       {"LC_ALL", "C"}};
  command.cwd = "/";
  command.capture_stdout = capture;
  return call_.run_program(std::move(command));
}

std::string Apt::read(std::vector<std::string> argv, const std::string& what_failed) {
  const std::string program = argv.front();
  sys::Result result = run(std::move(argv), true);
  if (!result.ok()) throw Error(ErrorKind::permanent, what_failed, program, said(result));
  return std::move(result.out);
}

std::map<std::string, Package> Apt::packages() {
  return parse_packages(
      read({"dpkg-query", "-W", "-f=${db:Status-Status}\\t${Version}\\t${Package}\\t${Architecture}\\n"},
           "cannot list the packages"));
}

std::map<std::string, std::vector<std::string>> Apt::offered(const std::vector<std::string>& names) {
  std::vector<std::string> argv = {"apt-cache", "policy"};
  argv.insert(argv.end(), names.begin(), names.end());
  return parse_policy(read(std::move(argv), "cannot ask apt for versions"));
}

bool Apt::half_done() {
  // The journal of a dpkg that was killed: apt refuses to work until it is folded in.
  bool journal = false;
  if (const std::string folder = call_.place("/var/lib/dpkg/updates"); sys::is_folder(folder))
    sys::walk(folder, [&](const sys::Entry&) { journal = true; });
  if (journal) return true;
  for (const auto& [name, package] : packages())
    if (package.there() && !package.installed()) return true;
  return false;
}

Apt::Bytes Apt::bytes_of(const std::vector<Simulation::Install>& installs) {
  Bytes bytes;
  if (installs.empty()) return bytes;
  std::vector<std::string> argv = {"apt-cache", "show"};
  for (const auto& install : installs) argv.push_back(install.name + "=" + install.version);
  for (const std::string& line : sys::split(read(std::move(argv), "cannot ask apt for sizes"), '\n')) {
    if (line.starts_with("Installed-Size: ")) bytes.installed += std::stoull(line.substr(16)) * 1024;
    if (line.starts_with("Size: ")) bytes.download += std::stoull(line.substr(6));
  }
  return bytes;
}

std::set<std::string> Apt::held() {
  std::set<std::string> names;
  for (const std::string& line : sys::split(read({"apt-mark", "showhold"}, "cannot list what is held"), '\n'))
    if (const std::string name = sys::trim(line); !name.empty()) names.insert(name);
  return names;
}

void Apt::hold(const std::vector<std::string>& names, bool wanted) {
  if (names.empty()) return;
  const std::string verb = wanted ? "hold" : "unhold", failed = "cannot " + verb;
  std::vector<std::string> argv = {"apt-mark", verb};
  argv.insert(argv.end(), names.begin(), names.end());
  const sys::Result result = run(std::move(argv), false);
  const std::string why = said(result);
  if (!result.ok())
    throw Error(passing(why) ? ErrorKind::transient : ErrorKind::permanent, failed, sys::join(names, ", "),
                why.empty() ? "apt-mark exited with " + std::to_string(result.exit_code) : why,
                "the step's log has all that apt-mark said");
  const std::set<std::string> now = held();
  for (const std::string& name : names)
    if (now.contains(name) != wanted)
      throw Error(ErrorKind::permanent, failed, name, "apt-mark ended well, and still it is not so",
                  "try it by hand: apt-mark " + verb + " " + name);
}

int Apt::compare(const std::string& one, const std::string& other) {
  if (run({"dpkg", "--compare-versions", one, "eq", other}, false).ok()) return 0;
  return run({"dpkg", "--compare-versions", one, "lt", other}, false).ok() ? -1 : 1;
}

Simulation Apt::simulate(std::vector<std::string> argv) {
  argv.insert(argv.begin() + 1, "-s");
  const sys::Result result = run(std::move(argv), true);
  Simulation simulation = parse_simulation(result.out);
  if (!result.ok()) simulation.refused = said(result);
  return simulation;
}

std::vector<std::string> Apt::install_argv(const std::vector<std::string>& wanted) const {
  // --fix-broken: what a killed dpkg left is brought to its end by the same command.
  std::vector<std::string> argv = {"apt-get", "install", "-y", "--fix-broken", "--allow-downgrades"};
  argv.push_back(recommends_ ? "--install-recommends" : "--no-install-recommends");
  if (change_held_) argv.push_back("--allow-change-held-packages");
  argv.insert(argv.end(), wanted.begin(), wanted.end());
  return argv;
}

Simulation Apt::simulate_install(const std::vector<std::string>& wanted) {
  return simulate(install_argv(wanted));
}

Simulation Apt::simulate_remove(const std::vector<std::string>& names) {
  std::vector<std::string> argv = {"apt-get", "remove", "-y"};
  if (change_held_) argv.push_back("--allow-change-held-packages");
  argv.insert(argv.end(), names.begin(), names.end());
  return simulate(std::move(argv));
}

void Apt::change(std::vector<std::string> argv, const std::string& what_failed, const std::string& on) {
  // Without a terminal of its own dpkg stays in the process group that is ended when the step must stop.
  argv.insert(argv.begin() + 1,
              {"-q", "-o", "Dpkg::Use-Pty=0", "-o", lock_seconds, "-o", "APT::Get::AutomaticRemove=false",
               "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"});
  const sys::Result result = run(std::move(argv), false);
  if (result.ok()) return;
  const std::string why = said(result);
  throw Error(passing(why) ? ErrorKind::transient : ErrorKind::permanent, what_failed, on,
              why.empty() ? "apt-get exited with " + std::to_string(result.exit_code) : why,
              "the step's log has all that apt-get said");
}

void Apt::update() {
  try {
    // Without Error-Mode a list that could not be fetched is a warning only.
    change({"apt-get", "update", "-o", "APT::Update::Error-Mode=any"}, "cannot update the lists of packages",
           "apt-get update");
  } catch (const Error& error) {
    throw Error(ErrorKind::transient, error.failed, error.on, error.why,
                "check the network and /etc/apt/sources.list");
  }
}

void Apt::configure() {
  run({"dpkg", "--force-confdef", "--force-confold", "--configure", "-a"}, false);
}

void Apt::install(const std::vector<std::string>& wanted) {
  // What is to be removed was refused by the simulation; this holds where the two disagree.
  std::vector<std::string> argv = install_argv(wanted);
  argv.insert(argv.begin() + 2, "--no-remove");
  change(std::move(argv), "cannot install", sys::join(wanted, " "));
}

void Apt::remove(const std::vector<std::string>& names) {
  std::vector<std::string> argv = {"apt-get", "remove", "-y", "--fix-broken"};
  if (change_held_) argv.push_back("--allow-change-held-packages");
  argv.insert(argv.end(), names.begin(), names.end());
  change(std::move(argv), "cannot remove", sys::join(names, " "));
}

}  // namespace relight
