// Bad input: a clear message that names the mend, exit 2, and nothing touched.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

std::size_t widest(const std::string& text) {
  std::size_t most = 0;
  for (const std::string& line : sys::split(text, '\n')) most = std::max(most, line.size());
  return most;
}

struct Refused : Bench {
  Refused() {
    sys::make_folders(file("target"));
    write("target/old", "old");
  }
  std::string book(const std::string& lines) const {
    return "runbook \"book\" {}\nlocal target = \"" + file("target") + "\"\n" + lines;
  }
  // `plan` and `run` of the runbook say exactly this on stderr, and touch nothing.
  void says(const std::string& text, const std::string& error, std::vector<std::string> more = {}) const {
    write("book.lua", text);
    said(error, more);
  }
  void said(const std::string& error, const std::vector<std::string>& more = {}) const {
    const std::string before = sys::tree_digest(file("target"));
    for (const char* command : {"plan", "run"}) {
      CAPTURE(command);
      std::vector<std::string> args = {command, file("book.lua")};
      args.insert(args.end(), more.begin(), more.end());
      const Ran ran = relight(args);
      CHECK(ran.exit == 2);
      CHECK(flat(ran.err) == flat(error));
      CHECK(widest(ran.err) <= 80);
      CHECK(ran.out == "");
    }
    CHECK_FALSE(sys::exists(file("state")));
    CHECK(sys::tree_digest(file("target")) == before);
  }
};

}  // namespace

TEST_CASE("a runbook that cannot be read") {
  Refused bench;
  SUBCASE("missing") {
    bench.said("relight: cannot read the runbook: " + bench.file("book.lua") +
               ": there\n         is no such file\n  hint: a path is taken from the folder that relight is "
               "called in\n");
  }
  SUBCASE("a folder") {
    sys::make_folders(bench.file("book.lua"));
    const Ran ran = bench.relight({"run", bench.file("book.lua")});
    CHECK(ran.exit == 2);
    CHECK(flat(ran.err).find(": it is a folder") != std::string::npos);
  }
  SUBCASE("of 100 MB") {
    bench.write("book.lua", std::string(100u << 20, ' '));
    const Ran ran = bench.relight({"run", bench.file("book.lua")});
    CHECK(ran.exit == 2);
    CHECK(flat(ran.err).find(
              ": it is 105 MB, and at most 4 MiB are read hint: is it a runbook? data belongs into "
              "files that steps read") != std::string::npos);
  }
  CHECK_FALSE(sys::exists(bench.file("state")));
}

TEST_CASE("a runbook that is wrong names file, line, step, fault and mend") {
  Refused bench;
  SUBCASE("Lua's own syntax") {
    bench.says(bench.book("shell.run \"one\" { command = { \"/bin/true\" }\nshell.run \"two\" {}\n"),
               "relight: book.lua:4: '}' expected (to close '{' at line 3) near 'shell'\n");
  }
  SUBCASE("an unknown step type") {
    bench.says(bench.book("shell.rnu \"one\" { command = { \"/bin/true\" } }\n"),
               "relight: book.lua:3: there is no step type shell.rnu\n  hint: did you mean shell.run?\n");
  }
  SUBCASE("an unknown field") {
    bench.says(bench.book("shell.run \"one\" { comand = { \"/bin/true\" }, command = { \"/bin/true\" } }\n"),
               "relight: book.lua:3: step \"one\": `comand` is no field of shell.run\n"
               "  hint: did you mean `command`?\n");
  }
  SUBCASE("the wrong type") {
    bench.says(bench.book("shell.run \"one\" { command = \"/bin/true\" }\n"),
               "relight: book.lua:3: step \"one\": `command` must be a list of texts, but is\n"
               "         the text \"/bin/true\"\n"
               "  hint: write { \"/bin/true\" }\n");
  }
  SUBCASE("a name twice") {
    bench.says(bench.book("shell.run \"one\" { command = { \"/bin/true\" } }\n"
                          "shell.run \"one\" { command = { \"/bin/true\" } }\n"),
               "relight: book.lua:4: step \"one\": the name is taken by the step at\n"
               "         book.lua:3\n"
               "  hint: give one of them another name\n");
  }
  SUBCASE("after of a step that is not there") {
    bench.says(bench.book("shell.run \"one\" { command = { \"/bin/true\" } }\n"
                          "shell.run \"two\" { command = { \"/bin/true\" }, after = { \"noe\" } }\n"),
               "relight: book.lua:4: step \"two\": `after` names the step \"noe\", which is not\n"
               "         there\n"
               "  hint: did you mean \"one\"?\n");
  }
  SUBCASE("a circle") {
    bench.says(bench.book("shell.run \"one\" { command = { \"/bin/true\" }, after = { \"two\" } }\n"
                          "shell.run \"two\" { command = { \"/bin/true\" }, after = { \"one\" } }\n"),
               "relight: book.lua:3: step \"one\": `after` names the step \"two\", which stands\n"
               "         below it, at book.lua:4\n"
               "  hint: a step waits for steps above it only, so that no two wait for each\n"
               "        other: move one of them\n");
  }
  SUBCASE("a literal secret") {
    bench.says(bench.book("host.file \"key\" { into = target / \"key\", secret = \"hunter2hunter2\" }\n"),
               "relight: book.lua:3: step \"key\": `secret` must be a secret, never the text\n"
               "         itself\n"
               "  hint: write secret.env \"NAME\", secret.file \"PATH\" or an input of type secret\n");
  }
  SUBCASE("an endless loop") {
    bench.says(bench.book("while true do end\n"),
               "relight: book.lua:3: it has run 200 million instructions without an end\n"
               "  hint: is there a loop that never ends? what takes work belongs into a step\n");
  }
  SUBCASE("a memory bomb") {
    bench.says(bench.book("local s = \"x\"\nwhile true do s = s .. s end\n"),
               "relight: book.lua:4: it needs more than 256 MiB of memory\n"
               "  hint: is there a text or a table that grows without an end?\n");
  }
  SUBCASE("all that is wrong is told at once") {
    bench.says(bench.book("shell.run \"one\" { command = { \"/bin/true\" }, timeout = 5 }\n"
                          "shell.run \"two\" { command = {} }\n"),
               "relight: the runbook is refused, for 2 faults\n"
               "  book.lua:3: step \"one\": `timeout` must be a duration, but is the number 5\n"
               "    hint: write \"5s\"\n"
               "  book.lua:4: step \"two\": `command` is empty: the first text is the program\n"
               "    hint: write { \"/bin/true\" }\n");
  }
}

TEST_CASE("inputs that are wrong") {
  Refused bench;
  const std::string book = bench.book(
      "local input = inputs {\n"
      "  version = { doc = \"the version\", example = \"1.4.2\" },\n"
      "  lost_at = { doc = \"when it was lost\", type = \"time\", optional = true },\n"
      "  key = { doc = \"the key\", type = \"secret\", optional = true },\n"
      "}\n"
      "host.file \"v\" { into = target / \"v\", content = input.version }\n");
  SUBCASE("missing") {
    bench.says(book,
               "relight: book.lua:4: input \"version\" is missing: the version\n"
               "  hint: give it with --set version=1.4.2\n");
  }
  SUBCASE("a time without its offset") {
    bench.says(book,
               "relight: book.lua:5: input \"lost_at\" must be a time, but is the text\n"
               "         \"2026-11-21T10:26:00\"\n"
               "  hint: write it with its offset, as \"2026-11-21T10:26:00Z\" or \"...+01:00\"\n",
               {"--set", "version=1", "--set", "lost_at=2026-11-21T10:26:00"});
  }
  SUBCASE("a literal secret, which is not shown again") {
    bench.says(book,
               "relight: book.lua:6: input \"key\" must be a reference to a secret, never the\n"
               "         secret itself\n"
               "  hint: give a reference: env:NAME, file:PATH or command:PROGRAM ARGS, so that\n"
               "        the secret itself is in no shell history\n",
               {"--set", "version=1", "--set", "key=hunter2hunter2"});
  }
  SUBCASE("misspelt") {
    bench.says(book,
               "relight: book.lua:3: there is no input \"lost_ta\"\n  hint: did you mean \"lost_at\"?\n",
               {"--set", "version=1", "--set", "lost_ta=2026-11-21T10:26:00Z"});
  }
  SUBCASE("without a value") {
    bench.says(book,
               "relight: cannot read an input: --set: it is not NAME=VALUE\n"
               "  hint: write --set NAME=VALUE\n",
               {"--set", "version"});
  }
  SUBCASE("a file of inputs that is not there, or no JSON") {
    bench.write("book.lua", book);
    bench.write("inputs.json", "{\"version\": ");
    for (const char* name : {"inputs.json", "none.json"}) {
      const Ran ran = bench.relight({"run", bench.file("book.lua"), "--inputs", bench.file(name)});
      INFO(ran.err);
      CHECK(ran.exit == 2);
      CHECK(ran.err.find("\n  hint: ") != std::string::npos);
    }
    CHECK_FALSE(sys::exists(bench.file("state")));
  }
}

TEST_CASE("a command line that is wrong") {
  Refused bench;
  bench.write("book.lua", bench.book(""));
  const std::string see = "  hint: `relight help run` shows what it takes\n";
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"rnu", "book.lua"}, "relight: there is no command `rnu`\n  hint: did you mean `relight run`?\n"},
      {{"frobnicate"}, "relight: there is no command `frobnicate`\n  hint: `relight help` lists them\n"},
      {{"run"}, "relight: RUNBOOK is required\n" + see},
      {{"run", "book.lua", "--jbos", "3"},
       "relight: there is no option --jbos of `relight run`\n  hint: did you mean --jobs?\n"},
      {{"run", "book.lua", "--frobnicate"},
       "relight: there is no option --frobnicate of `relight run`\n" + see},
      {{"run", "book.lua", "other.lua"}, "relight: there are more words than it takes: other.lua\n" + see},
      {{"run", "book.lua", "--jobs", "0"}, "relight: --jobs: Value 0 not in range 1 to 256\n" + see},
      {{"resume", "--skip", "one"},
       "relight: every --skip STEP needs its --because TEXT\n  hint: the reason goes into the journal\n"},
      {{"steps", "shel.run"},
       "relight: cannot describe the step type: shel.run: there is none of that name\n"
       "  hint: did you mean shell.run?\n"},
      {{"help", "rnu"}, "relight: there is no command `rnu`\n  hint: `relight help` lists them\n"},
  };
  for (const auto& [args, error] : cases) {
    CAPTURE(args.back());
    const Ran ran = bench.relight(args);
    CHECK(ran.exit == 2);
    CHECK(ran.err == error);
  }
  for (const char* command : {"status", "resume", "rollback", "log", "report"}) {
    CAPTURE(command);
    const Ran ran = bench.relight({command});
    CHECK(ran.exit == 2);
    CHECK(flat(ran.err).find("relight: cannot find a run: " + bench.file("state") +
                             ": there is none hint: `relight run RUNBOOK` starts one") == 0);
  }
  CHECK_FALSE(sys::exists(bench.file("state")));
}

TEST_CASE("a state folder that cannot be written") {
  Refused bench;
  bench.write("book.lua", bench.book("host.file \"v\" { into = target / \"v\", content = \"v\" }\n"));
  bench.write("plain", "");
  bench.state = "plain";
  const Ran ran = bench.relight({"run", bench.file("book.lua")});
  INFO(ran.err);
  CHECK(ran.exit == 2);
  CHECK(flat(ran.err).find(
            "hint: runs are kept in the state folder; --state, or RELIGHT_STATE, names another") !=
        std::string::npos);
  CHECK_FALSE(sys::exists(bench.file("target/v")));
}

TEST_CASE("what the plan finds missing is told before anything is touched") {
  Refused bench;
  bench.write("book.lua", bench.book("host.file \"a\" { into = target / \"a\", content = \"a\" }\n"
                                     "host.file \"b\" { into = target / \"b\", from = target / \"none\" }\n"
                                     "host.file \"c\" { into = target / \"old/c\", content = \"c\" }\n"));
  const std::string before = sys::tree_digest(bench.file("target"));
  for (const char* command : {"plan", "run"}) {
    const Ran ran = bench.relight({command, bench.file("book.lua")});
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 2);
    CHECK(flat(ran.out).find("cannot read: " + bench.file("target/none") +
                             ": No such file or directory hint: check `from`") != std::string::npos);
    CHECK(flat(ran.out).find(bench.file("target/old") + " is not a folder") != std::string::npos);
    CHECK(flat(ran.out).find(
              "3 steps: 3 to do, 0 done already; 2 problems are in the way. Nothing was touched.") !=
          std::string::npos);
  }
  CHECK_FALSE(sys::exists(bench.file("state")));
  CHECK(sys::tree_digest(bench.file("target")) == before);
}

TEST_CASE("what is found only while it runs: exit 1, the target as it was, and what to do next") {
  Refused bench;
  const std::string steps =
      "shell.run \"take\" { command = { \"/bin/sh\", \"-c\", \"rm -r into; echo x > into\" }, cwd = target,\n"
      "  undo = { \"/bin/sh\", \"-c\", \"rm -f \" .. target .. \"/into; mkdir \" .. target .. \"/into\" } }\n"
      "host.file \"late\" { into = target / \"into/late\", content = \"late\" }\n";
  sys::make_folders(bench.file("target/into"));
  const Ran ran = bench.run(bench.book(steps));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 1);
  CHECK(flat(ran.out).find("step late failed: ") != std::string::npos);
  const std::string run = bench.status()["run"];
  CHECK(ran.out.find("  relight resume " + run) != std::string::npos);
  CHECK(ran.out.find("  relight rollback " + run) != std::string::npos);
  CHECK(bench.read("target/into") == "x\n");
  CHECK(bench.relight({"rollback", "--yes"}).exit == 0);
  CHECK(sys::is_folder(bench.file("target/into")));
}

TEST_CASE("a service that never gets ready") {
  Refused bench;
  const std::string steps =
      "host.file \"data\" { into = target / \"old\", content = \"new\" }\n"
      "probe.tcp \"ready\" { host = \"127.0.0.1\", port = 1, within = \"200ms\" }\n";
  const std::string before = sys::tree_digest(bench.file("target"));
  SUBCASE("the new data stays, the old is kept, and the way back is named") {
    const Ran ran = bench.run(bench.book(steps));
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 1);
    CHECK(bench.read("target/old") == "new");
    CHECK(ran.out.find("  relight rollback " + bench.status()["run"].get<std::string>()) !=
          std::string::npos);
    CHECK(bench.relight({"keep"}).out.find("  data") != std::string::npos);
    CHECK(bench.relight({"rollback", "--yes"}).exit == 0);
  }
  SUBCASE("on_failure = rollback puts everything back") {
    const std::string text = bench.book(steps);
    const Ran ran =
        bench.run("runbook \"book\" { on_failure = \"rollback\" }\n" + text.substr(text.find('\n') + 1));
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 3);
    CHECK(bench.run_state() == "rolled-back");
  }
  CHECK(bench.read("target/old") == "old");
  CHECK(sys::tree_digest(bench.file("target")) == before);
}
