// The attachments' bytes: files named by their SHA-256 (3f/3f0c...), written once, never changed or removed,
// so that a database of any moment finds its blobs, and a backup may be taken at any time.
#pragma once
#include <string>
#include <string_view>

namespace ember {

class Blobs {
 public:
  explicit Blobs(std::string folder) : folder_(std::move(folder)) {}

  std::string put(std::string_view bytes) const;      // on disk, synced, when it returns the SHA-256
  std::string get(const std::string& sha256) const;   // throws when it is absent or its hash is off
  std::string path(const std::string& sha256) const;  // below the folder: "3f/3f0c..."
  const std::string& folder() const { return folder_; }

  // Throws std::runtime_error unless the folder can be read and written.
  void probe() const;

 private:
  std::string folder_;
};

}  // namespace ember
