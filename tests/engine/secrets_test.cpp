// A secret that relight was given stays nowhere: not in the state folder, not on the screen, not in an
// argument list.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/proc.h"
#include "runner/sys/text.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

const std::vector<std::string> secrets = {"env-Xq7!vR2#tL9$wZ4&", "file-Pm3@kD8*hS6^jF1%",
                                          "cmd-Bn5+gY0~cU2=eK7?"};

// Every spelling in which one of them could be seen.
std::vector<std::string> spellings() {
  std::vector<std::string> all = {"made-1234567-here"};  // the output of a program that prints secrets
  for (const std::string& secret : secrets) {
    all.push_back(secret);
    all.push_back(sys::to_hex(secret));
    for (const std::string before : {"", "x", "xx"}) {  // base64 at each alignment, without its ends
      const std::string text = sys::to_base64(before + secret);
      all.push_back(text.substr(4, text.size() - 12));
    }
  }
  return all;
}

void check_none_in(const std::string& where, const std::string& text) {
  for (const std::string& spelling : spellings()) {
    INFO(where, ": ", spelling);
    CHECK(text.find(spelling) == std::string::npos);
  }
}

}  // namespace

TEST_CASE("a secret is used, and stays nowhere") {
  Bench bench;
  setenv("PROOF_SECRET", secrets[0].c_str(), 1);
  bench.write("secret", secrets[1], 0600);
  bench.write("give", "#!/bin/sh\nprintf %s 'cmd-Bn5+gY0~cU2=eK7?'\n", 0755);
  // Printed raw, in hex and in base64, in pieces with a pause, to both outputs; and every argument list that
  // can be seen meanwhile.
  bench.write("show", R"(#!/bin/sh
[ "$S" = "$WANTED" ] || [ -z "$WANTED" ] || exit 3
echo "$1 $S"
printf %s "$S" | od -An -tx1 | tr -d ' \n'; echo
printf %s "$S" | base64
printf %s "x$S" | base64
printf %.7s "$S"; sleep 0.05; printf %s "${S#???????}"; echo
echo "to stderr: $S" >&2
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' >> "$SEEN"
)",
              0755);
  const std::string book = R"(
runbook "book" {}
local input = inputs { dir = { doc = "where", type = "path" }, given = { doc = "given", type = "secret" },
                       fails = { doc = "fail at the end", type = "bool", default = false } }
local function show(name, value, more)
  return shell.run(name) { command = { input.dir / "show", name }, in_doubt = "again",
    env = { S = value, SEEN = input.dir / "seen" }, undo = more and { input.dir / "show", "undo" } }
end
show("env", secret.env "PROOF_SECRET")
show("file", secret.file(input.dir / "secret"), true)
show("command", secret.command { input.dir / "give" })
local out = show("input", input.given)
shell.run "again" { command = { "/bin/echo", "was: " .. out.stdout } }
host.file "placed" { into = input.dir / "placed", secret = input.given }
shell.run "makes" { command = { "/bin/sh", "-c", "echo made-$((1234500 + 67))-here" }, secret_output = true }
script "in_lua" { secrets = { s = input.given }, run = function(ctx)
  ctx.log("the secret is " .. ctx.secrets.s)
  ctx.run { "/bin/sh", "-c", "echo $S", env = { S = ctx.secrets.s } }
end }
if input.fails then
  shell.run "bad" { command = { "/bin/sh", "-c", "echo \"$S\" >&2; exit 1" }, env = { S = input.given } }
end
)";
  std::string given;
  SUBCASE("the input by env") {
    given = "given=env:PROOF_SECRET";
  }
  SUBCASE("the input by file") {
    given = "given=file:" + bench.file("secret");
  }
  SUBCASE("the input by command") {
    given = "given=command:" + bench.file("give");
  }
  bool fails = false;
  SUBCASE("and the run ends") {}
  SUBCASE("and the run fails") {
    fails = true;
  }
  if (given.empty()) given = "given=env:PROOF_SECRET";

  const Ran plan = bench.relight({"plan", "--json", "--set", "dir=" + bench.path(), "--set", given,
                                  (bench.write("book.lua", book), bench.file("book.lua"))});
  const Ran ran = bench.run(book, {"--set", "dir=" + bench.path(), "--set", given, "--set",
                                   std::string("fails=") + (fails ? "true" : "false")});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == (fails ? 1 : 0));
  check_none_in("the plan", plan.out + plan.err);
  check_none_in("the screen", ran.out + ran.err);
  for (const std::vector<std::string>& look : std::vector<std::vector<std::string>>{
           {"status", "--json"}, {"log"}, {"log", "input"}, {"report"}, {"report", "--format", "json"}}) {
    const Ran seen = bench.relight(look);
    CHECK(seen.exit == 0);
    check_none_in(look[0], seen.out + seen.err);
  }
  check_none_in("an argument list", bench.read("seen"));
  int files = 0;
  sys::walk(bench.file("state"), [&](const sys::Entry& entry) {
    if (entry.kind != 'f') return;
    ++files;
    check_none_in(entry.path, bench.read("state/" + entry.path));
  });
  CHECK(files > 8);
  if (!fails) CHECK(sys::read_file(bench.file("placed")).size() > 8);
  const Ran back = bench.relight({"rollback", "--yes"});
  check_none_in("the way back", back.out + back.err);
  unsetenv("PROOF_SECRET");
}
