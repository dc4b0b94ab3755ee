#include "tests/support/test_call.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "runner/step/value.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"

namespace relight {

TestCall::TestCall(std::string step, std::string run)
    : run_(std::move(run)), step_(std::move(step)), notes_(std::make_unique<Json>(Json::object())) {}
TestCall::~TestCall() = default;

void TestCall::note(const std::string& key, const Json& value) {
  REQUIRE_FALSE(preview_only);
  (*notes_)[key] = value;
}

namespace {
void read_secrets(const Json& value, Secrets& secrets) {
  if (is_secret(value)) {
    const Json& reference = value["$secret"];
    std::string bytes;
    if (reference.contains("env")) {
      const char* text = std::getenv(reference["env"].get<std::string>().c_str());
      REQUIRE(text != nullptr);
      bytes = text;
    } else if (reference.contains("file")) {
      bytes = sys::read_file(reference["file"].get<std::string>());
    } else {
      sys::Command command;
      command.argv = reference["command"].get<std::vector<std::string>>();
      bytes = sys::output_of(command, "cannot read a secret");
    }
    secrets.emplace(secret_name(value), Secret(bytes));
  } else if (value.is_structured()) {
    for (const Json& part : value) read_secrets(part, secrets);
  }
}
}  // namespace

TestParams::TestParams(const StepType& type, const std::string& json_text) {
  Json values = Json::parse(json_text);
  for (const Fault& fault : check_values(type.fields, values))
    FAIL("field ", fault.field, ": ", fault.what, " (", fault.hint, ")");
  read_secrets(values, secrets);
  params = std::make_unique<Params>(type.fields, values, secrets);
}
TestParams::~TestParams() = default;

const StepType& type_named(const std::string& name) {
  for (const StepType* type : step_table())
    if (type->name == name) return *type;
  FAIL("no such step type: ", name);
  std::abort();
}

}  // namespace relight
