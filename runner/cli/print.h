// Printing for a terminal of 80 columns.
#pragma once
#include <string>

#include "runner/step/step.h"
#include "runner/sys/error.h"

namespace relight {

// Words filled to `width` columns, every line after the first indented by `indent`. What stands between
// backticks is not broken.
std::string wrapped(const std::string& text, std::size_t indent, std::size_t width = 80);

std::string counted(std::size_t number, const std::string& thing);  // "1 step", "2 steps"

// "relight: WHAT: ON: WHY\n  hint: HINT\n" on stderr.
void print_error(const Error& error);
// The same for a problem of a plan, each line indented.
std::string problem_text(const Problem& problem, std::size_t indent);

// A question at the terminal. False: no, or nobody sits there.
bool at_terminal();
bool ask_yes(const std::string& question);
// A secret typed without echo; false: nobody sits there.
bool ask_secret(const std::string& question, std::string& bytes);

}  // namespace relight
