// A YAML text as libyaml reads it, each value with the place where it stands.
#pragma once
#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runner/sys/json.h"

namespace relight::sys {

struct YamlNode {
  enum class Kind { scalar, list, map } kind = Kind::scalar;
  std::string value;                                                // of a scalar
  std::vector<const YamlNode*> items;                               // of a list
  std::vector<std::pair<const YamlNode*, const YamlNode*>> fields;  // of a map, in order
  std::size_t begin = 0, end = 0;                                   // its bytes, quotes and anchor included
  int line = 0;                                                     // 1, 2, ...

  // Of a map, the last where a key stands twice; nullptr: there is none.
  const YamlNode* field(std::string_view key) const;
};

class Yaml {
 public:
  // `name` stands in the refused Error of a text that does not parse. One document of UTF-8.
  Yaml(std::string text, const std::string& name);

  const YamlNode* root() const { return root_; }  // nullptr: there is nothing in it
  const std::string& text() const { return text_; }

  // Where the value of a scalar stands, without quotes. Empty where it is not written byte by byte as it is
  // read: over several lines, or with escapes.
  std::pair<std::size_t, std::size_t> span(const YamlNode& scalar) const;

 private:
  std::string text_;
  std::deque<YamlNode> nodes_;  // an alias is the node that it names
  const YamlNode* root_ = nullptr;
};

// Every scalar as a text. A refused Error for a text whose aliases hold one another.
Json json_of(const Yaml& yaml, const std::string& name);

}  // namespace relight::sys
