// The quiet server: PostgreSQL on a data directory that nobody else uses yet, as this step's own child.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/sys/sql.h"
#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/wal.h"

namespace relight::postgres {

// The pid of the server that runs on a data directory, by its postmaster.pid.
std::optional<int> running_server(const std::string& data_folder);
void refuse_while_running(const std::string& data_folder);  // a refused Error names its pid

// Ends every process of an earlier attempt that still works in the folder, the server first, and waits for
// them. A needs_person Error names one that cannot be ended. `services_only`: nobody's but those that relight
// has started as services: in a folder that others may visit.
void end_left_behind(const std::string& folder, bool services_only = false);

// By the last line of its postmaster.pid. Asking by a connection would fill its log with refusals.
bool takes_connections(const std::string& data_folder);

// A session with a quiet server; it does not take any: a transient Error.
sys::Sql connect_quietly(const std::string& socket_folder, const std::string& database,
                         const std::string& role, const Call& call);

// "paused", "pause requested", "not paused", or "open" where it recovers no more.
std::string recovery_state(sys::Sql& sql);

class QuietServer {
 public:
  // Starts it with FOLDER/relight.work/postgresql.conf. Its log lines go to the step's log. `places`: what it
  // sees besides, in an image.
  QuietServer(const Programs& programs, const std::string& data_folder, Call& call,
              std::vector<std::string> places = {}, const std::map<std::string, std::string>& env = {});
  ~QuietServer();  // ends it, at once, where stop() was not called
  QuietServer(const QuietServer&) = delete;

  // By the private socket; not there yet: a transient Error.
  sys::Sql connect(const std::string& database, const std::string& role);

  // Waits until it takes connections, and, where it recovers, until it has paused or, when nobody could have
  // looked at a pause, has gone on by itself. `segments`: for the progress.
  enum class Found { paused, open };
  Found await(const std::string& role, std::size_t segments);

  void promote(const std::string& role);  // from the pause; returns when it takes writes
  void stop();                            // cleanly: a permanent Error when it ended otherwise

  // From its log: the highest timeline of which it read a segment, and when the last transaction ended.
  Timeline timeline_read() const;
  std::string last_completed() const;

 private:
  void drain();  // log lines that have come
  [[noreturn]] void ended_by_itself();
  bool ended() const;

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace relight::postgres
