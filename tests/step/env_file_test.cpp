#include "runner/step/env_file.h"

#include <doctest/doctest.h>

#include <functional>

#include "runner/sys/error.h"
#include "tests/support/error.h"

using namespace relight;

namespace {

std::string value_of(const std::string& text) {
  return EnvFile(text, "env").value("A").value_or("(none)");
}

}  // namespace

TEST_CASE("an env file's values are read as systemd and shells read them") {
  CHECK(value_of("A=1\n") == "1");
  CHECK(value_of("A=1") == "1");
  CHECK(value_of("A=\n") == "");
  CHECK(value_of("A=") == "");
  CHECK(value_of("  export  A=1\r\n") == "1");
  CHECK(value_of("exportA=1\n") == "(none)");
  CHECK(value_of("A=a b  # note\n") == "a b");
  CHECK(value_of("A=a#b==\n") == "a#b==");
  CHECK(value_of("A='a # \"b\\' # note\n") == "a # \"b\\");
  CHECK(value_of("A=\"a \\\" \\\\ \\$x \\n\"\n") == "a \" \\ $x \\n");
  CHECK(value_of("A=\"two\nlines\"\nB=1\n") == "two\nlines");
  CHECK(value_of("A='one'\"two\"three#4'\n5' 6\n") == "onetwothree#4\n5");
  CHECK(value_of("A=\"one\" two # three\n") == "one");
  CHECK(value_of("# A=1\nA =2\n=3\n1A=4\n") == "(none)");
  CHECK(value_of("A=1\nA=2\n") == "2");
  CHECK(EnvFile("A=1\n# x\n\nB=2\nA=3\n", "env").names() == std::vector<std::string>{"A", "B"});
  CHECK(told_error([] { EnvFile("B=1\nA=\"hunter2\nC=1\n", "/etc/x"); }) ==
        "refused: cannot read the env file: /etc/x: line 2: the quote of A is not closed");
}

TEST_CASE("a value is taken over as it is written, every other byte stays") {
  const EnvFile keys("KEY='s e c'\nexport OTHER=\"two\"\n", "keys");
  const auto taken = [&](const std::string& text, const std::string& name) {
    EnvFile file(text, "env");
    file.take(keys, name);
    CHECK(file.value(name) == keys.value(name));
    return file.text();
  };
  CHECK(taken("# top\r\n A=1\nexport KEY=old # why\n\nZ='x\ny'\n", "KEY") ==
        "# top\r\n A=1\nexport KEY='s e c' # why\n\nZ='x\ny'\n");
  CHECK(taken("KEY=1\nKEY=2\n", "KEY") == "KEY=1\nKEY='s e c'\n");
  CHECK(taken("KEY=\"a\nb\"\nB=1\n", "OTHER") == "KEY=\"a\nb\"\nB=1\nOTHER=\"two\"\n");
  CHECK(taken("B=1", "KEY") == "B=1\nKEY='s e c'\n");
  CHECK(taken("", "KEY") == "KEY='s e c'\n");
  // Nothing that stood behind the old value becomes part of the new one.
  const EnvFile bare("KEY=new\n", "bare");
  for (const char* old :
       {"KEY=\"old\"x\n", "KEY='old' x # why\n", "KEY=\"x\\\"\\\\\"\\$y'z'\n", "KEY='a''b'"}) {
    EnvFile there(old, "env");
    there.take(bare, "KEY");
    CHECK(there.value("KEY") == "new");
  }
  EnvFile file("A=1\n", "env");
  CHECK(told_error([&] { file.take(keys, "NONE"); }) ==
        "refused: cannot take a variable: NONE: the other file does not have it");
}
