#include <doctest/doctest.h>

#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sql.h"
#include "tests/support/postgres.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const StepType& type() {
  return type_named("key.prove");
}

const std::string key(32, 'k'), data_key(32, 'd');

std::string envelope(const std::string& plain) {
  return std::string(1, 1) + sys::seal_aes_256_gcm(key, data_key, "") +
         sys::seal_aes_256_gcm(data_key, plain, "");
}

// A vault with sealed values in a real database, and the keys beside it.
struct Vault {
  Vault() {
    postgres.execute(
        "create table vault (id int, sealed bytea); create table texts (sealed text); create table empty "
        "(sealed bytea)");
    for (int id = 0; id < 5; ++id) insert(id, id % 2 ? envelope("v") : sys::seal_aes_256_gcm(key, "v", ""));
    postgres.execute("insert into vault values (9, null)");
    postgres.execute("insert into texts values ('" + sys::to_base64(envelope("t")) + "')");
    sys::write_file(folder.path() + "/env", "A=1\nMASTER=" + sys::to_base64(key) + "\n", 0600);
    sys::write_file(folder.path() + "/wrong", sys::to_base64(std::string(32, 'w')) + "\n", 0600);
    sys::write_file(folder.path() + "/raw", key, 0600);
  }
  void insert(int id, const std::string& sealed) const {
    postgres.execute("insert into vault values (" + std::to_string(id) + ", '\\x" + sys::to_hex(sealed) +
                     "')");
  }
  Json json(const std::string& sql, const std::string& file) const {
    Json json = {{"database", postgres.url()},
                 {"sql", sql},
                 {"key", {{"$secret", {{"file", folder.path() + "/" + file}}}}}};
    if (file == "env") json["variable"] = "MASTER";
    return json;
  }
  Json prove(const Json& json) const {
    TestParams params(type(), json.dump());
    TestCall call("vault");
    return type().make()->apply(params, call);
  }
  std::string error(const Json& json) const {
    try {
      prove(json);
    } catch (const Error& error) {
      return std::string(name_of(error.kind)) + ": " + error.what();
    }
    return "none";
  }
  Postgres postgres;
  sys::TempFolder folder;
};

}  // namespace

TEST_CASE("sealed values out of a real database") {
  // One server for all of them: each takes seconds to make.
  const Vault vault;
  const std::string all = "select sealed from vault order by id;";

  {
    INFO("the right key opens them, in every form, and at most as many as asked");
    CHECK(vault.prove(vault.json(all, "env")) == Json({{"opened", 5}}));
    CHECK(vault.prove(vault.json("select sealed from texts", "raw")) == Json({{"opened", 1}}));
    Json few = vault.json(all, "env");
    few["rows"] = 2;
    CHECK(vault.prove(few) == Json({{"opened", 2}}));
  }
  {
    INFO("a wrong key is told with its count, and a damaged row too");
    CHECK(vault.error(vault.json(all, "wrong")) ==
          "permanent: the key does not open the data: the secret in `key`: 5 of 5 sealed values could not be "
          "opened");
    std::string damaged = envelope("v");
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    vault.insert(7, damaged);
    CHECK(vault.error(vault.json(all, "env")) ==
          "permanent: the key does not open the data: MASTER: 1 of 6 sealed values could not be opened");
  }
  {
    INFO("nothing to open proves nothing, unless that is meant");
    Json none = vault.json("select sealed from empty", "env");
    CHECK(vault.error(none) ==
          "permanent: the key cannot be proved: select sealed from empty: it gives no sealed value");
    none["empty"] = "pass";
    CHECK(vault.prove(none) == Json({{"opened", 0}}));
  }
  {
    INFO("a query that writes is stopped by the server");
    CHECK(vault.error(vault.json("select setval('s', 1)", "env")) != "none");
    vault.postgres.execute("create sequence s");
    CHECK(vault.error(vault.json("select nextval('s')::text", "env")).find("read-only") != std::string::npos);
  }
  {
    INFO("a command opens other forms: the value on stdin, the key in the environment");
    Json json = vault.json("select 'sealed with ' || 'k1'", "raw");
    json["command"] = {"sh", "-c",
                       "read value; test \"$value\" = 'sealed with k1' -a \"$RELIGHT_KEY\" = " + key};
    CHECK(vault.prove(json) == Json({{"opened", 1}}));
    json["sql"] = "select 'sealed with k2'";
    CHECK(vault.error(json).find("1 of 1 sealed values could not be opened") != std::string::npos);
  }
  {
    INFO("a key of the wrong form is refused before the database is asked");
    Json json = vault.json(all, "env");
    json["variable"] = "A";
    json["database"] = "postgresql://127.0.0.1:1/none";
    CHECK(vault.error(json) ==
          "refused: not the key that was expected: A: it is not 32 bytes, in hex, base64 or raw");
    json["variable"] = "NONE";
    CHECK(vault.error(json) == "refused: the key is missing: NONE: `key` has no line NONE=...");
    json["variable"] = "MASTER";
    CHECK(vault.error(json).starts_with("transient: "));
  }
}

TEST_CASE("a plan says after which step it can be proved, and refuses a key of the wrong form") {
  sys::TempFolder folder;
  sys::write_file(folder.path() + "/env", "MASTER=" + sys::to_base64(key) + "\nSHORT=c2hvcnQ=\n", 0600);
  const auto preview = [&](const std::string& variable) {
    TestParams params(type(), Json({{"database", {{"$output", {"database", "url"}}}},
                                    {"sql", "select sealed from vault"},
                                    {"variable", variable},
                                    {"key", {{"$secret", {{"file", folder.path() + "/env"}}}}}})
                                  .dump());
    TestCall call("vault");
    call.preview_only = true;
    return type().make()->preview(params, call);
  };
  const Preview good = preview("MASTER");
  CHECK(good.verdict == Preview::Verdict::cannot_yet_tell);
  CHECK(good.proved_after == "database");
  CHECK(good.summary == "open up to 100 sealed values of <database.url> with the key");
  CHECK(good.problems.empty());
  REQUIRE(preview("SHORT").problems.size() == 1);
  CHECK(preview("SHORT").problems[0].on == "SHORT");
}
