#include "examples/ember/database.h"

#include <libpq-fe.h>

#include "examples/ember/crypto.h"

namespace ember {
namespace {

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

[[noreturn]] void fail(PGconn* connection) {
  std::string message = PQerrorMessage(connection);
  while (!message.empty() && message.back() == '\n') message.pop_back();
  throw DatabaseError(message);
}

}  // namespace

Connection::Connection(const std::string& url) {
  // The conninfo in `dbname` is expanded; what follows it holds only where it says nothing.
  const char* names[] = {"connect_timeout", "application_name", "dbname", nullptr};
  const char* values[] = {"3", "ember", url.c_str(), nullptr};
  connection_ = PQconnectdbParams(names, values, 1);
  if (PQstatus(connection_) != CONNECTION_OK) {
    DatabaseError error(PQerrorMessage(connection_));
    PQfinish(connection_);
    throw error;
  }
}

Connection::~Connection() {
  PQfinish(connection_);
}

std::vector<Row> Connection::query(const std::string& sql, const std::vector<std::string>& parameters) {
  std::vector<const char*> values;
  for (auto& parameter : parameters) values.push_back(parameter.c_str());
  Result result(PQexecParams(connection_, sql.c_str(), static_cast<int>(values.size()), nullptr,
                             values.data(), nullptr, nullptr, 0),
                PQclear);
  auto status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) fail(connection_);
  std::vector<Row> rows;
  for (int r = 0; r < PQntuples(result.get()); ++r) {
    Row row;
    for (int c = 0; c < PQnfields(result.get()); ++c)
      row.emplace_back(PQgetvalue(result.get(), r, c),
                       static_cast<std::size_t>(PQgetlength(result.get(), r, c)));
    rows.push_back(std::move(row));
  }
  return rows;
}

void Connection::execute(const std::string& sql) {
  Result result(PQexec(connection_, sql.c_str()), PQclear);
  auto status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) fail(connection_);
}

bool Connection::usable() const {
  // Reads what has come: a server that went away has sent its end, and the status says so.
  return PQconsumeInput(connection_) == 1 && PQstatus(connection_) == CONNECTION_OK &&
         PQtransactionStatus(connection_) == PQTRANS_IDLE;
}

Transaction::Transaction(Connection& connection, const std::string& begin) : connection_(connection) {
  connection_.execute(begin);
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    connection_.execute("rollback");
  } catch (const DatabaseError&) {
    // The connection is gone, and the transaction with it; the error that brought us here says why.
  }
}

void Transaction::commit() {
  connection_.execute("commit");
  open_ = false;
}

Pool::Lease Pool::take() {
  {
    std::lock_guard lock(mutex_);
    while (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      if (connection->usable()) return Lease(*this, std::move(connection));
    }
  }
  return Lease(*this, std::make_unique<Connection>(url_));
}

Pool::Lease::~Lease() {
  if (!connection_->usable()) return;
  std::lock_guard lock(pool_.mutex_);
  pool_.idle_.push_back(std::move(connection_));
}

std::string bytea(const std::string& bytes) {
  return "\\x" + to_hex(bytes);
}

std::string from_bytea(const std::string& column) {
  auto bytes = column.starts_with("\\x") ? from_hex(column.substr(2)) : std::nullopt;
  if (!bytes) throw DatabaseError("a bytea column does not hold \\x and hex digits");
  return *bytes;
}

}  // namespace ember
