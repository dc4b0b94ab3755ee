// host.packages: Debian's packages, in the versions that are wanted.
#include <unistd.h>

#include <algorithm>

#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/host/lib/apt.h"
#include "steps/host/lib/choice.h"
#include "steps/host/lib/guards.h"

namespace relight {
namespace {

// Of every package that the step installs or changes: its version before, null where there was none.
constexpr const char* note_key = "before";

void refuse_removals(const Simulation& simulation) {
  if (!simulation.refused.empty())
    throw Error(ErrorKind::refused, "apt sees no way to install", "packages", simulation.refused,
                "try it by hand: apt-get -s install");
  if (!simulation.removes.empty())
    throw Error(ErrorKind::refused, "apt would remove packages", sys::join(simulation.removes, ", "),
                "they conflict with what is to be installed", "remove them first, if that is meant");
}

class Packages : public Step {
 public:
  std::vector<std::string> targets(const Params&) const override { return {"packages"}; }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    preview.summary = "install packages";
    if (!params.known("install")) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      return preview;
    }
    const Versions wanted = params.texts("install");
    preview.summary = "install " + sys::join(names_of(wanted), ", ");
    if (sys::find_program("apt-get").empty()) {
      preview.problems.push_back(
          {"cannot install packages", "apt-get", "it is not there", "host.packages needs a host with apt"});
      return preview;
    }
    Apt apt(call, params.flag("recommends"));
    const bool half_done = apt.half_done();
    const Versions left = unmet(wanted, apt.packages());
    if (left.empty() && !half_done) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = sys::join(names_of(wanted), ", ") + ": there already";
      return preview;
    }
    if (geteuid() != 0)
      preview.problems.push_back(
          {"cannot install packages", "packages", "only root can", "run relight as root"});
    if (half_done) {
      preview.hints.push_back("dpkg was left half done: it is mended first");
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      return preview;
    }
    foresee(apt, left, call, preview);
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const Versions wanted = params.texts("install");
    Apt apt(call, params.flag("recommends"));
    Guards guards(call);
    const bool half_done = apt.half_done();
    if (half_done || !unmet(wanted, apt.packages()).empty()) {
      try {
        install(apt, guards, wanted, half_done, call);
      } catch (...) {
        guards.lift();
        throw;
      }
    }
    guards.lift();
    failpoint("host.packages:lifted");

    const auto packages = apt.packages();
    if (const Versions left = unmet(wanted, packages); !left.empty())
      throw Error(ErrorKind::permanent, "cannot install", sys::join(names_of(left), ", "),
                  "apt-get ended well, and still they are not there", "see the step's log");
    Json versions = Json::object(), added = Json::array();
    for (const auto& [name, version] : wanted) versions[name] = packages.at(name).version;
    const Json before = call.notes().value(note_key, Json::object());
    for (const auto& [name, version] : before.items())
      if (version.is_null()) added.push_back(name);
    return {{"versions", versions}, {"installed", added}, {"changed", !before.empty()}};
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    Guards guards(call);
    const Json before = call.notes().value(note_key, Json::object());
    if (before.empty()) return guards.lift();
    Apt apt(call, params.flag("recommends"));
    if (apt.half_done()) {
      guards.raise(true);
      apt.configure();
    }
    guards.lift();
    take_away(apt, before, call);
    put_back(apt, guards, before, call);
  }

  void discard(const Params&, Call& call, const Json*) const override { Guards(call).lift(); }

  std::string state_digest(const Params& params, Call& call) const override {
    std::string state;
    for (const auto& [name, package] : Apt(call, params.flag("recommends")).packages())
      if (package.there()) state += name + " " + package.status + " " + package.version + "\n";
    for (const char* file : {"/usr/sbin/policy-rc.d", "/etc/postgresql-common/createcluster.conf"})
      state += sys::tree_digest(call.place(file)) + "\n";
    return sys::sha256_hex(state);
  }

 private:
  static void foresee(Apt& apt, const Versions& left, Call& call, Preview& preview) {
    std::vector<std::string> missing;
    const std::vector<std::string> choice = chosen(left, apt.offered(names_of(left)), missing);
    if (!missing.empty()) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      for (const std::string& one : missing)
        preview.hints.push_back("apt offers no " + one + ": the step runs apt-get update first");
      return;
    }
    const Simulation simulation = apt.simulate_install(choice);
    try {
      refuse_removals(simulation);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
      return;
    }
    preview.summary = "install " + listed(simulation.installs);
    const Apt::Bytes bytes = apt.bytes_of(simulation.installs);
    preview.space[call.place("/usr")] = bytes.installed;
    preview.space[call.place("/var/cache/apt/archives")] = bytes.download;

    std::vector<std::string> upgraded, lost;
    for (const auto& install : simulation.installs)
      if (!install.old_version.empty()) upgraded.push_back(install.name);
    if (upgraded.empty()) return;
    const auto offered = apt.offered(upgraded);
    for (const auto& install : simulation.installs) {
      const auto found = offered.find(install.name);
      const bool there = found != offered.end() && std::find(found->second.begin(), found->second.end(),
                                                             install.old_version) != found->second.end();
      if (!install.old_version.empty() && !there) lost.push_back(install.name + " " + install.old_version);
    }
    if (!lost.empty())
      preview.cannot_undo = "the versions that no repository offers any more: " + sys::join(lost, ", ");
  }

  static void install(Apt& apt, Guards& guards, const Versions& wanted, bool half_done, Call& call) {
    if (half_done) {
      guards.raise(true);
      call.progress("mend dpkg", 0, 0);
      apt.configure();
      failpoint("host.packages:mended");
    }
    try {
      install_once(apt, guards, wanted, false, call);
    } catch (const Error& error) {
      // Lists that are older than what the repository holds: the version that they name is gone from it.
      if (error.why.find("404") == std::string::npos) throw;
      install_once(apt, guards, wanted, true, call);
    }
  }

  static void install_once(Apt& apt, Guards& guards, const Versions& wanted, bool update, Call& call) {
    if (update) apt.update();
    std::vector<std::string> missing;
    std::vector<std::string> choice = choose(apt, wanted, missing);
    if (!missing.empty() && !update) {
      std::string update_failed;
      call.progress("apt-get update", 0, 0);
      try {
        apt.update();
      } catch (const Error& error) {
        update_failed = error.why;
      }
      missing.clear();
      choice = choose(apt, wanted, missing);
      if (!missing.empty() && !update_failed.empty())
        throw Error(ErrorKind::transient, "apt does not know the packages", sys::join(missing, ", "),
                    "and apt-get update failed: " + update_failed,
                    "check the network and /etc/apt/sources.list");
    }
    if (!missing.empty())
      throw Error(ErrorKind::refused, "no repository offers the packages", sys::join(missing, ", "),
                  "none of their versions is the one that is wanted",
                  "check the versions in `install`, and /etc/apt");

    const Simulation simulation = apt.simulate_install(choice);
    refuse_removals(simulation);
    note_before(simulation, call);
    failpoint("host.packages:noted");
    guards.raise(brings_clusters(simulation) || sys::exists(call.place("/etc/postgresql-common")));
    call.progress("install", 0, simulation.installs.size());
    apt.install(choice);
    failpoint("host.packages:installed");
  }

  static std::vector<std::string> choose(Apt& apt, const Versions& wanted,
                                         std::vector<std::string>& missing) {
    // One that is there in a fitting version is kept in exactly that one: an apt-get install of its name
    // would upgrade it.
    const auto packages = apt.packages();
    const Versions left = unmet(wanted, packages);
    std::vector<std::string> choice;
    if (!left.empty()) choice = chosen(left, apt.offered(names_of(left)), missing);
    return choice;
  }

  static void note_before(const Simulation& simulation, Call& call) {
    // Over all attempts: the first that changed a package knew what was there before.
    Json before = call.notes().value(note_key, Json::object());
    for (const auto& install : simulation.installs)
      if (!before.contains(install.name))
        before[install.name] = install.old_version.empty() ? Json() : Json(install.old_version);
    if (!before.empty()) call.note(note_key, before);
  }

  static void take_away(Apt& apt, const Json& before, Call& call) {
    std::vector<std::string> names;
    const auto packages = apt.packages();
    for (const auto& [name, version] : before.items()) {
      const auto found = packages.find(name);
      if (version.is_null() && found != packages.end() && found->second.there()) names.push_back(name);
    }
    if (names.empty()) return;
    for (const std::string& other : apt.simulate_remove(names).removes)
      if (std::find(names.begin(), names.end(), other) == names.end())
        throw Error(ErrorKind::needs_person, "cannot remove the packages", sys::join(names, ", "),
                    other + " was installed since and needs them",
                    "remove " + other + " by hand and roll back again, or keep them: relight resume --done " +
                        call.step());
    failpoint("host.packages:before_remove");
    apt.remove(names);
    failpoint("host.packages:removed");
  }

  static void put_back(Apt& apt, Guards& guards, const Json& before, Call& call) {
    const auto packages = apt.packages();
    Versions changed;
    for (const auto& [name, version] : before.items()) {
      const auto found = packages.find(name);
      if (version.is_string() && (found == packages.end() || found->second.version != version))
        changed[name] = version.get<std::string>();
    }
    if (changed.empty()) return;
    std::vector<std::string> missing;
    const std::vector<std::string> choice = chosen(changed, apt.offered(names_of(changed)), missing);
    for (const std::string& one : missing) call.log("cannot be put back, no repository offers it: " + one);
    if (choice.empty()) return;
    guards.raise(true);
    try {
      apt.install(choice);
    } catch (...) {
      guards.lift();
      throw;
    }
    guards.lift();
    // dpkg can be told to skip a downgrade, and apt-get then ends well.
    const auto now = apt.packages();
    for (const auto& [name, version] : changed)
      if (const auto found = now.find(name); found == now.end() || found->second.version != version)
        call.log(name + " " + version + " is not back: see what apt-get said");
  }
};

}  // namespace

extern const StepType host_packages;
const StepType host_packages = {
    .name = "host.packages",
    .doc =
        "Install Debian packages in the versions that are wanted.\n"
        "A package that is there in a fitting version is left alone. While apt works, no service of a "
        "package is started "
        "and no PostgreSQL cluster is made; configuration files that are there stay. Packages are never "
        "removed to make "
        "room. A dpkg that was left half done is mended first. apt-get update is run only when no version "
        "fits, or the "
        "lists are older than the repository. Undo removes the packages that came in, without purging, and "
        "puts earlier versions back where a repository still offers them.",
    .example = "host.packages \"packages\" { install = { [\"postgresql-15\"] = \"15.*\", zstd = \"*\" } }",
    .fields =
        {
            {.name = "install",
             .type = FieldType::texts,
             .required = true,
             .fallback = "",
             .doc = "the packages, each with an exact version or a pattern",
             .example = "{ [\"postgresql-15\"] = \"15.*\" }",
             .choices = {}},
            {.name = "recommends",
             .type = FieldType::boolean,
             .required = false,
             .fallback = "false",
             .doc = "whether recommended packages are installed too",
             .example = "true",
             .choices = {}},
        },
    .outputs =
        {
            {.name = "versions", .doc = "a table of the versions that are there now, by package"},
            {.name = "installed", .doc = "the packages that came in, those they need included"},
            {.name = "changed", .doc = "whether anything was installed or changed"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "configuration files of the packages, and versions that no repository offers any more",
    .drill = Drill::simulated,
    .make = make_step<Packages>,
};

}  // namespace relight
