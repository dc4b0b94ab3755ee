#include "steps/postgres/lib/ssh_login.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

using namespace relight;
using namespace relight::postgres;

TEST_CASE("a temporary folder whose name ssh cannot take costs the shared login, and nothing else") {
  const sys::TempFolder folder;
  const char* const set = std::getenv("TMPDIR");
  const std::string before = set == nullptr ? "" : set;
  for (const std::string& name : {std::string(80, 'n'), std::string("%y")}) {
    CAPTURE(name);
    sys::make_folders(folder.path() + "/" + name, 0700);
    setenv("TMPDIR", (folder.path() + "/" + name).c_str(), 1);
    const SshLogin login("nowhere.invalid");
    CHECK(login.socket() == "");
    const std::vector<std::string> argv = ssh_to("nowhere.invalid", login.socket());
    CHECK(std::find(argv.begin(), argv.end(), "-S") == argv.end());
    CHECK(argv.back() == "nowhere.invalid");
  }
  before.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", before.c_str(), 1);
}
