// key.prove: the restored key opens what the restored database holds.

#include "runner/step/env_file.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sql.h"
#include "runner/sys/text.h"
#include "steps/key/lib/key_bytes.h"
#include "steps/key/lib/sealed.h"

namespace relight {
namespace {

constexpr std::size_t key_size = 32;
constexpr const char* key_variable = "RELIGHT_KEY";

// The key as it is written: the whole secret, or one line of an env file.
std::string key_text(const Params& params) {
  const std::string secret(params.secret("key").view());
  if (!params.has("variable")) return secret;
  const std::string name = params.text("variable");
  const auto value = EnvFile(secret, "the secret in `key`").value(name);
  if (!value)
    throw Error(ErrorKind::refused, "the key is missing", name, "`key` has no line " + name + "=...",
                "check that `key` is the env file with the keys of this host");
  return *value;
}

std::string key_name(const Params& params) {
  return params.has("variable") ? params.text("variable") : "the secret in `key`";
}

// At most `rows` values of the query's first column, read and never written.
std::vector<std::string> sealed_values(const Params& params, Call& call) {
  sys::Sql sql(params.text("database"), {{"application_name", "relight " + call.run() + " " + call.step()}});
  sql.stop_when([&call] { return call.stop_wanted(); });
  std::string query = sys::trim(params.text("sql"));
  while (query.ends_with(';')) query = sys::trim(query.substr(0, query.size() - 1));
  sql.execute("begin read only");
  const sys::Rows rows =
      sql.query("select * from (" + query + "\n) as sealed limit " + std::to_string(params.integer("rows")));
  sql.execute("rollback");
  std::vector<std::string> values;
  for (const auto& row : rows.rows)
    if (!row.empty() && row.front()) values.push_back(sealed_bytes(*row.front()));
  return values;
}

class Prove : public Step {
 public:
  Preview preview(const Params& params, Call&) const override {
    Preview preview;
    preview.summary = "open up to " + shown(params.all()["rows"]) + " sealed values of " +
                      shown(params.all()["database"]) + " with the key";
    if (!params.known("database")) {
      const auto steps = outputs_used(params.all()["database"]);
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.proved_after = *steps.begin();
    }
    try {
      if (params.known("rows")) check_rows(params);
      // The key's own form can be told before there is a database to try it on.
      const bool readable = params.known("variable") && !params.has("command") && params.peek_secret("key");
      if (readable) preview_key(params, *params.peek_secret("key"));
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    check_rows(params);
    const std::string key = key_text(params);
    const std::string bytes =
        params.has("command") ? "" : key_bytes(key, params.text("encoding"), key_size, key_name(params));
    const std::vector<std::string> values = sealed_values(params, call);
    if (values.empty()) {
      if (params.text("empty") == "pass") return {{"opened", 0}};
      throw Error(ErrorKind::permanent, "the key cannot be proved", params.text("sql"),
                  "it gives no sealed value",
                  "check the query; if there may be none, write empty = \"pass\"");
    }
    std::size_t failed = 0, done = 0;
    for (const std::string& value : values) {
      call.stop_here_if_wanted();
      if (!(params.has("command") ? opens_by_command(params, call, key, value) : opens(bytes, value)))
        ++failed;
      call.progress("open", ++done, values.size());
    }
    if (failed > 0)
      throw Error(
          ErrorKind::permanent, "the key does not open the data", key_name(params),
          std::to_string(failed) + " of " + std::to_string(values.size()) +
              " sealed values could not be opened",
          failed == values.size()
              ? "this is another key, or another database's: compare its fingerprint with the backup's"
              : "some rows were sealed under another key, or are damaged");
    return {{"opened", values.size()}};
  }

  std::string state_digest(const Params&, Call&) const override { return "changes nothing"; }

 private:
  static void check_rows(const Params& params) {
    if (params.integer("rows") < 1)
      throw Error(ErrorKind::refused, "nothing would be proved", "rows",
                  "it is " + std::to_string(params.integer("rows")),
                  "write how many sealed values to open at most, at least 1");
  }

  static void preview_key(const Params& params, const Secret& secret) {
    std::string text(secret.view());
    if (params.has("variable")) {
      const auto value = EnvFile(text, "the secret in `key`").value(params.text("variable"));
      if (!value)
        throw Error(ErrorKind::refused, "the key is missing", params.text("variable"),
                    "`key` has no line of this name",
                    "check that `key` is the env file with the keys of this host");
      text = *value;
    }
    key_bytes(text, params.text("encoding"), key_size, key_name(params));
  }

  static bool opens_by_command(const Params& params, Call& call, const std::string& key,
                               const std::string& value) {
    sys::Command command;
    command.argv = params.list("command");
    command.extra_env = {{key_variable, key}};
    command.cwd = "/";
    command.stdin_text = value;
    return call.run_program(std::move(command)).ok();
  }
};

}  // namespace

extern const StepType key_prove;
const StepType key_prove = {
    .name = "key.prove",
    .doc =
        "Prove that the key opens what the database holds, before any service starts on it.\n"
        "Opens sealed values out of the database: AES-256-GCM, as an envelope (a version byte 1, a data key "
        "sealed under the "
        "master key, then the value) or directly (nonce, ciphertext, tag); bytea, or text in base64. Other "
        "forms are opened "
        "by `command`, which reads one sealed value from its stdin, finds the key as it is written in "
        "RELIGHT_KEY, and exits "
        "with 0 when it could open it. One value that cannot be opened fails the step. Changes nothing.",
    .example =
        "key.prove \"vault\" { database = db.url, as = \"postgres\", sql = \"select sealed from vault\", "
        "rows = 100,\n"
        "  key = input.keys, variable = \"AIHUMMER_MASTER_KEY\" }",
    .fields =
        {
            {.name = "database",
             .type = FieldType::text,
             .required = true,
             .fallback = "",
             .doc = "the database, as a URL or as libpq's keyword=value text",
             .example = "db.url",
             .choices = {}},
            {.name = "sql",
             .type = FieldType::text,
             .required = true,
             .fallback = "",
             .doc = "a query whose first column is a sealed value",
             .example = "\"select sealed from vault\"",
             .choices = {}},
            {.name = "rows",
             .type = FieldType::integer,
             .required = false,
             .fallback = "100",
             .doc = "how many values to open at most",
             .example = "1000",
             .choices = {}},
            {.name = "key",
             .type = FieldType::secret,
             .required = true,
             .fallback = "",
             .doc = "the key of 32 bytes, or an env file that holds it",
             .example = "secret.file \"/media/key/env\"",
             .choices = {}},
            {.name = "variable",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "the env file's line that is the key; not given: `key` is the key itself",
             .example = "\"AIHUMMER_MASTER_KEY\"",
             .choices = {}},
            {.name = "encoding",
             .type = FieldType::choice,
             .required = false,
             .fallback = "\"auto\"",
             .doc = "how the key is written",
             .example = "\"base64\"",
             .choices = {"auto", "base64", "hex", "raw"}},
            {.name = "empty",
             .type = FieldType::choice,
             .required = false,
             .fallback = "\"fail\"",
             .doc = "what a query without a sealed value means: nothing is proved, or nothing was sealed",
             .example = "\"pass\"",
             .choices = {"fail", "pass"}},
            {.name = "command",
             .type = FieldType::argv,
             .required = false,
             .fallback = "",
             .doc = "a program that opens a value of another form",
             .example = "{ \"/opt/aihummer/current/bin/unseal\", \"--check\" }",
             .choices = {}},
        },
    .outputs = {{.name = "opened", .doc = "how many values were opened"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .make = make_step<Prove>,
};

}  // namespace relight
