// probe.sql: a query of a PostgreSQL database gives what it should.

#include "runner/sys/sql.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/probe/lib/expect.h"
#include "steps/probe/lib/patience.h"

namespace relight {
namespace {

constexpr std::size_t value_limit = 64u << 10;  // what lies in the journal is no dump

Json expected(const Params& params) {
  const Json expect = params.has("expect") ? params["expect"] : Json::object();
  check_expect_names(expect, {"value", "rows", "at_least"});
  for (const char* field : {"rows", "at_least"})
    if (expect.contains(field) && (!expect[field].is_number_integer() || expect[field] < 0))
      throw Error(ErrorKind::refused, "cannot tell what is expected", std::string("expect.") + field,
                  "it is " + expect[field].dump(), "write a number of rows");
  if (expect.contains("value") && expect["value"].is_structured())
    throw Error(ErrorKind::refused, "cannot tell what is expected", "expect.value", "it is a table",
                "write the one value that the first row must begin with");
  return expect;
}

// As PostgreSQL writes it.
std::string text_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? "t" : "f";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// Why the rows are not those that were expected; empty: they are.
std::string difference(const Json& expect, const sys::Rows& rows) {
  const auto count = static_cast<std::int64_t>(rows.rows.size());
  const std::string said = std::to_string(count) + (count == 1 ? " row" : " rows");
  if (expect.contains("rows") && count != expect["rows"].get<std::int64_t>())
    return said + ", not " + expect["rows"].dump();
  const std::int64_t least = expect.contains("at_least") ? expect["at_least"].get<std::int64_t>()
                             : expect.contains("rows")   ? 0
                                                         : 1;
  if (count < least) return said + ", and at least " + std::to_string(least) + " expected";
  if (!expect.contains("value")) return "";
  const std::string wanted = text_of(expect["value"]);
  if (count == 0 || rows.rows[0].empty()) return "no row, and \"" + wanted + "\" expected";
  const auto& value = rows.rows[0][0];
  if (value.value_or("") == wanted) return "";  // `value` of another probe is "" where it saw NULL
  return (value ? "\"" + excerpt(*value) + "\"" : std::string("NULL")) + ", not \"" + wanted + "\"";
}

class SqlProbe : public Step {
 public:
  Preview preview(const Params& params, Call&) const override {
    Preview preview;
    preview.summary = "ask the database: " + shown(params.all()["sql"]);
    for (const char* field : {"database", "sql", "expect"})
      if (!params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(params.all()[field]).begin();
      }
    try {
      preview.summary += show(patience_of(params));
      if (params.known("expect")) expected(params);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const Json expect = expected(params);
    std::map<std::string, std::string> settings = {
        {"application_name", "relight " + call.run() + " " + call.step()}};
    if (params.has("password")) settings["password"] = sys::trim(params.secret("password").view());
    std::string value;
    const auto took = ask_until_passed(
        call, patience_of(params), params.text("sql"),
        "ask it by hand with psql, and look into the server's log", [&] {
          sys::Sql sql(params.text("database"), settings);
          sql.stop_when([&call] { return call.stop_wanted(); });
          sql.timeout(params.duration("answer_within"));
          // A probe looks and never writes, whatever its query says.
          sql.execute("begin read only");
          const sys::Rows rows = sql.query(params.text("sql"));
          sql.execute("rollback");
          value = rows.rows.empty() || rows.rows[0].empty() ? "" : rows.rows[0][0].value_or("");
          return difference(expect, rows);
        });
    // As it is: another probe may expect it again.
    return {{"value", value.size() <= value_limit ? sys::mend_utf8(value) : excerpt(value, value_limit)},
            {"took", sys::show_duration(took)}};
  }

  std::string state_digest(const Params&, Call&) const override { return "changes nothing"; }
};

std::vector<Field> fields() {
  std::vector<Field> fields = {
      {"database",
       FieldType::text,
       true,
       "",
       "the database, as a URL or as libpq's keyword=value text",
       "db.url",
       {}},
      {"sql",
       FieldType::text,
       true,
       "",
       "one query, run in a transaction that is read only",
       "\"select count(*) from users\"",
       {}},
      {"expect",
       FieldType::table,
       false,
       "",
       "`value`: what the first row begins with; `rows`: how many; `at_least`: how many at least; else one "
       "row at least",
       "{ value = 1204 }",
       {}},
      {"password", FieldType::secret, false, "", "the login's password", "secret.file \"/root/pg\"", {}},
      {"answer_within", FieldType::duration, false, "\"30s\"", "how long one answer may take", "\"3s\"", {}},
  };
  for (Field& field : patience_fields("30s")) fields.push_back(std::move(field));
  return fields;
}

}  // namespace

extern const StepType probe_sql;
const StepType probe_sql = {
    .name = "probe.sql",
    .doc =
        "Prove that a PostgreSQL database answers a query as it should.\n"
        "The login is that of the URL, with `password` where it needs one, or that of the user `as`.",
    .example =
        "probe.sql \"rows\" { database = db.url, as = \"postgres\", sql = \"select count(*) > 0 from "
        "users\",\n"
        "  expect = { value = true } }",
    .fields = fields(),
    .outputs = {{"value", "what the first row begins with"}, {"took", "the time until it had passed"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .is_probe = true,
    .make = make_step<SqlProbe>,
};

}  // namespace relight
