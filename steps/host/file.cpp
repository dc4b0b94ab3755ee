// host.file: one file, put in its place whole.

#include "runner/step/access.h"
#include "runner/step/placed_file.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

constexpr std::uint64_t largest = 64u << 20;
constexpr const char* sources[] = {"from", "content", "secret"};

std::vector<std::string> given_sources(const Params& params) {
  std::vector<std::string> given;
  for (const char* source : sources)
    if (params.has(source)) given.push_back(source);
  return given;
}

std::string source_hint() {
  return "give exactly one of `from`, `content` and `secret`";
}

// A secret's file is its owner's alone unless the runbook says otherwise.
PlacedFile placed(const Params& params, Call& call) {
  return PlacedFile(call, call.place(params.text("into")), params.has("secret") ? 0600 : 0644);
}

class File : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "into");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    const auto given = given_sources(params);
    if (given.size() != 1) {
      preview.problems.push_back(
          {"cannot tell what to write", shown(params.all()["into"]),
           given.empty() ? "no content is given" : sys::join(given, " and ") + " are given", source_hint()});
      return preview;
    }
    const auto access = access_foreseen(params, preview);
    if (!params.known("into") || !params.known(given.front())) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.summary = "write " + shown(params.all()["into"]);
      return preview;
    }
    const PlacedFile file = placed(params, call);
    const std::string into = call.place(params.text("into"));
    const std::optional<std::string> bytes = foreseen_bytes(params, preview);
    if (!bytes) {
      preview.summary = "write " + into;
    } else if (access && file.is(*bytes, *access)) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = into + " is as wanted";
      return preview;
    } else {
      preview.summary = "write " + into + ", " + sys::show_size(bytes->size());
      preview.space[into] = bytes->size();
    }
    file.foresee(preview);
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const auto given = given_sources(params);
    if (given.size() != 1)
      throw Error(ErrorKind::refused, "cannot tell what to write", params.text("into"),
                  given.empty() ? "no content is given" : sys::join(given, " and ") + " are given",
                  source_hint());
    const Access access = access_wanted(params);
    PlacedFile file = placed(params, call);
    if (params.has("secret"))
      file.put(params.secret("secret").view(), access);
    else if (params.has("content"))
      file.put(params.text("content"), access);
    else
      file.put(sys::read_file(params.text("from"), largest), access);
    return {{"into", call.place(params.text("into"))}};
  }

  void undo(const Params& params, Call& call, const Json*) const override { placed(params, call).undo(); }
  void discard(const Params& params, Call& call, const Json*) const override {
    placed(params, call).discard();
  }
  Json kept(const Params& params, Call& call, const Json*) const override {
    return placed(params, call).kept();
  }
  std::string state_digest(const Params& params, Call& call) const override {
    return placed(params, call).state_digest();
  }

 private:
  static std::optional<std::string> foreseen_bytes(const Params& params, Preview& preview) {
    if (params.has("content")) return params.text("content");
    if (params.has("secret")) {
      const Secret* secret = params.peek_secret("secret");
      if (!secret) return std::nullopt;
      return std::string(secret->view());
    }
    try {
      return sys::read_file(params.text("from"), largest);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, "check `from`"});
      return std::nullopt;
    }
  }
};

}  // namespace

extern const StepType host_file;
const StepType host_file = {
    .name = "host.file",
    .doc =
        "Put a file in its place: whole, in one atomic move, the old one kept until it is freed.\n"
        "Its bytes come `from` a file, from `content`, or from a `secret`. Missing parent folders are made. "
        "Mode, owner and "
        "group that are not given are those of the file that it replaces, else 0644 (a secret: 0600) and "
        "relight's own. "
        "A symbolic link at `into` is refused.",
    .example =
        "host.file \"unit\" { from = input.backup / \"aihummer.service\", into = "
        "\"/etc/systemd/system/aihummer.service\" }",
    .fields =
        {
            {.name = "into",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the file to write",
             .example = "\"/etc/systemd/system/aihummer.service\"",
             .choices = {}},
            {.name = "from",
             .type = FieldType::location,
             .required = false,
             .fallback = "",
             .doc = "a file with the bytes, at most 64 MiB",
             .example = "input.backup / \"aihummer.service\"",
             .choices = {}},
            {.name = "content",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "the bytes themselves",
             .example = "\"PORT=8080\\n\"",
             .choices = {}},
            {.name = "secret",
             .type = FieldType::secret,
             .required = false,
             .fallback = "",
             .doc = "the bytes, as a secret",
             .example = "secret.file \"/root/pgpass\"",
             .choices = {}},
            mode_field(),
            owner_field(),
            group_field(),
        },
    .outputs = {{.name = "into", .doc = "the file's path"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .make = make_step<File>,
};

}  // namespace relight
