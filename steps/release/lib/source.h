// Where a release comes from: a folder with PRODUCT-VERSION, or with PRODUCT-VERSION.tar.zst or .tar.gz.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "runner/step/call.h"

namespace relight {

class ReleaseSource {
 public:
  // Throws a refused Error: none there, or SHA256SUMS in `folder` does not know it. A folder may also bring a
  // SHA256SUMS of its own, which then lists all of its files.
  ReleaseSource(const std::string& folder, const std::string& product, const std::string& version);

  const std::string& path() const { return path_; }
  bool is_folder() const { return is_folder_; }
  bool has_checksums() const { return archive_sum_ || !file_sums_.empty(); }
  std::uint64_t bytes() const;  // of the source, as it lies there

  // Reads every byte and compares it with the checksums. A permanent Error names what is off.
  void verify() const;

  // Brings the release into an empty folder, comparing as it goes. DURABLE
  void bring(const std::string& folder, Call& call) const;

 private:
  void compare(const std::string& file, const std::string& sum) const;

  std::string path_, name_;
  bool is_folder_ = false;
  std::optional<std::string> archive_sum_;
  std::map<std::string, std::string> file_sums_;  // of a folder: by path within it
};

}  // namespace relight
