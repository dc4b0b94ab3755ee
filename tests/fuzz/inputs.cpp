// The inputs: their declaration as JSON, NUL, the inputs file, NUL, lines as --set takes them.
#include "runner/lang/inputs.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "tests/fuzz/fuzz.h"

namespace relight {
namespace {

bool is_whole(const Json& reference) {
  if (!reference.is_object() || reference.size() != 1) return false;
  const std::string kind = reference.begin().key();
  const Json& of = *reference.begin();
  if (kind != "command") return (kind == "env" || kind == "file") && of.is_string();
  for (const Json& word : of)
    if (!word.is_string()) return false;
  return of.is_array() && !of.empty();
}

}  // namespace

void fuzz::look(std::string_view bytes) {
  const Json declared = Json::parse(part(bytes), nullptr, false);
  if (!declared.is_object()) return;
  const std::string file(part(bytes));
  lang::Given given;
  if (!file.empty() && !takes([&] { given.file = lang::parse_inputs(file, "fuzz.json"); })) return;
  while (!bytes.empty()) {
    std::string_view line = part(bytes, '\n');
    const std::string name(part(line, '='));
    given.set[name] = line;
  }

  const auto place = [](const std::string&) { return lang::Place{"fuzz.lua", 1}; };
  std::vector<lang::RunbookFault> faults;
  const lang::InputValues values = lang::values_of_inputs(declared, given, place, faults);
  if (!faults.empty()) return;
  values.all->dump();
  for (const Json& value : *values.all)
    must(!is_secret(value) || is_whole(value["$secret"]), "a secret can be read");
  const lang::Given frozen = {.set = {}, .file = values.given, .can_ask = false};
  const lang::InputValues again = lang::values_of_inputs(declared, frozen, place, faults);
  must(faults.empty() && *again.all == *values.all, "frozen inputs give the same again");
}

}  // namespace relight
