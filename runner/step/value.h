// How a value that is not plain data stands in the JSON of a plan: an object with the one key "$KIND".
//
//   {"$output": ["database", "url"]}          the output `url` of the step `database`
//   {"$join": [V, V...]}                      texts and outputs joined with ..
//   {"$secret": {"env": NAME} | {"file": PATH} | {"command": [ARGV...]} | {"ask": INPUT}}
//   {"$function": {"file", "line", "hash"}}   a Lua function; called in a child that evaluates the frozen
//   runbook
//
// No field of a runbook may begin with "$".
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runner/sys/json.h"

namespace relight {

bool is_output(const Json& value);
bool is_join(const Json& value);
bool is_secret(const Json& value);
bool is_function(const Json& value);

// Every step whose output stands anywhere in the value.
std::set<std::string> outputs_used(const Json& value);

// Every secret reference that stands anywhere in the value, as its canonical text ("env:NAME").
std::set<std::string> secrets_used(const Json& value);
std::string secret_name(const Json& reference);  // of {"$secret": ...}; "command:[...]" as JSON

// The value with the outputs of finished steps put in (name -> outputs); what is not there yet stays.
Json resolve(const Json& value, const std::map<std::string, Json>& outputs);

// The value as the plan shows it: "<database.url>", "secret env:NAME", "function at FILE:LINE".
std::string shown(const Json& value);

}  // namespace relight
