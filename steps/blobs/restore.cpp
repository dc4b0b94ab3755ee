// blobs.restore: a folder of blobs out of a folder or an archive, checked against its manifest.
#include <sys/stat.h>
#include <unistd.h>

#include "runner/step/access.h"
#include "runner/step/newer.h"
#include "runner/step/parents.h"
#include "runner/step/step.h"
#include "runner/step/switch.h"
#include "runner/step/value.h"
#include "runner/sys/archive.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "steps/blobs/lib/source.h"
#include "steps/blobs/lib/unpack.h"

namespace relight {
namespace {

using blobs::Content;
using blobs::Differences;
using blobs::Hashes;
using blobs::Source;

// blobs.sha256, else MANIFEST, beside blobs.tar.zst or the folder blobs.
std::string manifest_beside(const std::string& from) {
  std::string name = sys::name_of_path(from);
  for (const char* suffix : {".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.lz4", ".tar.xz", ".zip"})
    if (name.ends_with(suffix) && sys::is_archive(from)) {
      name.resize(name.size() - std::string_view(suffix).size());
      break;
    }
  for (const std::string& candidate : {name + ".sha256", std::string("MANIFEST")}) {
    const std::string path = sys::parent_of(from) + "/" + candidate;
    if (sys::exists(path)) return path;
  }
  return "";
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Source source_of(const Params& params) {
  Source source;
  source.path = sys::absolute(params.text("from"));
  source.inside = without_slash(params.text_or("inside", ""));
  source.manifest =
      params.has("manifest") ? sys::absolute(params.text("manifest")) : manifest_beside(source.path);
  return source;
}

std::string into_of(const Params& params, const Call& call) {
  return without_slash(call.place(sys::absolute(params.text("into"))));
}

Problem problem_of(const Error& error) {
  return {error.failed, error.on, error.why, error.hint};
}

std::string summed(std::size_t files, std::uint64_t bytes) {
  return sys::show_count(files) + (files == 1 ? " file, " : " files, ") + sys::show_size(bytes);
}

// What stands in the way of a switch, whoever asks.
std::optional<Problem> in_the_way(const std::string& into) {
  struct stat status;
  if (lstat(into.c_str(), &status) != 0) return std::nullopt;
  if (S_ISLNK(status.st_mode))
    return Problem{"cannot switch to the new blobs", into, "it is a symbolic link",
                   "write the path that it leads to into `into`"};
  if (!S_ISDIR(status.st_mode))
    return Problem{"cannot switch to the new blobs", into, "it is not a folder",
                   "move it away, or correct `into`"};
  return switch_outlook(into).obstacle;
}

class Restore : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "into");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    for (const char* field : {"from", "into", "manifest", "inside", "owner"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.summary = "restore blobs into " + shown(params.all()["into"]);
        preview.proved_after = *outputs_used(params.all()[field]).begin();
        return preview;
      }
    const std::string into = into_of(params, call);
    const Switch move(call, into);
    if (move.state() == Switch::State::switched) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = "the blobs are in place at " + into;
      return preview;
    }
    try {
      preview_source(source_of(params), into, call, preview);
    } catch (const Error& error) {
      preview.problems.push_back(problem_of(error));
    }
    preview_target(params, into, preview);
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const std::string into = into_of(params, call);
    Switch move(call, into);
    if (move.state() == Switch::State::nothing) unpack_new(params, call, move);
    failpoint("blobs.restore:unpacked");
    move.commit();
    failpoint("blobs.restore:switched");
    Json outputs = call.notes().at("unpacked");
    outputs["into"] = into;
    return outputs;
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    Switch move(call, into_of(params, call));
    move.revert();
    failpoint("blobs.restore:reverted");
    move.drop_new();
    failpoint("blobs.restore:dropped");
    remove_made_parents(call);
  }

  void discard(const Params& params, Call& call, const Json*) const override {
    Switch(call, into_of(params, call)).discard();
  }

  Json kept(const Params& params, Call& call, const Json*) const override {
    const std::string old = Switch(call, into_of(params, call)).kept();
    if (old.empty()) return Json::array();
    return Json::array({{{"on", old}, {"bytes", sys::tree_bytes(old)}}});
  }

  std::vector<std::string> newer(const Params& params, Call& call, sys::Time since) const override {
    const std::string told = newer_since(since, into_of(params, call));
    if (told.empty()) return {};
    return {into_of(params, call) + ": " + told + taken_away};
  }

  std::string state_digest(const Params& params, Call& call) const override {
    return sys::tree_digest(into_of(params, call));
  }

 private:
  static void preview_source(const Source& source, const std::string& into, Call& call, Preview& preview) {
    if (!sys::exists(source.path))
      throw Error(ErrorKind::refused, "cannot read the blobs", source.path, "it is not there",
                  "correct `from`");
    if (!source.is_folder() && !sys::is_archive(source.path))
      throw Error(ErrorKind::refused, "cannot read the blobs", source.path,
                  "it is neither a folder nor an archive by its name",
                  "use a folder, .tar, .tar.gz, .tar.zst, .tar.xz, .tar.lz4 or .zip");
    Hashes manifest;
    if (source.manifest.empty())
      preview.hints.push_back("there is no manifest (" + sys::name_of_path(source.path) +
                              " has neither a .sha256 file of its name nor a MANIFEST beside it): nothing "
                              "can prove that the blobs are the ones that were backed up");
    else
      manifest = blobs::read_manifest(source.manifest);

    const Content content = blobs::look(source, call.full_depth(), [&](const Content& seen) {
      call.stop_here_if_wanted();
      call.progress("read", seen.bytes, 0);
    });
    preview.space[switch_outlook(into).folder] = content.room;
    preview.summary = (source.is_folder() ? "copy " : "unpack ") +
                      summed(content.files.size(), content.bytes) + ", into " + into;
    if (!source.manifest.empty()) {
      preview.summary += call.full_depth() ? ", every hash as in " : ", every name as in ";
      preview.summary += source.manifest;
      add_differences(blobs::compare(manifest, content.files), source, preview);
    }
    if (!content.strange.empty())
      preview.problems.push_back({"cannot restore what is no file, folder or link", source.path,
                                  blobs::some_of(content.strange),
                                  "leave devices, fifos and sockets out of the backup"});
    if (!content.links.empty() && !source.manifest.empty())
      preview.hints.push_back("the manifest says nothing of symbolic links: " +
                              blobs::some_of(content.links));
  }

  static void add_differences(const Differences& differences, const Source& source, Preview& preview) {
    const std::string backup = source.path;
    if (!differences.different.empty())
      preview.problems.push_back({"blobs differ from their manifest", backup,
                                  blobs::some_of(differences.different), blobs::other_copy});
    if (!differences.missing.empty())
      preview.problems.push_back({"blobs of the manifest are missing", backup,
                                  blobs::some_of(differences.missing), blobs::other_copy});
    if (!differences.extra.empty())
      preview.problems.push_back(
          {"files are not in the manifest", backup, blobs::some_of(differences.extra), blobs::other_copy});
  }

  static void preview_target(const Params& params, const std::string& into, Preview& preview) {
    if (auto problem = in_the_way(into)) preview.problems.push_back(*problem);
    const SwitchOutlook outlook = switch_outlook(into);
    if (!outlook.hint.empty()) preview.hints.push_back(outlook.hint);
    std::string folder = outlook.folder;
    while (!sys::exists(folder)) folder = sys::parent_of(folder);
    if (!sys::is_folder(folder))
      preview.problems.push_back(
          {"cannot make the folder", into, folder + " is not a folder", "correct `into`"});
    else if (const auto protection = write_protected("cannot write beside the target", folder))
      preview.problems.push_back(*protection);
    else if (access(folder.c_str(), W_OK | X_OK) != 0)
      preview.problems.push_back({"cannot write beside the target", folder, "permission denied",
                                  "run the step as a user who may (`as`)"});
    if (sys::exists(into)) {
      const std::string old = "the old " + into + " (" + sys::show_size(sys::tree_bytes(into)) + ")";
      preview.keeps.push_back(old);
      if (!preview.summary.empty()) preview.summary += ", in place of " + old;
    }
    if (!params.has("owner")) return;
    try {
      const sys::User user = sys::user_named(params.text("owner"));
      if (geteuid() != 0 && geteuid() != user.uid)
        preview.problems.push_back({"cannot give the blobs away", user.name, "only root can change an owner",
                                    "run relight as root without `as`, or leave out `owner`"});
    } catch (const Error&) {
      // A package or release of this run may bring the user: told, and refused before the first effect.
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.hints.push_back("there is no user " + params.text("owner") +
                              " (owner) yet: an earlier step must make it");
    }
  }

  static void unpack_new(const Params& params, Call& call, Switch& move) {
    const Source source = source_of(params);
    std::optional<sys::User> user;
    if (params.has("owner")) user = sys::user_named(params.text("owner"));
    if (const auto problem = in_the_way(move.target()))
      throw Error(ErrorKind::refused, problem->what, problem->on, problem->why, problem->hint);
    const Hashes manifest = source.manifest.empty() ? Hashes() : blobs::read_manifest(source.manifest);

    move.prepare();
    make_parents(call, move.target());
    failpoint("blobs.restore:begun");
    const Content content = blobs::unpack_beside(source, manifest, user, move, call);
    call.note("unpacked", {{"files", content.files.size()}, {"bytes", content.bytes}});
    failpoint("blobs.restore:noted");
    move.mark();
  }
};

}  // namespace

extern const StepType blobs_restore;
const StepType blobs_restore = {
    .name = "blobs.restore",
    .doc =
        "Restore a folder of blobs from a folder or an archive, every file checked against its manifest.\n"
        "It is made beside the old folder and exchanged with it in one atomic move; the old one is kept. In "
        "a "
        "mount point the entries are switched one by one instead: stop what uses them in a step before. The "
        "manifest is what `sha256sum` writes, with paths below the folder: a file that is missing, too many "
        "or of another hash fails the step before anything is replaced. A symbolic link is refused. What is "
        "written into the new folder after the step is lost by its undo. Killed, it goes on with the files "
        "that it had not written.",
    .example =
        "blobs.restore \"blobs\" { from = \"/backup/blobs.tar.zst\", into = \"/var/lib/aihummer/blobs\" }",
    .fields =
        {
            {.name = "from",
             .type = FieldType::location,
             .required = true,
             .fallback = "",
             .doc = "the backup: a folder, .tar, .tar.gz, .tar.zst, .tar.xz, .tar.lz4 or .zip",
             .example = "\"/backup/blobs.tar.zst\"",
             .choices = {}},
            {.name = "into",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the folder of the blobs, replaced as a whole",
             .example = "\"/var/lib/aihummer/blobs\"",
             .choices = {}},
            {.name = "manifest",
             .type = FieldType::location,
             .required = false,
             .fallback = "",
             .doc = "the SHA-256 of every file; when not given, blobs.sha256 (of blobs.tar.zst) or MANIFEST "
                    "beside `from`, "
                    "where there is one",
             .example = "\"/backup/blobs.sha256\"",
             .choices = {}},
            {.name = "inside",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "the folder within `from` that holds the blobs; the manifest's paths are below it",
             .example = "\"var/lib/aihummer/blobs\"",
             .choices = {}},
            {.name = "owner",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "the user who gets everything; when not given, the owners of the backup",
             .example = "\"aihummer\"",
             .choices = {}},
        },
    .outputs =
        {
            {.name = "files", .doc = "how many files were restored"},
            {.name = "bytes", .doc = "their bytes"},
            {.name = "into", .doc = "the folder"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .is_probe = false,
    .make = make_step<Restore>,
};

}  // namespace relight
