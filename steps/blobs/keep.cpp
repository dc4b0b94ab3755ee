// blobs.keep: a copy of a folder as it is now, to go back to.
#include "runner/step/access.h"
#include "runner/step/kept_copy.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {
namespace {

std::string path_of(const Params& params, Call& call) {
  return call.place(sys::absolute(params.text("path")));
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
    KeptCopy(call, path_of(params, call)).put_back(outputs != nullptr && outputs->at("copy") != "");
  }
  void discard(const Params& params, Call& call, const Json*) const override {
    KeptCopy(call, path_of(params, call)).discard();
  }
  Json kept(const Params& params, Call& call, const Json*) const override {
    return KeptCopy(call, path_of(params, call)).kept();
  }

  std::vector<std::string> newer(const Params& params, Call& call, sys::Time) const override {
    return KeptCopy(call, path_of(params, call)).newer();
  }

  std::string state_digest(const Params& params, Call& call) const override {
    return sys::tree_digest(path_of(params, call));
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
        "original where the file system can (btrfs, xfs); else it is copied, and its time is downtime.",
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
