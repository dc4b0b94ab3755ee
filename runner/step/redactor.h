// Takes secrets out of what is stored or shown. A net, not a wall: it knows the secrets that relight was
// given, as they are and as hex, base64 (at each alignment), percent, JSON and shell escapes of them, and
// each line of a key.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace relight {

class Redactor {
 public:
  // Secrets under 8 bytes are not searched for: they would black out ordinary words.
  void add(std::string_view secret);
  bool empty() const { return patterns_.empty(); }

  std::string redact(std::string_view text) const;  // a whole text: each secret becomes "[secret]"

  // A stream in pieces: what may be the beginning of a secret is held back until the next piece or finish().
  class Stream {
   public:
    std::string push(const Redactor& redactor, std::string_view bytes);
    std::string finish(const Redactor& redactor);

   private:
    std::string held_;
  };

 private:
  std::string pass(std::string& text, std::size_t keep) const;
  std::vector<std::string> patterns_;  // longest first
};

}  // namespace relight
