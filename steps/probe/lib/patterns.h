// Patterns that a log must hold, or must not: regular expressions in linear time (RE2), a line at a time.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace relight {

class Patterns {
 public:
  // A refused Error names a pattern that is none, or that the empty line matches.
  Patterns(const std::vector<std::string>& must, const std::vector<std::string>& must_not);
  ~Patterns();

  // From the first line on again.
  void begin();
  // Bytes as they come; `counts`: false, they only number the lines.
  void take(std::string_view bytes, bool counts = true);
  void end();  // the last line may lack its newline

  // The first line that matches one of must_not: "line 12 matches /error/: TEXT"; empty: none.
  const std::string& offence() const { return offence_; }
  // Those of `must` that no line has matched yet, as "/ready/, /listening/".
  std::string unseen() const;

 private:
  struct Pattern;
  void line();

  std::vector<Pattern> must_, must_not_;
  std::set<std::size_t> seen_;
  std::string line_, offence_;
  bool counts_ = false;
  std::size_t number_ = 0;
};

}  // namespace relight
