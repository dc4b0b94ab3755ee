// Where the server programs of a major version lie.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/process.h"

namespace relight::postgres {

class Programs {
 public:
  // Debian's folder of that version, then PATH where its postgres is of that version. Nothing: not installed.
  static std::optional<Programs> find(int major);

  int major() const { return major_; }
  bool has(const std::string& name) const;
  std::string path(const std::string& name) const;  // FOLDER/NAME, there or not
  // A call of it with texts and times that do not depend on the host: LC_ALL=C, TZ=UTC.
  sys::Command command(const std::string& name, const std::vector<std::string>& arguments) const;

 private:
  Programs(int major, std::string folder) : major_(major), folder_(std::move(folder)) {}
  int major_;
  std::string folder_;
};

std::string package_of(int major);  // "postgresql-15", for hints

}  // namespace relight::postgres
