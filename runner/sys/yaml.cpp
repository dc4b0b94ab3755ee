#include "runner/sys/yaml.h"

#include <yaml.h>

#include <functional>

#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::sys {
namespace {

constexpr std::size_t nodes_at_most = 200'000;
constexpr int depth_at_most = 64;

// libyaml counts characters, not bytes.
std::vector<std::size_t> bytes_of_characters(const std::string& text) {
  std::vector<std::size_t> bytes;
  const std::size_t mark = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  for (std::size_t i = mark; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) bytes.push_back(i);
  bytes.push_back(text.size());
  return bytes;
}

struct Document {
  ~Document() {
    if (loaded) yaml_document_delete(&document);
    yaml_parser_delete(&parser);
  }
  yaml_parser_t parser;
  yaml_document_t document;
  bool loaded = false;
};

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw Error(ErrorKind::refused, "the file does not parse", name, why, "correct its YAML");
}

void load(Document& at, const std::string& name) {
  at.loaded = yaml_parser_load(&at.parser, &at.document) != 0;
  if (at.loaded) return;
  const char* problem = at.parser.problem != nullptr ? at.parser.problem : "it is no YAML";
  refuse(name, "line " + std::to_string(at.parser.problem_mark.line + 1) + ": " + problem);
}

}  // namespace

const YamlNode* YamlNode::field(std::string_view key) const {
  const YamlNode* found = nullptr;
  for (const auto& [name, value_node] : fields)
    if (name->kind == Kind::scalar && name->value == key) found = value_node;
  return found;
}

Yaml::Yaml(std::string text, const std::string& name) : text_(std::move(text)) {
  if (!is_utf8(text_)) refuse(name, "it is not UTF-8");
  Document at;
  if (yaml_parser_initialize(&at.parser) == 0) throw std::bad_alloc();
  yaml_parser_set_encoding(&at.parser, YAML_UTF8_ENCODING);
  const std::size_t mark = text_.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  yaml_parser_set_input_string(&at.parser, reinterpret_cast<const unsigned char*>(text_.data()) + mark,
                               text_.size() - mark);
  load(at, name);
  const std::vector<std::size_t> bytes = bytes_of_characters(text_);
  const auto byte_at = [&](const yaml_mark_t& place) {
    return bytes.at(std::min(place.index, bytes.size() - 1));
  };
  const auto count = static_cast<std::size_t>(at.document.nodes.top - at.document.nodes.start);
  if (count > nodes_at_most) refuse(name, "it holds more than 200000 values");
  nodes_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const yaml_node_t& from = at.document.nodes.start[i];
    YamlNode& to = nodes_[i];
    to.begin = byte_at(from.start_mark);
    to.end = byte_at(from.end_mark);
    to.line = static_cast<int>(from.start_mark.line) + 1;
    const auto node = [&](int number) { return &nodes_[static_cast<std::size_t>(number) - 1]; };
    switch (from.type) {
      case YAML_SCALAR_NODE:
        to.value.assign(reinterpret_cast<const char*>(from.data.scalar.value), from.data.scalar.length);
        break;
      case YAML_SEQUENCE_NODE:
        to.kind = YamlNode::Kind::list;
        for (auto* item = from.data.sequence.items.start; item != from.data.sequence.items.top; ++item)
          to.items.push_back(node(*item));
        break;
      case YAML_MAPPING_NODE:
        to.kind = YamlNode::Kind::map;
        for (auto* pair = from.data.mapping.pairs.start; pair != from.data.mapping.pairs.top; ++pair)
          to.fields.emplace_back(node(pair->key), node(pair->value));
        break;
      default:
        break;
    }
  }
  if (count > 0) root_ = &nodes_[0];
  // A second document would be another file's worth of values that nobody looks at.
  yaml_document_delete(&at.document);
  load(at, name);
  if (yaml_document_get_root_node(&at.document) != nullptr) refuse(name, "it holds more than one document");
}

std::pair<std::size_t, std::size_t> Yaml::span(const YamlNode& scalar) const {
  const std::size_t size = scalar.value.size();
  std::size_t end = scalar.end;
  if (size == 0 || end < scalar.begin + size) return {0, 0};
  const char last = text_[end - 1];
  if (last == '"' || last == '\'') --end;
  if (end < scalar.begin + size || text_.compare(end - size, size, scalar.value) != 0) return {0, 0};
  return {end - size, end};
}

Json json_of(const Yaml& yaml, const std::string& name) {
  std::size_t count = 0;
  const std::function<Json(const YamlNode&, int)> convert = [&](const YamlNode& node, int depth) -> Json {
    if (depth > depth_at_most || ++count > nodes_at_most) refuse(name, "its aliases hold one another");
    if (node.kind == YamlNode::Kind::scalar) return node.value;
    Json json = node.kind == YamlNode::Kind::list ? Json::array() : Json::object();
    for (const YamlNode* item : node.items) json.push_back(convert(*item, depth + 1));
    for (const auto& [key, value] : node.fields) json[key->value] = convert(*value, depth + 1);
    return json;
  };
  return yaml.root() != nullptr ? convert(*yaml.root(), 0) : Json::object();
}

}  // namespace relight::sys
