#include "runner/engine/secrets.h"

#include <cstdlib>

#include "runner/step/value.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"

namespace relight {

bool is_plain_reference(const Json& reference) {
  return reference.contains("env") || reference.contains("file");
}

Secret read_secret(const Json& reference, const std::map<std::string, std::string>& asked) {
  const auto refuse = [](const std::string& on, const std::string& why, const std::string& hint) {
    return Error(ErrorKind::refused, "cannot read a secret", on, why, hint);
  };
  if (reference.contains("env")) {
    const std::string name = reference["env"].get<std::string>();
    const char* text = std::getenv(name.c_str());
    if (text == nullptr)
      throw refuse("env:" + name, "the variable is not set",
                   "export it for relight, not on its command line");
    return Secret(text);
  }
  if (reference.contains("file")) {
    const std::string path = reference["file"].get<std::string>();
    try {
      return Secret(sys::read_file(path, 1u << 20));
    } catch (const Error& error) {
      throw refuse("file:" + path, error.why, "see that the file is there and can be read");
    }
  }
  if (reference.contains("ask")) {
    const std::string name = reference["ask"].get<std::string>();
    const auto it = asked.find(name);
    if (it == asked.end())
      throw refuse(name, "it was to be asked for, and nobody sits at the terminal",
                   "give it as --set " + name + "=env:NAME or file:PATH");
    return Secret(it->second);
  }
  sys::Command command;
  command.argv = reference["command"].get<std::vector<std::string>>();
  command.capture_limit = 1u << 20;
  command.timeout = std::chrono::seconds(60);
  const sys::Result result = sys::run(command);
  if (!result.ok())
    throw refuse(
        "command:" + command.argv[0],
        result.timed_out ? "it did not end in 60 s" : "it ended with " + std::to_string(result.exit_code),
        "run it by hand and see");
  return Secret(result.out);
}

void read_secrets(const Json& params, const std::map<std::string, std::string>& asked, bool plain_only,
                  Secrets& secrets) {
  if (is_secret(params)) {
    const std::string name = secret_name(params);
    if (secrets.count(name) > 0) return;
    if (plain_only && !is_plain_reference(params["$secret"])) return;
    secrets.emplace(name, read_secret(params["$secret"], asked));
  } else if (params.is_structured()) {
    for (const Json& part : params) read_secrets(part, asked, plain_only, secrets);
  }
}

}  // namespace relight
