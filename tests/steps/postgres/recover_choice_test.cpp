// Which base backup a recovery begins with, and which side of a moment it ends on.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// base-1, row 1, base-2, row 2, base-3, row 3.
struct Three {
  Source source;
  std::string bases = source.server.folder() + "/bases", first, second, third, xid;
  std::string before_second;  // a position

  Three() {
    Postgres& server = source.server;
    const auto base = [&](const char* number) {
      server.base_backup(bases + "/base-" + number, {"--format=tar"});
    };
    base("1");
    source.insert(1);
    first = source.now();
    base("2");
    before_second = source.lsn();
    xid = server.value("with new as (insert into t values (2) returning 1) select txid_current()");
    second = source.now();
    base("3");
    source.insert(3);
    third = source.now();
    server.archive_now();
    server.stop();
    give_to_postgres(bases);
  }
  Json wanted(const std::string& to, const Json& more = Json::object()) const {
    Json json = {{"base", bases}, {"wal", {source.server.archive_folder()}}, {"to", to}};
    json.update(more);
    return json;
  }
};

const Three& three() {
  static const Three one;
  return one;
}

std::string told(const Json& params) {
  const Outcome plan = RecoverAttempt(params).preview();
  REQUIRE(plan.error == "");
  return plan.value["summary"].get<std::string>() + plan.value["hints"].dump() +
         plan.value["problems"].dump() + plan.value["mends"].dump();
}

void holds(const std::string& text, const std::string& part) {
  CHECK_MESSAGE(text.find(part) != std::string::npos, "should hold: " << part << "\nis: " << text);
}

std::string recovered(const Json& params) {
  const RecoverAttempt attempt(params);
  const Outcome done = attempt.apply();
  CAPTURE(params.dump());
  REQUIRE(done.error == "");
  return rows_of(attempt.data());
}

}  // namespace

TEST_CASE("of several base backups the newest that leads to the moment is taken, and the others are named") {
  const auto begins = [](const std::string& number) {
    return "begins with the base backup " + three().bases + "/base-" + number + " of 20";
  };
  const std::string latest = told(three().wanted("latest"));
  holds(latest, begins("3"));
  holds(latest, "; older: " + three().bases + "/base-2 of 20");
  CHECK(latest.find("too new") == std::string::npos);
  const std::string second = told(three().wanted(three().second));
  holds(second, begins("2"));
  holds(second, "; too new: " + three().bases + "/base-3 of 20");
  holds(told(three().wanted(three().first)), begins("1"));
  holds(told(three().wanted("xid:" + three().xid)), begins("2"));
  holds(told(three().wanted("lsn:" + three().before_second)), begins("2"));
  const std::string none = told(three().wanted("2020-01-01T00:00:00+02:00"));
  holds(none, "the moment lies before the end of the base backup: 2019-12-31T22:00:00Z");

  CHECK(recovered(three().wanted("latest")) == "1 2 3");
  CHECK(recovered(three().wanted("xid:" + three().xid)) == "1 2");
  CHECK(recovered(three().wanted(three().first)) == "1");

  // The choice is kept to: a newer one that comes in between changes nothing.
  const RecoverAttempt attempt(three().wanted(three().first));
  REQUIRE(attempt.apply("postgres.recover:decided").killed);
  REQUIRE(attempt.apply("postgres.recover:unpacked").killed);
  REQUIRE(attempt.apply().error == "");
  CHECK(rows_of(attempt.data()) == "1");
}

TEST_CASE("a time after the last commit is refused, or taken for all that there is where that was written") {
  const std::string far = "2120-01-01T01:00:00+01:00";
  holds(told(three().wanted(far)),
        "the moment lies after the end of the WAL: 2120-01-01T00:00:00Z: the last commit");
  const Json latest = three().wanted(far, {{"past_end", "latest"}});
  const std::string plan = told(latest);
  holds(plan, " to 2120-01-01T00:00:00Z, 0/");
  holds(plan, "2120-01-01T00:00:00Z lies after the end of the WAL, whose last commit is of 20");
  CHECK(recovered(latest) == "1 2 3");
  // Nothing else passes the end.
  holds(told(three().wanted("lsn:7F/0", {{"past_end", "latest"}})),
        "the moment lies after the end of the WAL");
  holds(told(three().wanted("name:no", {{"past_end", "latest"}})),
        "the WAL does not hold this restore point");
}

TEST_CASE("with inclusive = false what is of that very moment is left out") {
  const RecoverAttempt latest(three().wanted("latest"));
  const std::string last = latest.apply().value["last_commit"];
  const Json without = {{"inclusive", false}};
  CHECK(recovered(three().wanted(last)) == "1 2 3");
  CHECK(recovered(three().wanted(last, without)) == "1 2");
  CHECK(recovered(three().wanted("xid:" + three().xid)) == "1 2");
  CHECK(recovered(three().wanted("xid:" + three().xid, without)) == "1");
  holds(told(three().wanted("lsn:" + three().before_second, without)), " to before 0/");
  CHECK(recovered(three().wanted("lsn:" + three().before_second, without)) == "1");
  holds(told(three().wanted("latest", without)), "this moment cannot be stopped before: latest");
}
