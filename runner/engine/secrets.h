// Reading what a secret reference names.
#pragma once
#include <map>
#include <string>

#include "runner/step/secret.h"
#include "runner/sys/json.h"

namespace relight {

// {"env": NAME}, {"file": PATH}, {"command": [ARGV]} or {"ask": INPUT}, whose bytes the operator typed.
// Throws a refused Error that names the reference, never the bytes.
Secret read_secret(const Json& reference, const std::map<std::string, std::string>& asked);

// The reference can be read without running a program or asking a person.
bool is_plain_reference(const Json& reference);

// Every secret that a step's parameters refer to. `plain_only`: a reference that runs a program or needs a
// person is passed over.
void read_secrets(const Json& params, const std::map<std::string, std::string>& asked, bool plain_only,
                  Secrets& secrets);

}  // namespace relight
