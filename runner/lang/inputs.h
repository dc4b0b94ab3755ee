// The inputs of a runbook: what `inputs { ... }` declares, met with what was given.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runner/lang/fault.h"
#include "runner/sys/json.h"

namespace relight::lang {

struct Given {
  std::map<std::string, std::string> set;  // --set NAME=TEXT
  std::shared_ptr<const Json> file;        // --inputs FILE: an object; null: none. `set` goes over it
  bool can_ask = false;                    // a missing secret may be asked for when the run starts
};

struct InputValues {
  std::shared_ptr<const Json> all;  // name -> value; an optional input that was not given is absent
  std::shared_ptr<const Json>
      given;  // those that were given; as Given::file they give the same again, in any folder
};

// The text of an inputs file `on`, as Given::file. Throws a refused Error.
std::shared_ptr<const Json> parse_inputs(const std::string& text, const std::string& on);

// `declared` is the table of `inputs` as JSON. A fault is told at the place of its input; a literal secret is
// never repeated in one. Relative paths and locations are made absolute against the current folder.
InputValues values_of_inputs(const Json& declared, const Given& given,
                             const std::function<Place(const std::string& input)>& place_of,
                             std::vector<RunbookFault>& faults);

// "env:NAME", "file:PATH", "command:PROGRAM ARGS..." -> {"$secret": ...}; null: it is none of them.
Json secret_reference(const std::string& text);

}  // namespace relight::lang
