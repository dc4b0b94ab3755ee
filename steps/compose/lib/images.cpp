#include "steps/compose/lib/images.h"

#include <set>

#include "runner/step/schema.h"
#include "runner/sys/error.h"
#include "runner/sys/yaml.h"
#include "steps/compose/lib/image.h"

namespace relight {
namespace {

using sys::YamlNode;

[[noreturn]] void refuse(const std::string& service, const std::string& why, const std::string& hint) {
  throw Error(ErrorKind::refused, "cannot pin the image", service, why, hint);
}

// The map that `<<` brings into another, or the first of several that have the key.
const YamlNode* merged(const YamlNode& map, const std::string& key, int depth);

const YamlNode* value_of(const YamlNode& map, const std::string& key, int depth = 0) {
  if (const YamlNode* own = map.field(key)) return own;
  return depth < 16 ? merged(map, key, depth) : nullptr;
}

const YamlNode* merged(const YamlNode& map, const std::string& key, int depth) {
  const YamlNode* more = map.field("<<");
  if (more == nullptr) return nullptr;
  if (more->kind == YamlNode::Kind::map) return value_of(*more, key, depth + 1);
  for (const YamlNode* one : more->items)
    if (const YamlNode* found = value_of(*one, key, depth + 1)) return found;
  return nullptr;
}

class File {
 public:
  File(const std::string& text, const std::string& path) : yaml_(text, path), path_(path) {
    const YamlNode* root = yaml_.root();
    services_ = root != nullptr ? root->field("services") : nullptr;
    if (services_ == nullptr || services_->kind != YamlNode::Kind::map)
      throw Error(ErrorKind::refused, "the compose file does not parse", path, "it has no `services`",
                  "correct it");
  }

  const sys::Yaml& yaml() const { return yaml_; }

  const YamlNode& image_of(const std::string& service) const {
    std::set<std::string> seen;
    for (std::string at = service; seen.insert(at).second;) {
      const YamlNode* map = services_->field(at);
      if (map == nullptr) refuse_absent(at);
      if (const YamlNode* image = value_of(*map, "image")) {
        if (image->kind != YamlNode::Kind::scalar || image->value.empty())
          refuse(service, "its image is no text", "write image: NAME:TAG");
        return *image;
      }
      const YamlNode* base = value_of(*map, "extends");
      if (base == nullptr)
        refuse(service, "it has no image in " + path_,
               "give it one, image: NAME:TAG, or leave it out of `images`");
      if (const YamlNode* file = base->field("file"))
        refuse(service, "its image stands in " + file->value + ", which it extends",
               "name that file in `file`");
      const YamlNode* name = base->kind == YamlNode::Kind::scalar ? base : base->field("service");
      if (name == nullptr) break;
      at = name->value;
    }
    refuse(service, "what it extends leads nowhere", "correct its `extends`");
  }

 private:
  [[noreturn]] void refuse_absent(const std::string& service) const {
    std::vector<std::string> names;
    for (const auto& [name, value] : services_->fields) names.push_back(name->value);
    const std::string near = near_name(service, names);
    throw Error(ErrorKind::refused, "no such service", service, path_ + " has none of that name",
                near.empty() ? "correct `images`" : "did you mean \"" + near + "\"?");
  }

  sys::Yaml yaml_;
  std::string path_;
  const YamlNode* services_ = nullptr;
};

struct Edit {
  std::string service, pin;
  std::size_t begin, end;
};

}  // namespace

PinnedImages pin_images(const std::string& text, const std::string& path,
                        const std::map<std::string, std::string>& wanted) {
  const File file(text, path);
  PinnedImages pinned;
  std::map<const YamlNode*, Edit> edits;
  for (const auto& [service, version] : wanted) {
    const std::string pin = pin_of(version, service);
    const YamlNode& image = file.image_of(service);
    const auto [begin, end] = file.yaml().span(image);
    if (end == 0)
      refuse(service,
             "its image is written over several lines, or with escapes (line " + std::to_string(image.line) +
                 ")",
             "write it plainly: image: NAME:TAG");
    const std::size_t name = end_of_name(image.value, service);
    pinned.before[service] = shown_pin(image.value.substr(name));
    pinned.after[service] = version;
    const auto [known, is_new] = edits.try_emplace(&image, Edit{service, pin, begin + name, end});
    if (!is_new && known->second.pin != pin)
      refuse(service, "it shares its image with " + known->second.service + ", which is to have another tag",
             "give each an image of its own");
  }
  pinned.text = text;
  std::map<std::size_t, const Edit*> from_the_end;
  for (const auto& [node, edit] : edits) from_the_end[edit.begin] = &edit;
  for (auto it = from_the_end.rbegin(); it != from_the_end.rend(); ++it)
    pinned.text.replace(it->second->begin, it->second->end - it->second->begin, it->second->pin);
  return pinned;
}

}  // namespace relight
