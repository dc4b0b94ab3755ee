// The migrations: run at every start, in one transaction, under a lock that lets one Ember at a time do so.
#pragma once
#include <string>

#include "examples/ember/database.h"

namespace ember {

// The vault row by which /readyz (and a recovery) tells that the key is the right one.
constexpr const char* canary_name = ".canary";
constexpr const char* canary_text = "ember's canary";

// Brings the schema to schema_version(), makes the canary with the tables, and returns the version found
// before. Throws std::runtime_error when the schema is newer than this program knows: it would misread it.
int migrate(Connection& connection, const std::string& master_key);

int schema_of(Connection& connection);  // 0: no tables yet

}  // namespace ember
