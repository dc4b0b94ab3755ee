// Checks the files of one part of a base backup against its manifest, block by block.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "runner/sys/error.h"
#include "steps/postgres/lib/manifest.h"

namespace relight::postgres {

// Names are the part's own; `prefix` makes them the manifest's. The calls may come from several threads,
// those of one file from one. The first fault is kept.
class Checker {
 public:
  Checker(const Manifest& manifest, std::string prefix);

  bool known(const std::string& name) const;
  void begin(const std::string& name, std::uint64_t size);
  void block(const std::string& name, std::string_view bytes);
  void passed_over(const std::string& name);  // found, and its bytes are checked elsewhere

  std::optional<Error> fault() const;
  // After the last file: a fault, or a file of the manifest that did not come.
  std::optional<Error> verdict() const;
  std::uint64_t bytes() const;

 private:
  struct Open {
    std::uint64_t left;
    Checksum checksum;
  };
  void end(const std::string& name, Open& open);
  void fail(const std::string& name, const std::string& why);

  const Manifest& manifest_;
  const std::string prefix_;
  mutable std::mutex mutex_;
  std::map<std::string, Open> open_;
  std::set<std::string> seen_;
  std::optional<Error> fault_;
  std::uint64_t bytes_ = 0;
};

}  // namespace relight::postgres
