// PostgreSQL for Ember: a connection, its results, and a small pool.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

struct pg_conn;

namespace ember {

struct DatabaseError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using Row = std::vector<std::string>;  // NULL is ""; no column that is read may be NULL

class Connection {
 public:
  explicit Connection(const std::string& url);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  std::vector<Row> query(const std::string& sql, const std::vector<std::string>& parameters = {});
  void execute(const std::string& sql);  // one or more statements
  bool usable() const;                   // connected, and in no transaction

 private:
  pg_conn* connection_;
};

// A transaction: rolled back unless committed.
class Transaction {
 public:
  Transaction(Connection& connection, const std::string& begin = "begin");
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Connection& connection_;
  bool open_ = true;
};

// Hands out connections, one thread each; those that broke are not taken back.
class Pool {
 public:
  explicit Pool(std::string url) : url_(std::move(url)) {}

  class Lease {
   public:
    Lease(Pool& pool, std::unique_ptr<Connection> connection)
        : pool_(pool), connection_(std::move(connection)) {}
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Connection& operator*() { return *connection_; }
    Connection* operator->() { return connection_.get(); }

   private:
    Pool& pool_;
    std::unique_ptr<Connection> connection_;
  };
  Lease take();

 private:
  std::string url_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

std::string bytea(const std::string& bytes);        // as a parameter
std::string from_bytea(const std::string& column);  // as a column holds it

}  // namespace ember
