#include "runner/step/schema.h"
#include "runner/sys/json_whole.h"

#include <doctest/doctest.h>

using namespace relight;

namespace {
std::string fault_of(FieldType type, const char* json) {
  Field field;
  field.name = "f";
  field.type = type;
  field.choices = {"fail", "pass"};
  std::string text;
  for (const Fault& fault : check_value(field, Json::parse(json))) {
    if (!text.empty()) text += "; ";
    text += fault.field + " " + fault.what;
    if (!fault.hint.empty()) text += " (" + fault.hint + ")";
  }
  return text;
}
}  // namespace

TEST_CASE("values are checked by their type, and the mend is named") {
  CHECK(fault_of(FieldType::duration, "\"30s\"") == "");
  CHECK(fault_of(FieldType::duration, "30") == "f must be a duration, but is the number 30 (write \"30s\")");
  CHECK(fault_of(FieldType::path, "\"etc/x\"") ==
        "f must be an absolute path, but is the text \"etc/x\" (begin it with \"/\")");
  CHECK(fault_of(FieldType::location, "\"s3://b/x\"") ==
        "f must be a folder or file of this host, or a file:// URL, but is the text \"s3://b/x\" (copy it to "
        "this "
        "host first)");
  CHECK(fault_of(FieldType::location, "\"file:///srv/x\"") == "");
  CHECK(fault_of(FieldType::time, "\"2026-11-21T10:26:00\"").find("with its offset") != std::string::npos);
  CHECK(fault_of(FieldType::choice, "\"fial\"") ==
        "f must be one of fail, pass, but is the text \"fial\" (did you mean \"fail\"?)");
  CHECK(fault_of(FieldType::argv, "\"ls\"") ==
        "f must be a list of texts, but is the text \"ls\" (write { \"ls\" })");
  CHECK(fault_of(FieldType::argv, "[]") ==
        "f is empty: the first text is the program (write { \"/bin/true\" })");
  CHECK(fault_of(FieldType::list, "[\"a\", 2]") == "f[2] must be a text, but is the number 2 (write \"2\")");
}

TEST_CASE("a moment is latest, a time with its offset, or a point by name") {
  for (const char* good :
       {"\"latest\"", "\"2026-11-21T10:26:00Z\"", "\"lsn:0/5A000148\"", "\"xid:99\"", "\"name:x y\""})
    CHECK(fault_of(FieldType::moment, good) == "");
  for (const char* bad :
       {"\"now\"", "\"2026-11-21 10:26\"", "\"lsn:5A\"", "\"xid:-1\"", "\"name:\"", "\"lsn:0/123456789\""})
    CHECK(fault_of(FieldType::moment, bad) != "");
}

TEST_CASE("a secret is a reference, and what was written in its place is not repeated") {
  CHECK(fault_of(FieldType::secret, R"({"$secret": {"env": "KEY"}})") == "");
  const std::string told = fault_of(FieldType::secret, "\"hunter2hunter2\"");
  CHECK(told.find("hunter2") == std::string::npos);
  CHECK(told.find("secret.env") != std::string::npos);
  CHECK(fault_of(FieldType::text, R"({"$secret": {"env": "KEY"}})").find("is a secret") != std::string::npos);
}

TEST_CASE("what is known later passes where a text could stand") {
  CHECK(fault_of(FieldType::path, R"({"$output": ["db", "data"]})") == "");
  CHECK(fault_of(FieldType::texts, R"({"A": {"$join": ["x", {"$output": ["db", "url"]}]}})") == "");
}

TEST_CASE("unknown and missing fields are told with the near name") {
  Field into, mode;
  into.name = "into";
  into.type = FieldType::path;
  into.required = true;
  into.example = "into = \"/x\"";
  mode.name = "mode";
  const std::vector<Field> fields = {into, mode};
  const auto faults = check_values(fields, Json::parse(R"({"inot": "/x"})"));
  REQUIRE(faults.size() == 2);
  CHECK(faults[0].field + " " + faults[0].what + " (" + faults[0].hint + ")" ==
        "into is missing (write into = \"/x\")");
  CHECK(faults[1].field + " " + faults[1].what + " (" + faults[1].hint + ")" ==
        "inot is no field of this step (did you mean `into`?)");
}

TEST_CASE("the near name is near") {
  CHECK(near_name("comand", {"command", "cwd"}) == "command");
  CHECK(near_name("pln", {"plan", "run"}) == "plan");
  CHECK(near_name("xyz", {"plan", "run"}) == "");
}
