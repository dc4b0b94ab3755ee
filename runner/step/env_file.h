// An env file: NAME=VALUE lines, as systemd and shells read them.
//
//   # a comment, and empty lines, stay as they are
//   NAME=bare value          to the end of the line, less blanks at its end and a comment after a blank
//   NAME='as it stands'      may go over several lines
//   NAME="with \" \\ \$ \` escaped"   likewise; 'one'"two"three is one value
//   export NAME=value
//
// A line that is none of these stays as it is and has no name. Of a name that stands twice the last counts.
#pragma once
#include <optional>
#include <string>
#include <vector>

namespace relight {

class EnvFile {
 public:
  // A quote that is not closed is a refused Error that names `where` and the line, and shows nothing of it.
  EnvFile(std::string text, const std::string& where);

  const std::string& text() const { return text_; }
  std::vector<std::string> names() const;  // in order, each once
  std::optional<std::string> value(const std::string& name) const;

  // Takes over the value of a name from another file, written as it stands there: in place of the one here,
  // or as a line at the end. Every other byte stays. The name must be in `from`.
  void take(const EnvFile& from, const std::string& name);

 private:
  struct Assignment {
    std::string name, value;
    std::size_t begin, end;  // of the value as it is written, quotes included
  };
  void parse(const std::string& where);
  const Assignment* find(const std::string& name) const;

  std::string text_;
  std::vector<Assignment> assignments_;
};

}  // namespace relight
