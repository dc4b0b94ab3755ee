// blobs.archive: a folder packed into one archive, with the SHA-256 of every file beside it.
#include <unistd.h>

#include "runner/step/access.h"
#include "runner/step/addition.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/archive_writer.h"
#include "runner/sys/digest.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/blobs/lib/manifest.h"
#include "steps/blobs/lib/set_part.h"

namespace relight {
namespace {

constexpr std::pair<const char*, sys::Packing> suffixes[] = {
    {".tar.zst", sys::Packing::tar_zst}, {".tar.gz", sys::Packing::tar_gz}, {".zip", sys::Packing::zip}};

// What one call works on; checked.
struct Task {
  Task(const Params& params, Call& call)
      : from(sys::absolute(params.text("from"))), into(call.place(sys::absolute(params.text("into")))) {
    for (const auto& [suffix, one] : suffixes)
      if (into.ends_with(suffix)) {
        packing = one;
        manifest = into.substr(0, into.size() - std::string_view(suffix).size()) + ".sha256";
      }
    if (manifest.empty())
      throw Error(ErrorKind::refused, "cannot tell how to pack", into, "its name says no packing",
                  "name it .tar.zst, .tar.gz or .zip");
    if (params.has("must_hold"))
      for (const std::string& name : params.list("must_hold")) must_hold.push_back(name);
    if (params.has("leave_out"))
      for (const std::string& name : params.list("leave_out")) leave_out.push_back(name);
    if ((into + "/").starts_with(from + "/"))
      throw Error(ErrorKind::refused, "cannot pack a folder into itself", into, "it lies within " + from,
                  "keep the backup elsewhere");
  }

  bool takes(const sys::Entry& entry) const {
    for (const std::string& name : leave_out)
      if (entry.path == name || entry.path.starts_with(name + "/")) return false;
    return true;
  }

  // What the backup is worthless without.
  void check_held(const std::map<std::string, std::uint64_t>& files) const {
    for (const std::string& name : must_hold) {
      const auto found = files.find(name);
      if (found == files.end() || found->second == 0)
        throw Error(ErrorKind::refused, "the backup would lack what it must hold", from + "/" + name,
                    found == files.end() ? "it is not there" : "it is empty",
                    "find it before anything else is done: without it a restore is worth nothing");
    }
  }

  std::string from, into, manifest;
  sys::Packing packing = sys::Packing::tar_zst;
  std::vector<std::string> must_hold, leave_out;
};

class ArchiveBlobs : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "into");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    preview.summary = "pack " + shown(params.all()["from"]) + " into " + shown(params.all()["into"]);
    for (const char* field : {"from", "into"})
      if (!params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        return preview;
      }
    preview.cannot_undo = "the archive";
    try {
      foresee(Task(params, call), call, preview);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const Task task(params, call);
    Addition manifest(call, task.manifest), archive(call, task.into);
    if (!archive.whole()) {
      manifest.begin();
      archive.begin();
      failpoint("blobs.archive:begun");
      pack(task, manifest.beside(), archive.beside(), call);
      manifest.mark();
      archive.mark();
    }
    // The archive last: where it is there, so is all that belongs to it.
    manifest.place();
    failpoint("blobs.archive:manifest_placed");
    archive.place();
    failpoint("blobs.archive:placed");
    Json outputs = call.notes().at("packed");
    outputs["path"] = task.into;
    outputs["manifest"] = task.manifest;
    return outputs;
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    const Task task(params, call);
    Addition manifest(call, task.manifest), archive(call, task.into);
    if (archive.placed()) return;
    archive.take_back();
    manifest.remove();
  }

  void discard(const Params& params, Call& call, const Json*) const override {
    const Task task(params, call);
    Addition(call, task.manifest).discard();
    Addition(call, task.into).discard();
  }

  std::string state_digest(const Params& params, Call& call) const override {
    const Task task(params, call);
    std::string all;
    for (const std::string& path : {task.manifest, task.into})
      all += (sys::exists(path) ? sys::sha256_file(path) : "absent") + "\n";
    return sys::sha256_hex(all);
  }

 private:
  static void foresee(const Task& task, Call& call, Preview& preview) {
    Addition manifest(call, task.manifest), archive(call, task.into);
    if (archive.placed()) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = "the archive is there: " + task.into;
      return;
    }
    if (!sys::is_folder(task.from))
      throw Error(ErrorKind::refused, "cannot read the folder", task.from, "there is no such folder",
                  "correct `from`");
    std::map<std::string, std::uint64_t> files;
    std::uint64_t bytes = 0;
    sys::walk(task.from, [&](const sys::Entry& entry) {
      call.stop_here_if_wanted();
      if (entry.kind != 'f' || !task.takes(entry)) return;
      files[entry.path] = entry.size;
      bytes += entry.size;
    });
    preview.summary = "pack " + sys::show_count(files.size()) + (files.size() == 1 ? " file, " : " files, ") +
                      sys::show_size(bytes) + ", into " + task.into;
    archive.foresee(bytes, preview);
    manifest.foresee(0, preview);
    task.check_held(files);
  }

  static void pack(const Task& task, const std::string& manifest, const std::string& archive, Call& call) {
    std::map<std::string, std::uint64_t> files;
    blobs::Hashes hashes;
    sys::PackOptions options;
    options.each = [&](const sys::Entry& entry) { return task.takes(entry); };
    options.hashed = [&](const sys::Entry& entry, const std::string& hash) {
      files[entry.path] = entry.size;
      hashes[entry.path] = hash;
    };
    options.progress = [&](std::uint64_t, std::uint64_t bytes) { call.progress("pack", bytes, 0); };
    options.stop = [&] { return call.stop_wanted(); };
    const sys::Packed packed = sys::pack(task.from, archive, task.packing, options);
    task.check_held(files);
    sys::write_new_file(manifest, blobs::manifest_text(hashes), 0600);
    call.note("packed",
              {{"files", packed.files}, {"bytes", packed.bytes}, {"sha256", sys::sha256_file(archive)}});
    failpoint("blobs.archive:packed");
  }
};

}  // namespace

extern const StepType blobs_archive;
const StepType blobs_archive = {
    .name = "blobs.archive",
    .doc =
        "Back up a folder into one archive, with the SHA-256 of every file in a manifest beside it.\n"
        "Both are made under hidden names and take their places when they are whole; what is there already "
        "is "
        "never replaced. A file that changes while it is read fails the step: stop what writes there first. "
        "An archive that would lack a file of `must_hold` is refused. blobs.restore takes back what this "
        "step "
        "made. Undo leaves a backup that is whole.",
    .example =
        "blobs.archive \"blobs\" { from = \"/srv/sophon\", into = \"/backup/blobs.tar.zst\",\n"
        "  must_hold = { \"security/vault.key\" } }",
    .fields =
        {
            {.name = "from",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the folder",
             .example = "\"/var/lib/aihummer/blobs\"",
             .choices = {}},
            {.name = "into",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the archive: .tar.zst, .tar.gz or .zip; its manifest is the same name with .sha256",
             .example = "\"/backup/blobs.tar.zst\"",
             .choices = {}},
            {.name = "must_hold",
             .type = FieldType::list,
             .required = false,
             .fallback = "",
             .doc = "files below `from` that must be in it, and not empty",
             .example = "{ \"security/vault.key\" }",
             .choices = {}},
            {.name = "leave_out",
             .type = FieldType::list,
             .required = false,
             .fallback = "",
             .doc = "files and folders below `from` that are left out",
             .example = "{ \"cache\", \"logs\" }",
             .choices = {}},
        },
    .outputs =
        {
            {.name = "path", .doc = "the archive"},
            {.name = "manifest", .doc = "its manifest"},
            {.name = "files", .doc = "how many files it holds"},
            {.name = "bytes", .doc = "their bytes, unpacked"},
            {.name = "sha256", .doc = "of the archive"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "an archive that is whole",
    .drill = Drill::runs,
    .is_probe = false,
    .make = make_step<ArchiveBlobs>,
    .verify = blobs::verify_part,
};

}  // namespace relight
