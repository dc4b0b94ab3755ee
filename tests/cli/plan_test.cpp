// What plan, status, report, steps and help print, for people and as JSON.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

std::vector<std::string> members(const Json& object) {
  std::vector<std::string> names;
  for (auto it = object.begin(); it != object.end(); ++it) names.push_back(it.key());
  return names;
}

bool has(const Json& object, const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(),
                     [&](const std::string& name) { return object.contains(name); });
}

// No line is wider than a terminal, but for a word that cannot be broken.
void check_width(const std::string& text) {
  for (const std::string& line : sys::split(text, '\n')) {
    const std::string words = sys::trim(line);
    CAPTURE(line);
    CHECK(
        (line.size() <= 80 || words.find(' ') == std::string::npos || words.find('`') != std::string::npos));
  }
}

struct Shown : Bench {
  Shown() {
    write("old", "old");
    write("book.lua", R"(
runbook "book" { doc = "Puts the files of a lost host back, and looks whether they are the right ones, once more.", budget = { rto = "30m", rpo = "5m" } }
local input = inputs {
  dir = { doc = "where", type = "path" },
  key = { doc = "the key", type = "secret" },
  lost_at = { doc = "when it was lost", type = "time", optional = true },
}
approve "fenced" { prompt = "Is the old host off, or cut from the network? It must not come back while this run is on its way." }
local look = shell.run "look" { command = { "/bin/echo", "hello" }, doc = "Look around" }
host.file "unit" { into = input.dir / "old", content = look.stdout }
host.file "key" { into = input.dir / "key", secret = input.key, after = { "look" }, when = function(o) return o.look.stdout == "hello" end }
shell.run "never" { command = { "/bin/false" }, when = false }
probe.command "smoke" { command = { "/bin/test", "-e", input.dir / "mended" }, within = "1ms" }
)");
    write("secret", "a secret of the host", 0600);
  }
  std::vector<std::string> args(const std::string& command, std::vector<std::string> more = {}) const {
    std::vector<std::string> all = {command,         file("book.lua"), "--set",
                                    "dir=" + path(), "--set",          "key=file:" + file("secret")};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

}  // namespace

TEST_CASE("plan --json") {
  Shown bench;
  const std::string before = sys::tree_digest(bench.path());
  const Ran ran = bench.relight(bench.args("plan", {"--json"}));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(sys::tree_digest(bench.path()) == before);
  const Json plan = Json::parse(ran.out);
  CHECK(members(plan) == std::vector<std::string>{"digest", "doc", "problems", "runbook", "steps"});
  CHECK(plan["runbook"] == "book");
  CHECK(plan["doc"].get<std::string>().starts_with("Puts the files of a lost host back"));
  CHECK(plan["digest"].get<std::string>().size() == 64);
  REQUIRE(plan["steps"].size() == 6);
  for (const Json& step : plan["steps"])
    CHECK(has(step, {"name", "type", "line", "after", "params", "verdict", "summary", "problems", "undo"}));
  CHECK(plan["steps"][1]["name"] == "look");
  CHECK(plan["steps"][1]["type"] == "shell.run");
  CHECK(plan["steps"][1]["undo"] == "none");  // it has no `undo`
  CHECK(plan["steps"][2]["undo"] == "whole");
  CHECK(plan["steps"][1]["after"] == Json({"fenced"}));
  CHECK(plan["steps"][2]["params"]["content"] == Json{{"$output", {"look", "stdout"}}});
  CHECK(bench.relight(bench.args("plan", {"--json"})).out == ran.out);
}

TEST_CASE("plan for people") {
  Shown bench;
  const Ran ran = bench.relight(bench.args("plan"));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  check_width(ran.out);
  for (const char* words :
       {"plan of book (book.lua), digest ",
        "Puts the files of a lost host back, and looks whether they are the right ones, once more.",
        "key = secret file:", "1  fenced  asks: Is the old host off, or cut",
        "2  look    run /bin/echo hello", "3  unit    told when its turn comes: write ",
        "when: function at book.lua:11", "note: RPO has a budget and will be unknown",
        "Nothing was touched."})
    CHECK(flat(ran.out).find(words) != std::string::npos);
  CHECK(ran.out.find("a secret of the host") == std::string::npos);
}

TEST_CASE("status, log, report and summary through a run's life") {
  Shown bench;
  const auto look = [&](const std::string& state) {
    const Json status = bench.status();
    CHECK(members(status) ==
          std::vector<std::string>{"downtime", "protected", "run", "runbook", "state", "steps"});
    CHECK(status["state"] == state);
    CHECK(status["runbook"] == "book");
    CHECK(status["protected"].is_null());
    for (const Json& step : status["steps"])
      CHECK(has(step, {"name", "type", "state", "attempts", "started_at", "finished_at", "outputs"}));
    for (const std::vector<std::string>& command :
         std::vector<std::vector<std::string>>{{"status"}, {"report"}, {"keep"}})
      check_width(bench.relight(command).out);
    const Ran report = bench.relight({"report", "--format", "json"});
    CHECK(report.exit == 0);
    CHECK(Json::parse(report.out)["state"] == state);
    return status;
  };
  const Ran waits = bench.relight(bench.args("run"));
  CHECK(waits.exit == 6);
  check_width(waits.out);
  const Json waiting = look("waiting");
  CHECK(waiting["steps"][0]["state"] == "waiting");
  CHECK(waiting["steps"][1]["started_at"].is_null());
  CHECK(waiting["steps"][1]["outputs"].is_null());

  const Ran fails = bench.relight({"resume", "--approve", "fenced"});
  INFO(fails.out, fails.err);
  CHECK(fails.exit == 1);
  check_width(fails.out);
  const Json failed = look("failed");
  CHECK(failed["steps"][1]["state"] == "done");
  CHECK(failed["steps"][1]["attempts"] == 1);
  CHECK(failed["steps"][1]["outputs"]["stdout"] == "hello");
  CHECK(sys::parse_time(failed["steps"][1]["started_at"].get<std::string>()));
  CHECK(sys::parse_time(failed["steps"][1]["finished_at"].get<std::string>()));
  CHECK(failed["steps"][4]["state"] == "skipped");
  CHECK(failed["steps"][5]["state"] == "failed");
  CHECK(bench.relight({"status"}).out.find("step smoke failed: ") != std::string::npos);
  CHECK(bench.relight({"keep"}).out.find("the run needs it until it has ended") != std::string::npos);

  bench.write("mended", "");
  const Ran done = bench.relight({"resume", "--json"});
  INFO(done.out, done.err);
  CHECK(done.exit == 7);  // the RPO is unknown
  const Json summary = Json::parse(done.out);
  CHECK(summary["exit"] == 7);
  CHECK(summary["verdict"]["rpo_ms"].is_null());
  look("done");
  const std::string report = bench.relight({"report"}).out;
  CHECK(report.find("RPO          unknown: lost_at was not given") != std::string::npos);
  CHECK(bench.relight({"report", "--out", bench.file("report.txt")}).exit == 0);
  CHECK(bench.read("report.txt") == report);
  const std::string log = bench.relight({"log"}).out;
  CHECK(log.find("fenced: approved, by --approve") != std::string::npos);
  CHECK(log.find("ended: done, exit code 7") != std::string::npos);
  CHECK(bench.relight({"log", "look"}).out == "hello\n");
  CHECK(bench.relight({"log", "lok"}).exit == 2);

  CHECK(bench.relight({"rollback", "--to", "look", "--yes"}).exit == 0);
  look("interrupted");
  CHECK(bench.read("old") == "old");
  CHECK(bench.relight({"abandon", bench.status()["run"]}).exit == 0);
  look("abandoned");
}

TEST_CASE("the step reference and the help fit the screen") {
  Bench bench;
  const Ran all = bench.relight({"steps"});
  CHECK(all.exit == 0);
  check_width(all.out);
  for (const char* type :
       {"approve", "script", "shell.run", "host.file", "host.packages", "key.prove", "release.pin",
        "postgres.recover", "blobs.restore", "service.start", "probe.http"}) {
    CAPTURE(type);
    CHECK(all.out.find(std::string("  ") + type + " ") != std::string::npos);
    const Ran one = bench.relight({"steps", type});
    CHECK(one.exit == 0);
    CHECK(one.out.find(std::string(type) + "\n\n") == 0);
    CHECK(one.out.find("\nexample\n") != std::string::npos);
    const std::string text = one.out.substr(0, one.out.find("\nexample\n"));
    check_width(text);
  }
  for (const char* type : {"shell.run", "script"})
    CHECK(
        bench.relight({"steps", type}).out.find("undo      as far as its `undo` goes; without one, none\n") !=
        std::string::npos);
  CHECK(bench.relight({"steps", "host"}).out.find("host.directory\n\n") == 0);
  const Ran help = bench.relight({"help"});
  CHECK(help.exit == 0);
  check_width(help.out);
  CHECK(bench.relight({}).out == help.out);
  CHECK(bench.relight({"--help"}).out == help.out);
  for (const char* command :
       {"plan", "run", "resume", "rollback", "abandon", "status", "log", "report", "keep", "steps"}) {
    CAPTURE(command);
    CHECK(help.out.find(std::string("  ") + command + " ") != std::string::npos);
    const Ran one = bench.relight({"help", command});
    CHECK(one.exit == 0);
    check_width(one.out);
    CHECK(bench.relight({command, "--help"}).out == one.out);
  }
  CHECK(bench.relight({"--version"}).out == "relight " RELIGHT_VERSION "\n");
}
