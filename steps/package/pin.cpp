// package.pin: Debian packages in exactly one version, held there.
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "runner/step/package_change.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

// Of the pinned packages those that were held before the step's first attempt.
constexpr const char* note_key = "held";

bool all_of(const std::string& text, const std::string& further) {
  return !text.empty() && std::isalnum(static_cast<unsigned char>(text.front())) != 0 &&
         std::all_of(text.begin(), text.end(), [&](unsigned char c) {
           return std::isalnum(c) || further.find(static_cast<char>(c)) != std::string::npos;
         });
}

Versions wanted_of(const Params& params) {
  const bool one = params.has("package") || params.has("version");
  if (one == params.has("packages") || params.has("package") != params.has("version"))
    throw Error(
        ErrorKind::refused, "cannot tell what to pin", "package.pin",
        one && params.has("packages") ? "`package` and `packages` are both given"
                                      : "a package needs its version",
        "write package = \"NAME\", version = \"VERSION\", or packages = { [\"NAME\"] = \"VERSION\" }");
  Versions wanted;
  if (one)
    wanted[params.text("package")] = params.text("version");
  else
    wanted = params.texts("packages");
  if (wanted.empty())
    throw Error(ErrorKind::refused, "cannot tell what to pin", "package.pin", "`packages` is empty",
                "write packages = { [\"NAME\"] = \"VERSION\" }");
  for (const auto& [name, version] : wanted) {
    if (!all_of(name, "+-.:"))
      throw Error(ErrorKind::refused, "not a package's name", name,
                  "it may hold letters, digits and + - . :", "write it as apt shows it");
    if (!all_of(version, ".+-:~"))
      throw Error(ErrorKind::refused, "not a pinned version", name + " " + version,
                  "a pin is one exact version, and no pattern",
                  "write it as `apt-cache policy " + name + "` shows it, or use host.packages");
  }
  return wanted;
}

std::vector<std::string> held_among(Apt& apt, const Versions& wanted) {
  std::vector<std::string> names;
  const auto held = apt.held();
  for (const auto& [name, version] : wanted)
    if (held.contains(name)) names.push_back(name);
  return names;
}

std::string listed(const Versions& versions) {
  std::vector<std::string> parts;
  for (const auto& [name, version] : versions) parts.push_back(name + " " + version);
  return sys::join(parts, ", ");
}

class PinPackages : public Step {
 public:
  std::vector<std::string> targets(const Params&) const override { return {"packages"}; }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    const Json& all = params.all();
    preview.summary = "pin " + shown(all.contains("packages") ? all["packages"] : all["package"]);
    for (const char* field : {"package", "version", "packages"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(all[field]).begin();
        return preview;
      }
    try {
      foresee(params, call, preview);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const Versions wanted = wanted_of(params);
    Apt apt = apt_of(call);
    // Over all attempts: the first knew what was held.
    if (!call.notes().contains(note_key)) call.note(note_key, held_among(apt, wanted));
    failpoint("package.pin:noted");
    PackageChange change(call, apt);
    const auto packages = change.bring(wanted);
    const auto held_before = call.notes()[note_key].get<std::vector<std::string>>();
    // An install may drop a hold that was there.
    hold(apt, params.flag("hold") ? names_of(wanted) : held_before, true);
    failpoint("package.pin:held");

    Json before = Json::object(), after = Json::object();
    for (const auto& [name, version] : wanted) {
      after[name] = packages.at(name).version;
      const Json was = change.before().value(name, after[name]);
      before[name] = was.is_null() ? Json("") : was;
    }
    return {{"before", before},
            {"after", after},
            {"changed", before != after},
            {"held_before", held_before},
            {"held", held_among(apt, wanted)}};
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    Apt apt = apt_of(call);
    const Versions wanted = wanted_of(params);
    PackageChange change(call, apt);
    if (!call.notes().contains(note_key)) return change.discard();
    const auto held_before = call.notes()[note_key].get<std::vector<std::string>>();
    std::vector<std::string> others;
    for (const std::string& name : params.flag("hold") ? names_of(wanted) : std::vector<std::string>())
      if (std::find(held_before.begin(), held_before.end(), name) == held_before.end())
        others.push_back(name);
    hold(apt, others, false);
    failpoint("package.pin:let_go");
    const auto lost = change.undo();
    hold(apt, held_before, true);
    failpoint("package.pin:held_again");
    if (!lost.empty())
      throw Error(
          ErrorKind::needs_person, "cannot put the former versions back", sys::join(lost, ", "),
          "no repository offers them any more, or dpkg would not: the step's log says which",
          "install them by hand and roll back again, or go on without: relight resume --done " + call.step());
  }

  void discard(const Params&, Call& call, const Json*) const override {
    Apt apt = apt_of(call);
    PackageChange(call, apt).discard();
  }

  std::string state_digest(const Params&, Call& call) const override {
    std::string state;
    Apt apt = apt_of(call);
    for (const auto& [name, package] : apt.packages())
      if (package.there()) state += name + " " + package.status + " " + package.version + "\n";
    for (const std::string& name : apt.held()) state += "held " + name + "\n";
    for (const char* file : {"/usr/sbin/policy-rc.d", "/etc/postgresql-common/createcluster.conf"})
      state += sys::tree_digest(call.place(file)) + "\n";
    return sys::sha256_hex(state);
  }

 private:
  static Apt apt_of(Call& call) { return Apt(call, false, true); }

  // Asks first: apt-mark takes dpkg's lock, which another may hold.
  static void hold(Apt& apt, const std::vector<std::string>& names, bool wanted) {
    const auto held = apt.held();
    std::vector<std::string> left;
    for (const std::string& name : names)
      if (held.contains(name) != wanted) left.push_back(name);
    apt.hold(left, wanted);
  }

  static void foresee(const Params& params, Call& call, Preview& preview) {
    const Versions wanted = wanted_of(params);
    preview.summary = "pin " + listed(wanted);
    if (!PackageChange::can_look("package.pin", preview)) return;
    Apt apt = apt_of(call);
    const bool half_done = apt.half_done();
    const auto packages = apt.packages();
    const Versions left = unmet(wanted, packages);
    std::vector<std::string> to_hold;
    const auto held = apt.held();
    for (const auto& [name, version] : wanted)
      if (params.flag("hold") && !held.contains(name)) to_hold.push_back(name);
    if (left.empty() && to_hold.empty() && !half_done) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = listed(wanted) + (params.flag("hold") ? ": there and held" : ": there");
      return;
    }
    if (geteuid() != 0)
      preview.problems.push_back({"cannot pin packages", "packages", "only root can", "run relight as root"});
    if (half_done) {
      preview.hints.push_back("dpkg was left half done: it is mended first");
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      return;
    }
    if (left.empty()) {
      preview.summary = "hold " + sys::join(to_hold, ", ") + " at " + listed(wanted);
      return;
    }
    // A list that names other versions of it is taken at its word: what stands above may not be stopped for a
    // version that is not to be had.
    const auto offered = apt.offered(names_of(left));
    for (const auto& [name, version] : left)
      if (const auto found = offered.find(name);
          found != offered.end() &&
          std::find(found->second.begin(), found->second.end(), version) == found->second.end())
        preview.problems.push_back(
            {"no repository offers the version", name + " " + version,
             "apt's lists have " + sys::join(found->second, ", "),
             "correct the version, or bring the lists up to date (apt-get update) where they are old"});
    if (!preview.problems.empty()) return;

    const Simulation simulation = PackageChange(call, apt).foresee(left, preview);
    std::vector<std::string> pinned, others;
    for (const auto& install : simulation.installs) {
      const bool ours = wanted.contains(install.name);
      const bool older =
          !install.old_version.empty() && apt.compare(install.version, install.old_version) < 0;
      const std::string text = install.name + " " +
                               (install.old_version.empty() ? "" : install.old_version + " -> ") +
                               install.version;
      (ours ? pinned : others).push_back(text);
      if (older) preview.hints.push_back("a downgrade: " + text);
    }
    if (simulation.installs.empty()) return;
    preview.summary = "pin " + sys::join(pinned, ", ") + (params.flag("hold") ? ", held" : "");
    if (!others.empty()) preview.hints.push_back("changes, too: " + sys::join(others, ", "));
  }
};

}  // namespace

extern const StepType package_pin;
const StepType package_pin = {
    .name = "package.pin",
    .doc =
        "Install Debian packages in exactly one version, and hold them there.\n"
        "A held package is moved by no upgrade, unattended ones included, until it is let go (apt-mark "
        "unhold). A version may be older than the one that is there: the plan says that it is a downgrade, "
        "what else would change, and whether apt's lists offer the version at all. While apt works, no "
        "service of a package is started and no PostgreSQL cluster is made; no package is removed to make "
        "room, and no other one that is held is changed. Undo puts the former versions and holds back; the "
        "plan tells where no repository offers a former version any more, and the rollback then stops for a "
        "person.",
    .example = "package.pin \"postgresql\" { packages = { [\"postgresql-15\"] = \"15.14-0+deb12u1\" } }",
    .fields =
        {
            {.name = "package",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "one package",
             .example = "\"postgresql-15\"",
             .choices = {}},
            {.name = "version",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "its exact version, as apt-cache policy shows it",
             .example = "\"15.14-0+deb12u1\"",
             .choices = {}},
            {.name = "packages",
             .type = FieldType::texts,
             .required = false,
             .fallback = "",
             .doc = "several packages, each with its exact version",
             .example = "{ [\"postgresql-15\"] = \"15.14-0+deb12u1\" }",
             .choices = {}},
            {.name = "hold",
             .type = FieldType::boolean,
             .required = false,
             .fallback = "true",
             .doc = "hold them, so that no upgrade moves them; false leaves the holds as they are",
             .example = "false",
             .choices = {}},
        },
    .outputs =
        {
            {.name = "before", .doc = "a table of the versions before, by package; empty: it was not there"},
            {.name = "after", .doc = "a table of the versions now"},
            {.name = "changed", .doc = "whether they differ"},
            {.name = "held_before", .doc = "those of them that were held before"},
            {.name = "held", .doc = "those that are held now"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "configuration files of packages that came in",
    .drill = Drill::simulated,
    .is_probe = false,
    .make = make_step<PinPackages>,
};

}  // namespace relight
