#include "examples/ember/schema.h"

#include <stdexcept>

#include "examples/ember/crypto.h"
#include "examples/ember/version.h"

namespace ember {
namespace {

// Only ever added to. The n-th leads to schema version n; 1.0.0 knows the first, 1.1.0 two, 1.2.0 all.
const char* const migrations[] = {
    R"(create table notes (
         id bigint generated always as identity primary key,
         title text not null,
         body text not null,
         created_at timestamptz not null default clock_timestamp());
       create table vault (
         name text primary key,
         sealed bytea not null,
         created_at timestamptz not null default clock_timestamp());
       create table attachments (
         id bigint generated always as identity primary key,
         note_id bigint not null references notes on delete cascade,
         name text not null,
         media_type text not null,
         size bigint not null check (size >= 0),
         sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
         created_at timestamptz not null default clock_timestamp());
       create index on attachments (note_id))",
    R"(alter table notes add column pinned boolean not null default false)",
    R"(alter table notes add column archived boolean not null default false)",
};

// What no migration should be: in no transaction, so that its first half stays.
void migrate_by_halves(Connection& connection) {
  connection.execute("alter table notes rename column body to content");
  connection.execute("update notes set title = upper(title)");
  connection.execute("select 1 / 0");
}

}  // namespace

int schema_of(Connection& connection) {
  if (connection.query("select to_regclass('schema_version')::text is not null")[0][0] != "t") return 0;
  return std::stoi(connection.query("select coalesce(max(version), 0) from schema_version")[0][0]);
}

int migrate(Connection& connection, const std::string& master_key) {
  const std::string how = broken();
  if (how == "migration" && schema_of(connection) < schema_version()) migrate_by_halves(connection);
  Transaction transaction(connection);
  connection.execute("select pg_advisory_xact_lock(7164646)");
  int found = schema_of(connection);
  if (found > schema_version())
    throw std::runtime_error("the database has schema " + std::to_string(found) + ", and ember " + version() +
                             " knows " + std::to_string(schema_version()) + ": start a newer ember");
  if (found == 0)
    connection.execute(
        "create table if not exists schema_version ("
        "version int primary key, applied_at timestamptz not null default clock_timestamp())");
  for (int next = found + 1; next <= schema_version(); ++next) {
    connection.execute(migrations[next - 1]);
    if (next == 1)
      connection.query("insert into vault (name, sealed) values ($1, $2)",
                       {canary_name, bytea(seal(master_key, canary_text))});
    if (next == 3 && how == "corrupts")
      connection.execute("update notes set body = 'lost' where id = (select min(id) from notes)");
    connection.query("insert into schema_version (version) values ($1)", {std::to_string(next)});
  }
  transaction.commit();
  return found;
}

}  // namespace ember
