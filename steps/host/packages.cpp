// host.packages: Debian's packages, in the versions that are wanted.
#include <unistd.h>

#include "runner/step/package_change.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

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
    if (!PackageChange::can_look("host.packages", preview)) return preview;
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
    PackageChange(call, apt).foresee(left, preview);
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const Versions wanted = params.texts("install");
    Apt apt(call, params.flag("recommends"));
    PackageChange change(call, apt);
    const auto packages = change.bring(wanted);
    Json versions = Json::object(), added = Json::array();
    for (const auto& [name, version] : wanted) versions[name] = packages.at(name).version;
    const Json before = change.before();
    for (const auto& [name, version] : before.items())
      if (version.is_null()) added.push_back(name);
    return {{"versions", versions}, {"installed", added}, {"changed", !before.empty()}};
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    Apt apt(call, params.flag("recommends"));
    PackageChange(call, apt).undo();
  }

  void discard(const Params& params, Call& call, const Json*) const override {
    Apt apt(call, params.flag("recommends"));
    PackageChange(call, apt).discard();
  }

  std::string state_digest(const Params& params, Call& call) const override {
    std::string state;
    for (const auto& [name, package] : Apt(call, params.flag("recommends")).packages())
      if (package.there()) state += name + " " + package.status + " " + package.version + "\n";
    for (const char* file : {"/usr/sbin/policy-rc.d", "/etc/postgresql-common/createcluster.conf"})
      state += sys::tree_digest(call.place(file)) + "\n";
    return sys::sha256_hex(state);
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
