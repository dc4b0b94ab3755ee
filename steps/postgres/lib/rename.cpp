#include "steps/postgres/lib/rename.h"

#include <chrono>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/rename_definition.h"

namespace relight::postgres {
namespace {

using namespace std::chrono_literals;
using sys::quote_identifier;
using sys::quote_literal;

// Noted before the target is closed: {"allowed": whether it took connections}.
constexpr const char* closed_note = "closed";

// Autovacuum gives way to a rename by itself.
constexpr const char* sessions_query = R"(
SELECT 'pid ' || pid || coalesce(', ' || usename, '') ||
       CASE WHEN coalesce(application_name, '') = '' THEN '' ELSE ' (' || application_name || ')' END ||
       coalesce(' from ' || host(client_addr), '') || coalesce(', ' || state, ', ' || backend_type)
FROM pg_stat_activity
WHERE datname = $1 AND pid <> pg_backend_pid() AND backend_type NOT IN ('autovacuum worker', 'parallel worker')
UNION ALL
SELECT 'the prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = $1)";

// A name that needs no quotes anywhere, and no connection text is: it is also given to programs.
std::string hidden(const std::string& text) {
  std::string name = text;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-') c = '_';
  return shortened(name);
}

std::string database(const std::string& name) {
  return "DATABASE " + quote_identifier(name);
}

}  // namespace

std::vector<std::string> sessions_of(sys::Sql& sql, const std::string& name) {
  std::vector<std::string> sessions;
  for (const auto& row : sql.query(sessions_query, {name}).rows) sessions.push_back(row[0].value_or(""));
  return sessions;
}

std::vector<std::string> sessions_that_stay(sys::Sql& sql, const std::string& name, Call& call) {
  std::vector<std::string> open;
  sys::wait_until(
      2s, 50ms, [&] { return call.stop_wanted(); }, [&] { return (open = sessions_of(sql, name)).empty(); });
  call.stop_here_if_wanted();
  return open;
}

DatabaseSwitch::DatabaseSwitch(Call& call, sys::Sql& sql, std::string target)
    : call_(call),
      sql_(sql),
      target_(std::move(target)),
      fresh_(hidden("relight_" + call.run() + "_" + call.step())),
      old_(hidden("relight_old_" + call.run() + "_" + call.step())) {}

std::string DatabaseSwitch::new_mark() const {
  return "new " + call_.run() + " " + call_.step();
}
std::string DatabaseSwitch::old_mark() const {
  return "old " + call_.run() + " " + call_.step();
}
std::string DatabaseSwitch::half_mark() const {
  return "half " + call_.run() + " " + call_.step() + " ";
}

std::optional<std::string> DatabaseSwitch::mark_of(const std::string& name) const {
  const std::string prefix = std::string(mark_setting) + "=";
  const sys::Rows rows = sql_.query(
      "SELECT unnest(setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase "
      "WHERE s.setrole = 0 AND d.datname = $1",
      {name});
  for (const auto& row : rows.rows)
    if (row[0] && row[0]->starts_with(prefix)) return row[0]->substr(prefix.size());
  return std::nullopt;
}

bool DatabaseSwitch::there(const std::string& name) const {
  return !sql_.query("SELECT 1 FROM pg_database WHERE datname = $1", {name}).rows.empty();
}

DatabaseSwitch::State DatabaseSwitch::state() const {
  if (mark_of(target_) == new_mark()) return State::switched;
  if (mark_of(fresh_) == new_mark()) return State::marked;
  return State::nothing;
}

std::string DatabaseSwitch::kept() const {
  return mark_of(old_) == old_mark() ? old_ : "";
}

bool DatabaseSwitch::lets_in(const std::string& name) const {
  return sql_.query("SELECT datallowconn FROM pg_database WHERE datname = $1", {name}).one() == "t";
}
void DatabaseSwitch::let_in(const std::string& name, bool allowed) const {
  sql_.execute("ALTER " + database(name) + " ALLOW_CONNECTIONS " + (allowed ? "true" : "false"));
}
void DatabaseSwitch::set_mark(const std::string& name, const std::string& mark) const {
  sql_.execute("ALTER " + database(name) + " SET " + mark_setting + " TO " + quote_literal(mark));
}
void DatabaseSwitch::clear_mark(const std::string& name) const {
  sql_.execute("ALTER " + database(name) + " RESET " + mark_setting);
}

void DatabaseSwitch::drop(const std::string& name) const {
  if (!there(name)) return;
  // A template cannot be dropped; what a copy of one was made to be matters no more.
  sql_.execute("ALTER " + database(name) + " IS_TEMPLATE false");
  let_in(name, false);
  end_sessions_of(name);
  sql_.execute("DROP " + database(name));
}

void DatabaseSwitch::end_sessions_of(const std::string& name) const {
  std::vector<std::string> left;
  const bool gone = sys::wait_until(
      30s, 100ms, [this] { return call_.stop_wanted(); },
      [&] {
        sql_.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> "
            "pg_backend_pid()",
            {name});
        left = sessions_of(sql_, name);
        return left.empty();
      });
  call_.stop_here_if_wanted();
  if (!gone)
    throw Error(ErrorKind::needs_person, "sessions do not end", name, sys::join(left, "; "),
                "end them (COMMIT PREPARED or ROLLBACK PREPARED for a prepared transaction), then resume");
}

void DatabaseSwitch::make(const std::string& create_statement) {
  drop(fresh_);
  failpoint("postgres.restore:cleared");
  sql_.execute(create_statement);
}

std::string DatabaseSwitch::reached() const {
  const std::string mark = mark_of(fresh_).value_or("");
  return mark.starts_with(half_mark()) ? mark.substr(half_mark().size()) : "";
}
void DatabaseSwitch::reach(const std::string& how_far) {
  set_mark(fresh_, half_mark() + how_far);
}

void DatabaseSwitch::mark() {
  set_mark(fresh_, new_mark());
  failpoint("postgres.restore:marked");
}

// Nobody gets in from here on, and nobody is in when this returns; else it is as open as before.
void DatabaseSwitch::empty(const std::string& name, bool allowed, bool end_sessions) {
  const auto refuse_if_open = [&] {
    const std::vector<std::string> open = sessions_that_stay(sql_, name, call_);
    if (!open.empty())
      throw Error(ErrorKind::permanent, "the database is in use, so its name cannot be changed", name,
                  sys::join(open, "; "),
                  "stop what uses it before this step (service.stop), or write end_sessions = true");
  };
  if (!end_sessions) refuse_if_open();
  let_in(name, false);
  failpoint("postgres.restore:closed");
  try {
    end_sessions ? end_sessions_of(name) : refuse_if_open();
  } catch (...) {
    let_in(name, allowed);
    throw;
  }
}

void DatabaseSwitch::in_one_transaction(const std::vector<std::string>& statements) const {
  sql_.execute("BEGIN");
  try {
    for (const std::string& statement : statements) sql_.execute(statement);
    failpoint("postgres.restore:before_commit");
    sql_.execute("COMMIT");
  } catch (const Error&) {
    try {
      sql_.execute("ROLLBACK");
    } catch (const Error&) {
      // The first error is the cause; a connection that is gone has rolled back by itself.
    }
    throw;
  }
}

void DatabaseSwitch::commit(bool end_sessions, const std::function<std::vector<std::string>()>& carried) {
  switch (state()) {
    case State::switched:
      return;
    case State::nothing:
      throw Error(ErrorKind::permanent, "cannot switch to the new database", fresh_, "it is not whole");
    case State::marked:
      break;
  }
  let_in(fresh_, false);
  end_sessions_of(fresh_);
  std::vector<std::string> statements;
  bool allowed = true;
  if (there(target_)) {
    // An attempt that was killed may have closed it already: the first note is the truth.
    if (!call_.notes().contains(closed_note)) call_.note(closed_note, {{"allowed", lets_in(target_)}});
    allowed = call_.notes()[closed_note]["allowed"].get<bool>();
    empty(target_, allowed, end_sessions);
    statements = {"ALTER " + database(target_) + " RENAME TO " + quote_identifier(old_),
                  "ALTER " + database(old_) + " SET " + mark_setting + " TO " + quote_literal(old_mark())};
  }
  statements.push_back("ALTER " + database(fresh_) + " RENAME TO " + quote_identifier(target_));
  for (const std::string& statement : carried()) statements.push_back(statement);
  statements.push_back("ALTER " + database(target_) + " ALLOW_CONNECTIONS " + (allowed ? "true" : "false"));
  try {
    in_one_transaction(statements);
  } catch (const Error&) {
    if (there(target_) && state() == State::marked) let_in(target_, allowed);
    throw;
  }
  failpoint("postgres.restore:switched");
}

void DatabaseSwitch::revert(bool end_sessions) {
  const Json closed = call_.notes().value(closed_note, Json(nullptr));
  if (state() != State::switched) {
    // Closed, but not yet switched.
    if (!closed.is_null() && there(target_) && lets_in(target_) != closed["allowed"].get<bool>())
      let_in(target_, closed["allowed"].get<bool>());
    return;
  }
  const std::string old = kept();
  if (!closed.is_null() && old.empty())
    throw Error(ErrorKind::needs_person, "cannot put the old database back", old_,
                "it is not there, or not this run's",
                "see who dropped or renamed it; the new one stays in place");
  empty(target_, lets_in(target_), end_sessions);
  failpoint("postgres.restore:before_revert");
  std::vector<std::string> statements{"ALTER " + database(target_) + " RENAME TO " +
                                      quote_identifier(fresh_)};
  if (!old.empty()) {
    statements.push_back("ALTER " + database(old) + " RENAME TO " + quote_identifier(target_));
    statements.push_back("ALTER " + database(target_) + " RESET " + mark_setting);
    statements.push_back("ALTER " + database(target_) + " ALLOW_CONNECTIONS " +
                         (closed["allowed"].get<bool>() ? "true" : "false"));
  }
  in_one_transaction(statements);
  failpoint("postgres.restore:reverted");
}

void DatabaseSwitch::discard() {
  if (const std::string old = kept(); !old.empty()) drop(old);
  failpoint("postgres.restore:discarded");
  if (state() == State::switched) clear_mark(target_);
}

void DatabaseSwitch::drop_new() {
  if (state() == State::switched)
    throw Error(ErrorKind::permanent, "cannot drop the new database", target_, "it is current");
  drop(fresh_);
}

}  // namespace relight::postgres
