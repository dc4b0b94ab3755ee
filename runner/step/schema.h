// The declared fields of a step type: what checks the parameters, prints `relight steps` and
// points at errors.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/json.h"

namespace relight {

enum class FieldType {
  text,
  integer,
  number,
  boolean,
  path,       // absolute
  location,   // an absolute path, or a file:// URL
  time,       // ISO 8601 with its offset
  moment,     // latest | a time | lsn:X/Y | xid:N | name:TEXT
  duration,   // "30s" "5m" "1h30m" "250ms"
  size,       // "512KiB" "2GiB" "10MB", or a number of bytes
  secret,     // a reference, never the bytes
  choice,     // one of `choices`
  list,       // of texts
  locations,  // a list of locations
  argv,       // a list of texts, at least one, the first being the program
  texts,      // a table NAME -> text
  env,        // a table NAME -> text or secret
  table,      // any table
  function,   // a Lua function; only the words of the language use it
  tagged,     // FAMILY{ ... }: a table of `parts` under one of the families in `choices`
};

struct Field {
  std::string name;
  FieldType type = FieldType::text;
  bool required = false;
  std::string fallback;  // the default, as JSON text; empty: absent when not given
  std::string doc;
  std::string example;  // as it stands in a runbook
  std::vector<std::string> choices;
  std::vector<Field> parts = {};  // of a tagged value; where they differ, a Field a family with its own
};

const char* name_of(FieldType type);

// A fault of one value: what is wrong and what to write instead.
struct Fault {
  std::string field;  // "to", "expect.status"
  std::string what;   // "must be a duration, but is the number 30"
  std::string hint;   // "write \"30s\""
};

// Checks values against the fields: unknown names (with the near one), missing required fields, wrong
// types. A value that holds an output of a step not yet done ({"$output": ...}, {"$join": [...]}) passes
// where a text could stand. Fills no defaults.
std::vector<Fault> check_values(const std::vector<Field>& fields, const Json& values);

// Checks one value of a type; empty: it is good.
std::vector<Fault> check_value(const Field& field, const Json& value);

// `values` with the defaults filled in.
Json with_defaults(const std::vector<Field>& fields, const Json& values);

// The candidate nearest to `name`, at most two edits (one for short names) away; empty: none.
std::string near_name(const std::string& name, const std::vector<std::string>& candidates);

}  // namespace relight
