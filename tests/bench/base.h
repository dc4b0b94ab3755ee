// A base backup put in place, every file checked against its manifest and synced, by relight against others.
#pragma once
#include <string>

namespace relight::bench {

// Each prints as compare() does; returns the exit code of the program.
int base_against_tar(const std::string& name, double target);
int base_against_backrest(const std::string& name, double target);

}  // namespace relight::bench
