// A PostgreSQL client over libpq: connect, query, cancel. One object, one thread.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/sys/error.h"

namespace relight::sys {

struct Rows {
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;  // NULL: nothing
  const std::string& one()
      const;  // the first value of the first row; a permanent Error when there is none or it is NULL
};

// Every fault of a connection or a query. `sqlstate` is empty where no server has spoken.
struct SqlError : Error {
  SqlError(Error error, std::string state) : Error(std::move(error)), sqlstate(std::move(state)) {}
  std::string sqlstate;
};

class Sql {
 public:
  // `conninfo`: a URL or keyword=value text of libpq; `settings` over it (host, port, dbname, user, password,
  // application_name, connect_timeout ...). A server that does not answer, is starting, or is full: a
  // transient Error. A refused login: a permanent one. Messages never hold the password.
  Sql(const std::string& conninfo, const std::map<std::string, std::string>& settings = {});
  ~Sql();
  Sql(Sql&&) noexcept;

  // Parameters travel beside the text, as texts. `stop` is asked four times a second: true cancels the query
  // and throws a transient Error, "told to stop"; what it throws itself is passed on. A SqlError carries the
  // server's message, detail, hint and SQLSTATE.
  Rows query(const std::string& sql, const std::vector<std::string>& parameters = {});
  void execute(const std::string& sql);  // one or more statements, no rows wanted
  // `copy ... to stdout`: hands its bytes on as they come; returns how many rows. What `sink` throws is
  // passed on, and the connection given up.
  std::uint64_t copy_out(const std::string& copy, const std::function<void(std::string_view)>& sink);
  // `copy ... from stdin`: sends the pieces that `next` gives, each good until the next is asked for; an
  // empty one is the end. What `next` throws is passed on, and the connection given up: nothing is copied.
  // The time limit does not count while it sends.
  void copy_in(const std::string& copy, const std::function<std::string_view()>& next);
  void stop_when(std::function<bool()> stop);
  void timeout(std::chrono::milliseconds each_query);  // 0: none

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string quote_identifier(const std::string& name);
std::string quote_literal(const std::string& text);

}  // namespace relight::sys
