// release.pin: releases side by side, and the one link that says which is current.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "runner/step/access.h"
#include "runner/step/parents.h"
#include "runner/step/recovery_set.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/release/lib/source.h"

namespace relight {
namespace {

// A release of up to so many bytes is compared with its checksums by every plan: it is found out before
// anything is stopped for it.
constexpr std::uint64_t compared_at_once = 256u << 20;

void check_name(const std::string& field, const std::string& text) {
  const bool plain = !text.empty() && text.front() != '.' && text.front() != '-' && text.size() < 128 &&
                     std::all_of(text.begin(), text.end(), [](unsigned char c) {
                       return std::isalnum(c) || c == '.' || c == '-' || c == '_' || c == '+' || c == '~';
                     });
  if (!plain)
    throw Error(ErrorKind::refused, "not a " + field, text, "it may hold letters, digits and . _ + ~ - only",
                field == "version" ? "write the exact version, like \"1.4.2\"" : "");
}

void check_version(const std::string& version) {
  for (const char* word : {"latest", "stable", "current", "edge", "nightly", "main", "master"})
    if (version == word)
      throw Error(ErrorKind::refused, "not a pinned version", version,
                  "what it stands for changes, and a backup belongs to the version that made it",
                  "write the exact version that the backup was made with");
  check_name("version", version);
}

// What one call works on; checked.
struct Pin {
  Pin(const Params& params, Call& call)
      : product(params.text("product")),
        version(params.text("version")),
        into(call.place(params.text("into"))),
        link(into + "/current"),
        link_text("releases/" + version),
        release(into + "/releases/" + version) {
    check_name("product", product);
    check_version(version);
  }
  std::string product, version, into, link, link_text, release;

  // The text of the link; nothing where none is.
  std::optional<std::string> current() const {
    char text[4096];
    const ssize_t size = readlink(link.c_str(), text, sizeof text);
    if (size >= 0) return std::string(text, static_cast<std::size_t>(size));
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    if (errno == EINVAL)
      throw Error(ErrorKind::refused, "cannot pin a release", link, "it is there and is no link",
                  "releases lie in " + into + "/releases and current is a link to one of them: move it away");
    throw system_error(errno, "cannot read the link", link);
  }

  // What an undo gives back with the link's text; null where no link is.
  Json like() const {
    struct stat status;
    if (lstat(link.c_str(), &status) != 0) return nullptr;
    return {{"uid", status.st_uid},
            {"gid", status.st_gid},
            {"seconds", status.st_mtim.tv_sec},
            {"nanoseconds", status.st_mtim.tv_nsec}};
  }

  // Is the release that the link names this one? The link may be written with the whole path.
  bool is_ours(const std::string& text) const { return text == link_text || text == release; }

  // `like`: whose it is to be and of when, as like() gives it; null: ours, of now.
  void point_to(const std::string& text, const Json& like, Call& call) const {
    const std::string next = call.beside(link);
    sys::remove_file(next);
    if (symlink(text.c_str(), next.c_str()) != 0) throw system_error(errno, "cannot make the link", next);
    if (!like.is_null()) {
      const timespec time{like.at("seconds").get<std::time_t>(), like.at("nanoseconds").get<long>()},
          times[2] = {time, time};
      if (lchown(next.c_str(), like.at("uid").get<uid_t>(), like.at("gid").get<gid_t>()) != 0 ||
          utimensat(AT_FDCWD, next.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
        throw system_error(errno, "cannot give the link its owner and time back", next);
    }
    failpoint("release.pin:link_made");
    sys::rename_durably(next, link);
  }
};

std::string version_named(const std::string& link_text) {
  return link_text.empty() ? "" : sys::name_of_path(link_text);
}

class PinRelease : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "into");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    const Json& all = params.all();
    preview.summary =
        "pin " + shown(all["product"]) + " " + shown(all["version"]) + " in " + shown(all["into"]);
    for (const char* field : {"product", "version", "from", "into"})
      if (!params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        return preview;
      }
    try {
      const Pin pin(params, call);
      foresee(pin, params.text("from"), call, preview);
      if (preview.verdict != Preview::Verdict::nothing_to_do)
        if (const auto protection = write_protected("cannot pin a release", pin.link))
          preview.problems.push_back(*protection);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const Pin pin(params, call);
    const auto now = pin.current();
    if (!call.notes().contains("before")) {
      call.note("link", pin.like());
      call.note("before", now.value_or(""));
    }
    const std::string before = call.notes()["before"].get<std::string>();
    failpoint("release.pin:noted");

    if (!sys::is_folder(pin.release))
      bring(pin, ReleaseSource(params.text("from"), pin.product, pin.version), call);
    call.stop_here_if_wanted();
    if (!now || !pin.is_ours(*now)) pin.point_to(pin.link_text, nullptr, call);
    failpoint("release.pin:switched");
    return {{"before", version_named(before)},
            {"version", pin.version},
            {"changed", version_named(before) != pin.version},
            {"path", pin.release}};
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    const Pin pin(params, call);
    if (!call.notes().contains("before")) return;
    const std::string before = call.notes()["before"].get<std::string>();
    const auto now = pin.current();
    if (now && pin.is_ours(*now) && *now != before) {
      if (before.empty())
        sys::remove_file(pin.link);
      else
        pin.point_to(before, call.notes().value("link", Json()), call);
    } else if (now && *now != before) {
      call.log(pin.link + " points to " + *now + " by now, which this step did not set: it stays");
    }
    failpoint("release.pin:switched_back");
    if (sys::exists(pin.into)) sys::remove_file(call.beside(pin.link));
    if (sys::exists(sys::parent_of(pin.release))) sys::remove_tree(call.beside(pin.release));
    const auto left = pin.current();
    if (call.notes().value("brought", "") == pin.release && !(left && pin.is_ours(*left)))
      sys::remove_tree(pin.release);
    remove_made_parents(call);
  }

  std::string state_digest(const Params& params, Call& call) const override {
    const Pin pin(params, call);
    return sys::sha256_hex(pin.current().value_or("absent") + "\n" + sys::tree_digest(pin.release));
  }

 private:
  static void bring(const Pin& pin, const ReleaseSource& source, Call& call) {
    const std::string beside = call.beside(pin.release);
    make_parents(call, beside);
    failpoint("release.pin:parents");
    sys::remove_tree(beside);
    sys::make_folders(beside);
    source.bring(beside, call);
    // Undo takes away a release that this step brought, and none that was there.
    call.note("brought", pin.release);
    failpoint("release.pin:brought_noted");
    sys::rename_new(beside, pin.release);
    failpoint("release.pin:brought");
  }

  static void foresee(const Pin& pin, const std::string& from, Call& call, Preview& preview) {
    const auto now = pin.current();
    const std::string what = pin.product + " " + pin.version;
    if (sys::is_folder(pin.release)) {
      if (now && pin.is_ours(*now)) {
        preview.verdict = Preview::Verdict::nothing_to_do;
        preview.summary = what + " is pinned in " + pin.into;
        return;
      }
      preview.summary = "point " + pin.link + " to " + pin.version + ", which lies there";
    } else {
      const ReleaseSource source(from, pin.product, pin.version);
      const std::uint64_t bytes = source.bytes();
      preview.summary =
          "bring " + what + " from " + source.path() + " (" + sys::show_size(bytes) + ") into " + pin.into;
      preview.space[pin.release] = bytes;
      if (!source.has_checksums())
        preview.hints.push_back(source.path() + " is taken as it is: no SHA256SUMS lists it");
      if (call.full_depth() || (source.has_checksums() && bytes <= compared_at_once))
        source.verify();
      else if (source.has_checksums())
        preview.hints.push_back("its checksums are compared when it is brought, or now with --depth full");
    }
    if (now) {
      preview.summary += ", in place of " + version_named(*now);
      preview.keeps.push_back("the release " + version_named(*now) + ", side by side with it");
    }
  }
};

// A rebuild pins the release out of the set, where the set has one.
void verify_release(const RecoverySet& set, bool every_byte, Call&, SetReport& report) {
  const std::string folder = set.folder + "/releases", product = set.text("product"),
                    version = set.text("version");
  if (!sys::is_folder(folder)) return;
  const ReleaseSource source(folder, product, version);
  if (every_byte) source.verify();
  if (!source.has_checksums())
    report.hints.push_back(source.path() + " is taken as it is: no SHA256SUMS lists it");
  report.parts.push_back({"release", product + " " + version + ", " + sys::show_size(source.bytes()) +
                                         (!source.has_checksums() ? ""
                                          : every_byte            ? ", every hash as SHA256SUMS has it"
                                                                  : ", listed in SHA256SUMS")});
}

}  // namespace

extern const StepType release_pin;
const StepType release_pin = {
    .name = "release.pin",
    .doc =
        "Install exactly one version of a product, and make it the current one.\n"
        "Releases lie side by side in INTO/releases/VERSION; the link INTO/current is moved to the wanted "
        "one in one atomic "
        "step. In `from` lies a folder PRODUCT-VERSION, or PRODUCT-VERSION.tar.zst or .tar.gz; a SHA256SUMS "
        "beside it (or "
        "within the folder) is verified, by the plan up to 256 MiB. A version that lies there already is not "
        "brought again. `latest` "
        "and its like are "
        "refused. Undo moves the link back if it is still the one that this step set.",
    .example =
        "local pinned = release.pin \"release\" { product = \"aihummer\", version = input.version,\n"
        "  from = input.backup / \"releases\", into = \"/opt/aihummer\" }",
    .fields =
        {
            {.name = "product",
             .type = FieldType::text,
             .required = true,
             .fallback = "",
             .doc = "the product's name, as its releases are named",
             .example = "\"aihummer\"",
             .choices = {}},
            {.name = "version",
             .type = FieldType::text,
             .required = true,
             .fallback = "",
             .doc = "the exact version",
             .example = "\"1.4.2\"",
             .choices = {}},
            {.name = "from",
             .type = FieldType::location,
             .required = true,
             .fallback = "",
             .doc = "the folder with the releases",
             .example = "input.backup / \"releases\"",
             .choices = {}},
            {.name = "into",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the folder that holds `releases` and `current`",
             .example = "\"/opt/aihummer\"",
             .choices = {}},
        },
    .outputs =
        {
            {.name = "before", .doc = "the version that was current before; empty: none was"},
            {.name = "version", .doc = "the version that is current now"},
            {.name = "changed", .doc = "whether they differ"},
            {.name = "path", .doc = "the folder of the release"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .make = make_step<PinRelease>,
    .verify = verify_release,
};

}  // namespace relight
