// Ember: notes, secrets and attachments. A small real service, for relight to lose and bring back.
#include <cstdio>
#include <string>
#include <vector>

#include "examples/ember/backup.h"
#include "examples/ember/config.h"
#include "examples/ember/service.h"
#include "examples/ember/version.h"

namespace {

const char usage[] =
    "usage: ember [--env FILE] serve\n"
    "       ember [--env FILE] backup [--base] DIR\n"
    "       ember --version\n";

int run(std::vector<std::string> words) {
  std::string env_file;
  if (words.size() >= 2 && words[0] == "--env") {
    env_file = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  if (words == std::vector<std::string>{"--version"}) {
    std::printf("ember %s\n", ember::version());
    return 0;
  }
  if (words == std::vector<std::string>{"serve"}) return ember::serve(ember::read_config(env_file));
  if (!words.empty() && words[0] == "backup") {
    bool base = words.size() >= 2 && words[1] == "--base";
    if (words.size() == (base ? 3u : 2u) && !words.back().starts_with("-")) {
      ember::backup(ember::read_config(env_file),
                    {.folder = words.back(), .env_file = env_file, .base = base});
      return 0;
    }
  }
  std::fputs(usage, stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const ember::ConfigError& error) {
    std::fprintf(stderr, "ember: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ember: %s\n", error.what());
    return 1;
  }
}
