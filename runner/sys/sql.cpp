#include "runner/sys/sql.h"

#include <fmt/core.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <future>
#include <thread>

#include "runner/sys/text.h"

namespace relight::sys {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookEvery{250};        // how often `stop` is asked
constexpr std::chrono::milliseconds kCancelWithin{5000};    // how long a cancelled query has to end
constexpr std::chrono::milliseconds kConnectWithin{10000};  // where no connect_timeout is given

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Answer = std::unique_ptr<PGresult, Clear>;

// Passing by themselves: connection faults, full or starting or stopping servers, deadlocks, locks held; a
// full disk (53100) does not.
bool is_passing(std::string_view state) {
  if (state == "53100") return false;
  return state.starts_with("08") || state.starts_with("53") || state.starts_with("57P0") ||
         state == "40001" || state == "40P01" || state == "55P03" || state == "55006";
}

// A refused login says its SQLSTATE only within the text of PQERRORS_VERBOSE ("FATAL:  57P03: starting up").
std::string state_in(std::string_view message) {
  for (std::size_t at = message.find(":  "); at != std::string_view::npos; at = message.find(":  ", at + 1)) {
    const std::string_view state = message.substr(at + 3, 5);
    const bool looks = state.size() == 5 && message.substr(at + 8, 2) == ": " &&
                       std::all_of(state.begin(), state.end(), [](char c) {
                         return std::isdigit(static_cast<unsigned char>(c)) != 0 || (c >= 'A' && c <= 'Z');
                       });
    if (looks) return std::string(state);
  }
  return "";
}

void replace_all(std::string& text, const std::string& what, std::string_view with) {
  if (what.empty()) return;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
}

// libpq's text in one line: no LOCATION, no SQLSTATE (it is shown behind), no line ends.
std::string one_line(const std::string& message, const std::string& state) {
  std::vector<std::string> lines;
  for (const std::string& line : split(message, '\n')) {
    const std::string text = trim(line);
    if (!text.empty() && !text.starts_with("LOCATION:")) lines.push_back(text);
  }
  std::string text = join(lines, "; ");
  if (!state.empty()) replace_all(text, ":  " + state + ": ", ": ");
  return text;
}

std::string text_or_empty(const char* text) {
  return text == nullptr ? "" : text;
}

}  // namespace

struct Sql::State {
  std::unique_ptr<PGconn, Finish> connection;
  std::string name;  // HOST:PORT/DATABASE, for messages
  std::function<bool()> stop;
  std::chrono::milliseconds timeout{0};

  SqlError error(ErrorKind kind, const char* what, std::string why, std::string hint = "",
                 std::string state = "") const {
    const std::string password = connection ? text_or_empty(PQpass(connection.get())) : "";
    if (password.size() > 3) {
      replace_all(why, password, "***");
      replace_all(hint, password, "***");
    }
    return SqlError(Error(kind, what, name, std::move(why), std::move(hint)), std::move(state));
  }

  SqlError lost(const char* what) const {
    const std::string message = one_line(PQerrorMessage(connection.get()), "");
    return error(ErrorKind::transient, what, message.empty() ? "the connection is gone" : message);
  }

  // Waits for the socket; false: `until` has come first.
  bool wait_for(short events, Clock::time_point until) const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0) return false;
    struct pollfd socket {
      PQsocket(connection.get()), events, 0
    };
    const int ready = ::poll(&socket, 1, static_cast<int>(std::min(left, kLookEvery).count()));
    if (ready < 0 && errno != EINTR) throw system_error(errno, "cannot wait for the server", name);
    return ready > 0;
  }

  bool told_to_stop() {
    try {
      return stop && stop();
    } catch (...) {  // it may throw instead of saying true
      cancel();
      throw;
    }
  }

  void connect(const std::string& conninfo, const std::map<std::string, std::string>& settings);
  using Sink = std::function<void(std::string_view)>;
  using Source = std::function<std::string_view()>;
  std::vector<Answer> collect(const char* what, const Sink& sink = {}, const Source& source = {});
  bool pass_on(const char* what, const Sink& sink);
  void feed(const char* what, const Source& source);
  void cancel();
};

void Sql::State::connect(const std::string& conninfo, const std::map<std::string, std::string>& settings) {
  const char* const what = "cannot connect to the database";
  std::vector<const char*> keys{"fallback_application_name", "client_encoding", "dbname"};
  std::vector<const char*> values{"relight", "UTF8", conninfo.c_str()};
  for (const auto& [key, value] : settings) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  connection.reset(PQconnectStartParams(keys.data(), values.data(), 1));
  if (!connection) throw Error(ErrorKind::transient, what, "libpq", "out of memory");
  PGconn* const c = connection.get();
  PQsetErrorVerbosity(c, PQERRORS_VERBOSE);
  PQsetNoticeReceiver(
      c, [](void*, const PGresult*) {}, nullptr);
  if (PQhost(c) == nullptr || *text_or_empty(PQdb(c)).c_str() == '\0') {
    // libpq's own text quotes from the connection text, in which a password may stand.
    name = "the connection text";
    throw error(ErrorKind::permanent, what, "libpq cannot read it",
                "write postgresql://USER@HOST:PORT/DATABASE, or host=... port=... dbname=... user=...");
  }
  name = fmt::format("{}:{}/{}", text_or_empty(PQhost(c)), text_or_empty(PQport(c)), text_or_empty(PQdb(c)));

  std::chrono::milliseconds within = kConnectWithin;
  PQconninfoOption* options = PQconninfo(c);
  for (const PQconninfoOption* one = options; one != nullptr && one->keyword != nullptr; ++one)
    if (std::string_view(one->keyword) == "connect_timeout" && one->val != nullptr)
      if (const auto given = parse_duration(std::string(one->val) + "s"); given && given->count() > 0)
        within = *given;
  PQconninfoFree(options);

  const Clock::time_point until = Clock::now() + within;
  PostgresPollingStatusType state =
      PQstatus(c) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
    if (Clock::now() >= until)
      throw error(ErrorKind::transient, what, "no answer within " + show_duration(within));
    if (wait_for(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, until)) state = PQconnectPoll(c);
  }
  if (state == PGRES_POLLING_FAILED) {
    const std::string message = PQerrorMessage(c), sqlstate = state_in(message);
    // Without a SQLSTATE no server has answered: the network's fault, unless it is of our own asking.
    const bool own = PQconnectionNeedsPassword(c) != 0 || message.find("certificate") != std::string::npos ||
                     message.find("does not support SSL") != std::string::npos;
    const bool passing = sqlstate.empty() ? !own : is_passing(sqlstate);
    throw error(passing ? ErrorKind::transient : ErrorKind::permanent, what, one_line(message, sqlstate), "",
                sqlstate);
  }
  PQsetErrorVerbosity(c, PQERRORS_DEFAULT);
  if (PQsetnonblocking(c, 1) != 0) throw lost(what);
}

// Asks the server to give the query up, then waits for its end; a server that does not obey loses the
// connection.
void Sql::State::cancel() {
  const Clock::time_point until = Clock::now() + kCancelWithin;
  std::future<void> sent;
  if (PGcancel* const request = PQgetCancel(connection.get())) {
    std::promise<void> done;
    sent = done.get_future();
    // A thread of its own: PQcancel connects without a time limit.
    std::thread([request, done = std::move(done)]() mutable {
      char reason[256];
      PQcancel(request, reason, sizeof reason);
      PQfreeCancel(request);
      done.set_value();
    }).detach();
  }
  bool ended = false;
  while (!ended && Clock::now() < until && PQstatus(connection.get()) == CONNECTION_OK) {
    if (PQisBusy(connection.get()) == 0) {
      const Answer rest(PQgetResult(connection.get()));
      const ExecStatusType status = PQresultStatus(rest.get());
      if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) break;
      ended = !rest;
    } else if (wait_for(POLLIN, until)) {
      PQconsumeInput(connection.get());
    }
  }
  // The server signals its backend twice, so that the second may come after the query has ended: the next
  // query waits until PQcancel says that all was sent.
  if (!ended || (sent.valid() && sent.wait_until(until) != std::future_status::ready)) connection.reset();
}

// What has come of a copy; true: that was its end.
bool Sql::State::pass_on(const char* what, const Sink& sink) {
  constexpr int end = -1, broken = -2;
  while (true) {
    char* bytes = nullptr;
    const int size = PQgetCopyData(connection.get(), &bytes, 1);
    if (size == broken) throw lost(what);
    if (size <= 0) return size == end;
    const std::unique_ptr<char, void (*)(void*)> freed(bytes, PQfreemem);
    try {
      sink({bytes, static_cast<std::size_t>(size)});
    } catch (...) {
      connection.reset();
      throw;
    }
  }
}

// All that a copy is to take. The server says what it does not like of it once it has all of it.
void Sql::State::feed(const char* what, const Source& source) {
  PGconn* const c = connection.get();
  Clock::time_point look = Clock::now() + kLookEvery;
  const auto may_go_on = [&] {
    if (Clock::now() < look) return;
    if (stop && stop()) throw error(ErrorKind::transient, what, "told to stop");
    look = Clock::now() + kLookEvery;
  };
  try {
    for (std::string_view piece = source(); !piece.empty(); piece = source()) {
      may_go_on();
      if (PQputCopyData(c, piece.data(), static_cast<int>(piece.size())) != 1) throw lost(what);
      int unsent = 0;
      while ((unsent = PQflush(c)) != 0) {
        if (unsent < 0) throw lost(what);
        may_go_on();
        if (wait_for(POLLIN | POLLOUT, look) && PQconsumeInput(c) == 0) throw lost(what);
      }
    }
    if (PQputCopyEnd(c, nullptr) != 1) throw lost(what);
  } catch (...) {
    connection.reset();
    throw;
  }
}

std::vector<Answer> Sql::State::collect(const char* what, const Sink& sink, const Source& source) {
  PGconn* const c = connection.get();
  bool copying = false;
  const Clock::time_point until = timeout.count() > 0 ? Clock::now() + timeout : Clock::time_point::max();
  Clock::time_point look = Clock::now() + kLookEvery;
  std::vector<Answer> results;
  while (true) {
    int unsent = PQflush(c);
    if (unsent < 0) throw lost(what);
    if (copying && pass_on(what, sink)) copying = false;
    while (unsent == 0 && !copying && PQisBusy(c) == 0) {
      Answer result(PQgetResult(c));
      if (!result) return results;
      const ExecStatusType status = PQresultStatus(result.get());
      if (status == PGRES_COPY_OUT && sink) {
        copying = !pass_on(what, sink);
        continue;
      }
      if (status == PGRES_COPY_IN && source) {
        feed(what, source);
        unsent = PQflush(c);
        if (unsent < 0) throw lost(what);
        break;
      }
      if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
        cancel();
        throw error(ErrorKind::permanent, what, "the statement wants to copy from or to the client");
      }
      results.push_back(std::move(result));
    }
    if (Clock::now() >= look) {
      if (told_to_stop()) {
        cancel();
        throw error(ErrorKind::transient, what, "told to stop");
      }
      look = Clock::now() + kLookEvery;
    }
    if (Clock::now() >= until) {
      cancel();
      throw error(ErrorKind::transient, what, "no answer within " + show_duration(timeout));
    }
    if (wait_for(static_cast<short>(POLLIN | (unsent > 0 ? POLLOUT : 0)), std::min(until, look)) &&
        PQconsumeInput(c) == 0)
      throw lost(what);
  }
}

namespace {

void check(const PGresult* result,
           const std::function<SqlError(ErrorKind, std::string, std::string, std::string)>& make) {
  const ExecStatusType status = PQresultStatus(result);
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) return;
  const auto field = [&](int code) { return text_or_empty(PQresultErrorField(result, code)); };
  const std::string state = field(PG_DIAG_SQLSTATE), primary = field(PG_DIAG_MESSAGE_PRIMARY);
  if (primary.empty())  // no server's word: the connection broke
    throw make(ErrorKind::transient, one_line(PQresultErrorMessage(result), ""), "", state);
  std::string why = primary;
  if (const std::string detail = field(PG_DIAG_MESSAGE_DETAIL); !detail.empty()) why += ": " + detail;
  if (const std::string context = field(PG_DIAG_CONTEXT); !context.empty()) why += ": " + context;
  std::replace(why.begin(), why.end(), '\n', ' ');
  throw make(is_passing(state) ? ErrorKind::transient : ErrorKind::permanent,
             why + " (SQLSTATE " + state + ")", field(PG_DIAG_MESSAGE_HINT), state);
}

constexpr const char* kQuery = "cannot query the database";

}  // namespace

const std::string& Rows::one() const {
  if (rows.empty() || rows[0].empty())
    throw Error(ErrorKind::permanent, kQuery, "the answer", "it holds no row");
  if (!rows[0][0]) throw Error(ErrorKind::permanent, kQuery, "the answer", "its first value is NULL");
  return *rows[0][0];
}

Sql::Sql(const std::string& conninfo, const std::map<std::string, std::string>& settings)
    : state_(std::make_unique<State>()) {
  state_->connect(conninfo, settings);
}
Sql::~Sql() = default;
Sql::Sql(Sql&&) noexcept = default;

Rows Sql::query(const std::string& sql, const std::vector<std::string>& parameters) {
  if (!state_->connection) throw state_->error(ErrorKind::transient, kQuery, "the connection was given up");
  std::vector<const char*> values;
  for (const std::string& parameter : parameters) {
    if (parameter.find('\0') != std::string::npos)
      throw state_->error(ErrorKind::permanent, kQuery, "a parameter holds a NUL byte");
    values.push_back(parameter.c_str());
  }
  if (PQsendQueryParams(state_->connection.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                        values.data(), nullptr, nullptr, 0) == 0)
    throw state_->lost(kQuery);
  Rows rows;
  for (const Answer& result : state_->collect(kQuery)) {
    check(result.get(), [&](ErrorKind kind, std::string why, std::string hint, std::string state) {
      return state_->error(kind, kQuery, std::move(why), std::move(hint), std::move(state));
    });
    const int columns = PQnfields(result.get()), count = PQntuples(result.get());
    for (int column = 0; column < columns; ++column) rows.columns.emplace_back(PQfname(result.get(), column));
    rows.rows.reserve(static_cast<std::size_t>(count));
    for (int row = 0; row < count; ++row) {
      std::vector<std::optional<std::string>>& cells = rows.rows.emplace_back();
      for (int column = 0; column < columns; ++column) {
        if (PQgetisnull(result.get(), row, column) != 0)
          cells.emplace_back();
        else
          cells.emplace_back(std::string(PQgetvalue(result.get(), row, column),
                                         static_cast<std::size_t>(PQgetlength(result.get(), row, column))));
      }
    }
  }
  return rows;
}

void Sql::execute(const std::string& sql) {
  const char* const what = "cannot execute the statement";
  if (!state_->connection) throw state_->error(ErrorKind::transient, what, "the connection was given up");
  if (PQsendQuery(state_->connection.get(), sql.c_str()) == 0) throw state_->lost(what);
  for (const Answer& result : state_->collect(what))
    check(result.get(), [&](ErrorKind kind, std::string why, std::string hint, std::string state) {
      return state_->error(kind, what, std::move(why), std::move(hint), std::move(state));
    });
}

std::uint64_t Sql::copy_out(const std::string& copy, const std::function<void(std::string_view)>& sink) {
  const char* const what = "cannot copy the rows";
  if (!state_->connection) throw state_->error(ErrorKind::transient, what, "the connection was given up");
  if (PQsendQuery(state_->connection.get(), copy.c_str()) == 0) throw state_->lost(what);
  std::uint64_t rows = 0;
  for (const Answer& result : state_->collect(what, sink)) {
    check(result.get(), [&](ErrorKind kind, std::string why, std::string hint, std::string state) {
      return state_->error(kind, what, std::move(why), std::move(hint), std::move(state));
    });
    rows += std::strtoull(PQcmdTuples(result.get()), nullptr, 10);
  }
  return rows;
}

void Sql::copy_in(const std::string& copy, const std::function<std::string_view()>& next) {
  const char* const what = "cannot copy the rows";
  if (!state_->connection) throw state_->error(ErrorKind::transient, what, "the connection was given up");
  if (PQsendQuery(state_->connection.get(), copy.c_str()) == 0) throw state_->lost(what);
  for (const Answer& result : state_->collect(what, {}, next))
    check(result.get(), [&](ErrorKind kind, std::string why, std::string hint, std::string state) {
      return state_->error(kind, what, std::move(why), std::move(hint), std::move(state));
    });
}

void Sql::stop_when(std::function<bool()> stop) {
  state_->stop = std::move(stop);
}
void Sql::timeout(std::chrono::milliseconds each_query) {
  state_->timeout = each_query;
}

std::string quote_identifier(const std::string& name) {
  std::string quoted = name;
  replace_all(quoted, "\"", "\"\"");
  return "\"" + quoted + "\"";
}

std::string quote_literal(const std::string& text) {
  std::string quoted = text;
  replace_all(quoted, "'", "''");
  if (quoted.find('\\') == std::string::npos) return "'" + quoted + "'";
  replace_all(quoted, "\\",
              "\\\\");  // whatever standard_conforming_strings says; the blank: never glued to a word
  return " E'" + quoted + "'";
}

}  // namespace relight::sys
