// Every runbook that ships is evaluated with the step types of the program.
#include <doctest/doctest.h>

#include "runner/lang/evaluate.h"
#include "runner/lang/words.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

using namespace relight;

namespace {

std::vector<std::string> runbooks_below(const std::string& folder) {
  std::vector<std::string> paths;
  if (!sys::is_folder(folder)) return paths;
  sys::walk(folder, [&](const sys::Entry& entry) {
    const std::string path = folder + "/" + entry.path;
    if (entry.kind == 'f' && path.ends_with(".lua") &&
        sys::read_file(path).find("\nrunbook \"") != std::string::npos)
      paths.push_back(path);
  });
  return paths;
}

// With what each missing input is told to be given as: so the examples that a runbook declares are tried,
// too.
Plan plan_of(const std::string& path) {
  lang::EvaluateRequest request{path, {}, step_table()};
  for (;;) {
    try {
      return lang::evaluate(request).plan;
    } catch (const lang::RunbookError& error) {
      bool given = false;
      for (const lang::RunbookFault& fault : error.faults()) {
        const std::string told = "give it with --set ";
        const std::size_t equals = fault.hint.find('=');
        if (!fault.hint.starts_with(told) || equals == std::string::npos)
          FAIL(path, ": ", std::string(error.what()), " (", fault.hint, ")");
        const std::string value = fault.hint.substr(equals + 1);
        given = request.given.set
                    .emplace(fault.hint.substr(told.size(), equals - told.size()),
                             value.starts_with("env:NAME") ? "env:NAME" : value)
                    .second;
        if (!given) FAIL(path, ": ", std::string(error.what()));
      }
    }
  }
}

}  // namespace

TEST_CASE("every example and every ready runbook is a plan") {
  std::vector<std::string> paths = runbooks_below(RELIGHT_SOURCE_DIR "/examples");
  CHECK(paths.size() >= 8);
  for (const std::string& path : runbooks_below(RELIGHT_SOURCE_DIR "/runbooks")) paths.push_back(path);
  for (const std::string& path : paths) {
    CAPTURE(path);
    CHECK_FALSE(plan_of(path).steps.empty());
  }
}

TEST_CASE("the example of every step type is a statement of the language, and right") {
  for (const StepType* type : lang::with_words(step_table())) {
    CAPTURE(type->name);
    REQUIRE_FALSE(type->example.empty());
    sys::TempFolder folder;
    // Names that examples use for what stands above them.
    const std::string before =
        "runbook \"example\" {}\n"
        "local input = inputs { backup = { default = \"/srv/backup\", type = \"location\" }, version = { "
        "default = \"1.4.2\" },\n"
        "  keys = { default = \"env:KEYS\", type = \"secret\" }, token = { default = \"env:TOKEN\", type = "
        "\"secret\" },\n"
        "  recover_to = { default = \"latest\", type = \"moment\" }, blobs = { default = \"/srv/blobs\", "
        "type = \"path\" },\n"
        "  lost_at = { default = \"2026-11-21T10:26:00Z\", type = \"time\" } }\n"
        "local db = postgres.recover \"db-above\" { base = input.backup / \"base\", wal = { input.backup / "
        "\"wal\" },\n"
        "  data = \"/var/lib/postgresql/15/main\" }\n"
        "local app = service.start \"app-above\" { unit = \"app\" }\n";
    sys::write_file(folder.path() + "/example.lua", before + type->example + "\n", 0644);
    const Plan plan = plan_of(folder.path() + "/example.lua");
    CHECK(plan.steps.back().type == type->name);
  }
}
