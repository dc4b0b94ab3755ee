#include "runner/cli/given.h"

#include <cstdio>

#include "runner/cli/print.h"
#include "runner/sys/files.h"

namespace relight {

lang::Given given_inputs(const Options& options) {
  lang::Given given;
  given.can_ask = at_terminal();
  if (!options.inputs_file.empty()) {
    const std::string text =
        nothing_started("--inputs names a JSON file", [&] { return sys::read_file(options.inputs_file); });
    given.file = lang::parse_inputs(text, options.inputs_file);
  }
  for (const std::string& set : options.sets) {
    const std::size_t equals = set.find('=');
    if (equals == std::string::npos || equals == 0)
      throw Error(ErrorKind::refused, "cannot read an input", "--set", "it is not NAME=VALUE",
                  "write --set NAME=VALUE");
    given.set[set.substr(0, equals)] = set.substr(equals + 1);
  }
  return given;
}

lang::Evaluated evaluated(const std::string& runbook, lang::Given given, const Program& program) {
  lang::Evaluated result = nothing_started("", [&] {
    return lang::evaluate({runbook, std::move(given), program.step_types});
  });
  for (const std::string& warning : result.warnings)
    std::fprintf(stderr, "note: %s\n", wrapped(warning, 6).c_str());
  return result;
}

}  // namespace relight
