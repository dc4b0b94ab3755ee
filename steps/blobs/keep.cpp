// blobs.keep: a copy of a folder as it is now, to go back to.
#include <sys/stat.h>

#include <cerrno>
#include <chrono>

#include "runner/step/access.h"
#include "runner/step/kept_copy.h"
#include "runner/step/newer.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/blobs/lib/source.h"
#include "steps/blobs/lib/unpack.h"

namespace relight {
namespace {

using blobs::Content;
using blobs::Hashes;
using blobs::Source;

std::string path_of(const Params& params, Call& call) {
  return call.place(sys::absolute(params.text("path")));
}

Source source_of(const Params& params) {
  Source source;
  source.path = sys::absolute(params.text("archive"));
  if (params.has("manifest")) source.manifest = sys::absolute(params.text("manifest"));
  return source;
}

// It tells no time of its own but the one when it was written.
std::string told_of(const Source& source) {
  struct stat status;
  if (stat(source.path.c_str(), &status) != 0) throw system_error(errno, "cannot look at", source.path);
  return "the backup " + source.path + " of " +
         sys::show_time(sys::Time(std::chrono::seconds(status.st_mtim.tv_sec)));
}

// Reads every byte of the backup that would stand in for a copy that is gone.
void need_backup(const Source& source, const std::string& target, Call& call) {
  if (!sys::exists(source.path))
    throw Error(ErrorKind::needs_person, "cannot read the blobs", source.path, "it is not there",
                "bring the backup back, or see `archive`");
  const Hashes manifest = source.manifest.empty() ? Hashes() : blobs::read_manifest(source.manifest);
  const Content content = blobs::look(source, true, [&](const Content& seen) {
    call.stop_here_if_wanted();
    call.progress("read", seen.bytes, 0);
  });
  if (const auto differences = blobs::compare(manifest, content.files);
      !source.manifest.empty() && differences.any())
    throw Error(ErrorKind::needs_person, "the blobs are not those of their manifest", source.path,
                blobs::show(differences), blobs::other_copy);
  const std::string folder = switch_outlook(target).folder;
  if (const std::uint64_t free = sys::free_bytes(folder); free < content.room)
    throw Error(
        ErrorKind::needs_person, "too little disk space", folder,
        sys::show_size(content.room) + " needed beside what lies there, " + sys::show_size(free) + " free",
        "free some, then go on");
}

class Keep : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "path");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    preview.summary = "keep a copy of " + shown(params.all()["path"]);
    if (!params.known("path")) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      return preview;
    }
    try {
      KeptCopy(call, path_of(params, call)).foresee(preview);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    KeptCopy copy(call, path_of(params, call));
    copy.make();
    const Json kept = copy.kept();
    return {{"copy", kept.empty() ? "" : kept[0]["on"]}};
  }

  void undo(const Params& params, Call& call, const Json* outputs) const override {
    const std::string path = path_of(params, call);
    std::function<void(Switch&)> from_backup;
    if (params.has("archive")) from_backup = [&](Switch& move) { take_backup(params, path, move, call); };
    KeptCopy(call, path).put_back(outputs != nullptr && outputs->at("copy") != "", from_backup);
  }
  void discard(const Params& params, Call& call, const Json*) const override {
    KeptCopy(call, path_of(params, call)).discard();
  }
  Json kept(const Params& params, Call& call, const Json*) const override {
    return KeptCopy(call, path_of(params, call)).kept();
  }

  std::vector<std::string> newer(const Params& params, Call& call, sys::Time since) const override {
    const std::string path = path_of(params, call);
    const KeptCopy copy(call, path);
    if (!copy.gone() || !params.has("archive")) return copy.newer();
    const Source source = source_of(params);
    try {
      need_backup(source, path, call);
    } catch (const Error& error) {
      throw no_way_back(path, error);
    }
    std::vector<std::string> lines{told_instead(path, told_of(source))};
    const std::string written = sys::exists(path) ? newer_since(since, path) : "";
    if (!written.empty()) lines.push_back(path + ": " + written + kept_aside);
    return lines;
  }

  std::string state_digest(const Params& params, Call& call) const override {
    return sys::tree_digest(path_of(params, call));
  }

 private:
  static void take_backup(const Params& params, const std::string& path, Switch& move, Call& call) {
    const Source source = source_of(params);
    try {
      // Once it is begun, what is missing of it is not known: a full disk is told then by what fills it.
      if (!call.notes().contains(from_backup_note)) need_backup(source, path, call);
      note_instead(call, path, told_of(source));
      failpoint("blobs.keep:from_backup");
      blobs::unpack_beside(source, source.manifest.empty() ? Hashes() : blobs::read_manifest(source.manifest),
                           std::nullopt, move, call);
    } catch (const Error& error) {
      if (error.kind == ErrorKind::transient) throw;
      throw no_way_back(path, error);
    }
  }
};

}  // namespace

extern const StepType blobs_keep;
const StepType blobs_keep = {
    .name = "blobs.keep",
    .doc =
        "Keep a copy of a folder as it is now, for a rollback without a restore.\n"
        "Stop what writes there in a step before: the copy is what a rollback puts back, by one atomic "
        "exchange. "
        "What was written since is put aside then, until `relight keep --drop`. Blocks are shared with the "
        "original where the file system can (btrfs, xfs); else it is copied, and its time is downtime. Where "
        "the copy is gone by then, the folder is restored from `archive`, a backup that was taken before: a "
        "rollback tells that first, and does not begin where the backup would not restore.",
    .example = "blobs.keep \"keep-blobs\" { path = \"/var/lib/aihummer/blobs\" }",
    .fields =
        {
            {.name = "path",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the folder",
             .example = "\"/var/lib/aihummer/blobs\"",
             .choices = {}},
            {.name = "archive",
             .type = FieldType::location,
             .required = false,
             .fallback = "",
             .doc =
                 "the backup that a rollback takes where the copy is gone: what blobs.restore takes; without "
                 "one it stops there",
             .example = "packed.path",
             .choices = {}},
            {.name = "manifest",
             .type = FieldType::location,
             .required = false,
             .fallback = "",
             .doc = "the SHA-256 of every file in `archive`",
             .example = "packed.manifest",
             .choices = {}},
        },
    .outputs = {{.name = "copy", .doc = "where the copy lies; empty: there was nothing to keep"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "what was written since, put aside",
    .drill = Drill::runs,
    .is_probe = false,
    .make = make_step<Keep>,
};

}  // namespace relight
