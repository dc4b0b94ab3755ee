#include "runner/cli/given.h"

#include <cstdio>

#include "runner/cli/print.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {

lang::Given given_inputs(const Options& options) {
  lang::Given given;
  given.can_ask = at_terminal();
  if (!options.inputs_file.empty()) {
    const std::string text =
        nothing_started("--inputs names a JSON file", [&] { return sys::read_file(options.inputs_file); });
    Json parsed = Json::parse(text, nullptr, false);
    if (!parsed.is_object())
      throw Error(ErrorKind::refused, "cannot read the inputs", options.inputs_file,
                  "it is not a JSON object", "write it as {\"NAME\": \"VALUE\"}");
    given.file = std::make_shared<const Json>(std::move(parsed));
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
  lang::Evaluated result = lang::evaluate({runbook, std::move(given), program.step_types});
  for (const std::string& warning : result.warnings)
    std::fprintf(stderr, "note: %s\n", wrapped(warning, 6).c_str());
  return result;
}

}  // namespace relight
