// PostgreSQL's own programs, started with what a conninfo says in their environment: no password in an
// argument list.
#pragma once
#include <string>
#include <vector>

namespace ember {

// Runs it to its end; throws std::runtime_error unless it exits 0. Its messages go to our stderr.
void run_with_conninfo(const std::vector<std::string>& argv, const std::string& conninfo);

}  // namespace ember
