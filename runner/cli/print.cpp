#include "runner/cli/print.h"

#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace relight {

namespace {

// A command between backticks is one word: it must come whole from the screen into the shell.
std::size_t end_of_word(const std::string& text, std::size_t at) {
  const std::size_t limit = std::min(text.find('\n', at), text.size());
  bool quoted = false;
  for (; at < limit && (quoted || text[at] != ' '); ++at)
    if (text[at] == '`') quoted = !quoted && text.find('`', at + 1) < limit;
  return at;
}

}  // namespace

std::string wrapped(const std::string& text, std::size_t indent, std::size_t width) {
  std::string out;
  std::size_t column = indent, at = 0;
  bool first = true;
  while (at < text.size()) {
    std::size_t end = end_of_word(text, at);
    const std::string word = text.substr(at, end - at);
    if (!first && column + 1 + word.size() > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (!first) {
      out += ' ';
      ++column;
    } else if (word.empty()) {  // what a line is indented by
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    first = word.empty() && first;
    if (end < text.size() && text[end] == '\n') {
      out += "\n" + std::string(indent, ' ');
      column = indent;
      first = true;
    }
    at = end + 1;
  }
  return out;
}

std::string counted(std::size_t number, const std::string& thing) {
  return std::to_string(number) + " " + thing + (number == 1 ? "" : "s");
}

void print_error(const Error& error) {
  std::fprintf(stderr, "relight: %s\n", wrapped(error.what(), 9).c_str());
  if (!error.hint.empty()) std::fprintf(stderr, "  hint: %s\n", wrapped(error.hint, 8).c_str());
}

std::string problem_text(const Problem& problem, std::size_t indent) {
  const std::string pad(indent, ' ');
  std::string text = problem.what;
  for (const std::string& part : {problem.on, problem.why})
    if (!part.empty()) text += ": " + part;
  std::string out = pad + wrapped(text, indent) + "\n";
  if (!problem.hint.empty()) out += pad + "hint: " + wrapped(problem.hint, indent + 6) + "\n";
  return out;
}

bool at_terminal() {
  return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

namespace {
std::string read_line() {
  std::string line;
  char c;
  while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n') line += c;
  return line;
}
}  // namespace

bool ask_yes(const std::string& question) {
  if (!at_terminal()) return false;
  std::fprintf(stderr, "%s [yes/no] ", question.c_str());
  const std::string answer = read_line();
  return answer == "yes" || answer == "y";
}

bool ask_secret(const std::string& question, std::string& bytes) {
  if (!at_terminal()) return false;
  std::fprintf(stderr, "%s: ", question.c_str());
  termios before{};
  tcgetattr(STDIN_FILENO, &before);
  termios quiet = before;
  quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  bytes = read_line();
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  std::fputc('\n', stderr);
  return true;
}

}  // namespace relight
