// compose.pin: the images of a compose file at exact versions.
#include "runner/step/access.h"
#include "runner/step/placed_file.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/step/via.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/compose/lib/image.h"
#include "steps/compose/lib/images.h"

namespace relight {
namespace {

constexpr std::uint64_t largest = 1u << 20;

std::string file_of(const Params& params, Call& call) {
  return sys::absolute(call.place(params.text("file")));
}

PlacedFile placed(const Params& params, Call& call) {
  return PlacedFile(call, file_of(params, call), 0644);
}

PinnedImages pinned(const Params& params, const std::string& file) {
  return pin_images(sys::read_file(file, largest), file, params.texts("images"));
}

// Another version than was told may be pinned there already: of it nothing was proved, and nothing backed up.
void need_former(const Params& params, const PinnedImages& images, const std::string& file) {
  if (!params.has("from")) return;
  for (const auto& [service, wanted] : params.texts("from")) {
    const auto now = images.before.find(service);
    if (now == images.before.end())
      throw Error(ErrorKind::refused, "no such service", service, "`from` names it, and `images` does not",
                  "correct `from`");
    if (now->second != wanted && !now->second.starts_with(wanted + "@"))
      throw Error(ErrorKind::refused, "another version is pinned", service,
                  file + " has " + (now->second.empty() ? "no tag" : now->second) + ", not " + wanted,
                  "say which version runs now");
  }
}

std::string image_in(const Json& config, const std::string& service) {
  return config.at("services").at(service).value("image", "");
}

// What compose makes of the new file: it may differ from what it makes of the old in these images alone.
// Gives each service's whole reference.
std::map<std::string, std::string> references(const sys::Compose& compose, const PinnedImages& images) {
  Json before = compose.config(), after = compose.config_with(images.text);
  std::map<std::string, std::string> references;
  for (const auto& [service, version] : images.after) {
    references[service] = image_in(after, service);
    if (!references[service].ends_with(pin_of(version, service)))
      throw Error(ErrorKind::refused, "cannot pin the image", service,
                  "to compose it is " + references[service] + " even so: it is set in another file, too",
                  "name that file in `file`, or take the image out of it");
    before["services"][service].erase("image");
    after["services"][service].erase("image");
  }
  for (auto it = after["services"].begin(); it != after["services"].end(); ++it)
    if (before["services"].at(it.key()) != *it)
      throw Error(ErrorKind::refused, "cannot pin the image", images.after.begin()->first,
                  "service " + it.key() + " would change with it: they share it",
                  "name " + it.key() + " in `images` too, or give each an image of its own");
  return references;
}

class PinImages : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "file");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    preview.summary =
        "pin the images " + shown(params.all()["images"]) + " of " + shown(params.all()["file"]);
    for (const char* field : {"file", "images", "from"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(params.all()[field]).begin();
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
    const std::string file = file_of(params, call);
    const PinnedImages images = pinned(params, file);
    if (!call.notes().contains("before")) {
      need_former(params, images, file);
      call.note("before", images.before);
    }
    failpoint("compose.pin:noted");
    if (images.text != sys::read_file(file, largest)) {
      const sys::Compose compose = compose_of({file, "", ""}, call);
      // Here before the file says so: the start depends on no registry.
      for (const auto& [service, reference] : references(compose, images))
        if (!compose.docker().has_image(reference)) compose.docker().pull(reference);
      failpoint("compose.pin:brought");
      call.stop_here_if_wanted();
    }
    placed(params, call).put(images.text, {});
    const Json& before = call.notes().at("before");
    const Json after = images.after;
    return {{"before", before}, {"after", after}, {"changed", before != after}};
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
  static void foresee(const Params& params, Call& call, Preview& preview) {
    const std::string file = file_of(params, call);
    if (params.texts("images").empty())
      throw Error(ErrorKind::refused, "nothing to pin", file, "`images` is empty",
                  "write images = { SERVICE = TAG }");
    for (const auto& [service, version] : params.texts("images")) pin_of(version, service);
    const sys::Compose compose = compose_of({file, "", ""}, call);
    if (compose.program().empty() || !sys::exists(file)) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.hints.push_back((sys::exists(file) ? "compose is missing" : "there is no " + file) +
                              ", unless an earlier step brings it");
      return;
    }
    compose.config();  // its own word on a file that does not parse comes first
    const PinnedImages images = pinned(params, file);
    if (!call.notes().contains("before")) need_former(params, images, file);
    if (images.text == sys::read_file(file, largest)) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = "the images of " + file + " are pinned so";
      return;
    }
    preview.summary = "pin";
    for (const auto& [service, version] : images.after)
      if (const std::string& before = images.before.at(service); before != version)
        preview.summary += (preview.summary == "pin" ? " " : ", ") + service + " " +
                           (before.empty() ? "" : before + " -> ") + version;
    preview.summary += " in " + file;
    const auto needed = references(compose, images);
    compose.docker().need_engine();
    for (const auto& [service, reference] : needed) {
      if (compose.docker().has_image(reference)) continue;
      if (std::string why = compose.docker().missing_in_registry(reference); !why.empty())
        preview.problems.push_back({"the image is not to be had", reference, why,
                                    "correct the tag, or docker pull it where the registry answers"});
      else
        preview.hints.push_back("the image " + reference + " is brought from its registry");
    }
    placed(params, call).foresee(preview);
  }
};

}  // namespace

extern const StepType compose_pin;
const StepType compose_pin = {
    .name = "compose.pin",
    .doc =
        "Set the images of services in a compose file to exact versions.\n"
        "The bytes of their tags change and nothing else in the file: comments, order, quotes and line ends "
        "stay. "
        "Each image is brought to this host before the file is written, so that the start needs no registry; "
        "a tag "
        "that neither this host nor its registry has is told by the plan. `latest` and its like are refused, "
        "and so "
        "is a tag that a variable holds, or that another service would get, too. What runs goes on with its "
        "image: "
        "service.stop before, service.start after. Undo puts the old file back.",
    .example =
        "local pinned = compose.pin \"pin\" { file = \"/srv/sophon/compose.yml\",\n"
        "  images = { [\"sophon-gateway\"] = input.version, [\"sophon-dashboard\"] = input.version } }",
    .fields =
        {
            {.name = "file",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the compose file",
             .example = "\"/srv/sophon/compose.yml\"",
             .choices = {}},
            {.name = "images",
             .type = FieldType::texts,
             .required = true,
             .fallback = "",
             .doc = "by service: its tag, its tag and digest (\"1.2.0@sha256:...\"), or its digest",
             .example = "{ [\"sophon-gateway\"] = \"1.2.0\" }",
             .choices = {}},
            {.name = "from",
             .type = FieldType::texts,
             .required = false,
             .fallback = "",
             .doc = "by service: the tag or digest that it must have now, or nothing is done",
             .example = "{ [\"sophon-gateway\"] = \"1.1.0\" }",
             .choices = {}},
        },
    .outputs =
        {
            {.name = "before", .doc = "by service: the tag or digest that it had; empty: none"},
            {.name = "after", .doc = "by service: what it has now"},
            {.name = "changed", .doc = "whether they differ"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "the images that were brought to this host",
    .drill = Drill::refused,
    .is_probe = false,
    .make = make_step<PinImages>,
};

}  // namespace relight
