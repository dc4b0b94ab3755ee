// What a cluster needs of this host for its server to start, found out before one does.
#pragma once
#include <string>
#include <vector>

#include "runner/step/step.h"
#include "steps/postgres/lib/control.h"
#include "steps/postgres/lib/programs.h"

namespace relight::postgres {

struct StartNeeds {
  std::vector<Problem> problems;
  std::vector<Problem> may_come;  // a package that an earlier step installs may bring it
};

// By its configuration: a value that this host does not know, as a locale, is a problem, and a library that
// is to be loaded may come. `data_folder`: the one whose postgresql.auto.conf counts; empty: there is none.
StartNeeds start_needs(const Programs& programs, const std::string& config_file,
                       const std::string& data_folder);

// By its pg_control: the sizes that the server is built for.
std::vector<Problem> wrong_with_build(const Programs& programs, const Control& control,
                                      const std::string& on);

// "blocks of 8192 bytes, page checksums, max_connections 100": for the plan.
std::string shown(const Control& control);

}  // namespace relight::postgres
