// Bytes that never rest: not printable, wiped when dropped.
#pragma once
#include <map>
#include <string>
#include <string_view>

namespace relight {

class Secret {
 public:
  explicit Secret(std::string bytes) : bytes_(std::move(bytes)) {}
  Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) { other.wipe(); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret() { wipe(); }

  std::string_view view() const { return bytes_; }

 private:
  void wipe() noexcept;
  std::string bytes_;
};

// Secrets by their reference's canonical text (value.h: secret_name).
using Secrets = std::map<std::string, Secret>;

}  // namespace relight
