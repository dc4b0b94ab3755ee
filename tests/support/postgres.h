// A real PostgreSQL 15 of a test's own: in a temporary folder, on a free port and a private socket, run by
// the user postgres, gone with the object (and with the test process, however that ends).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/sql.h"

namespace relight {

struct PostgresOptions {
  bool fsync = false;
  bool archive = false;                  // WAL is archived into archive_folder()
  std::vector<std::string> initdb = {};  // further arguments, as "--data-checksums", "--wal-segsize=1"
  std::map<std::string, std::string> settings = {};  // further settings, as they stand in postgresql.conf
  std::vector<std::string> env = {};                 // of the server, further: "NAME=VALUE"
};

class Postgres {
 public:
  enum class Stop { fast, immediate, kill };

  explicit Postgres(PostgresOptions options = {});  // initdb and start
  ~Postgres();
  Postgres(const Postgres&) = delete;

  void start();  // returns when it takes connections; throws Error with the end of its log
  void stop(Stop how = Stop::fast);  // returns when it has ended; not running: done
  bool running() const { return pid_ > 0; }
  int pid() const { return pid_; }
  void reload() const;  // returns when a new session runs with the files of now

  // Below one folder that the user postgres owns and that is removed with the object.
  const std::string& folder() const { return folder_.path(); }
  std::string data() const { return folder() + "/data"; }
  std::string archive_folder() const { return folder() + "/archive"; }
  std::string log() const { return folder() + "/log"; }
  const std::string& socket_folder() const { return folder_.path(); }
  int port() const { return port_; }

  std::string conninfo(const std::string& database = "postgres") const;  // by the socket, as user postgres
  std::string url(const std::string& database = "postgres") const;       // by 127.0.0.1, as user postgres
  sys::Sql connect(const std::string& database = "postgres") const;
  void execute(const std::string& sql, const std::string& database = "postgres") const;
  std::string value(const std::string& sql, const std::string& database = "postgres") const;  // the first one

  // Ends the WAL segment at hand and waits until it is archived; returns its name.
  std::string archive_now() const;

  // pg_basebackup into the folder `to`, made as the user postgres; `arguments` as "--format=tar", "--gzip",
  // "--wal-method=none", "--tablespace-mapping=OLD=NEW".
  void base_backup(const std::string& to, const std::vector<std::string>& arguments = {}) const;

  // One of PostgreSQL's programs, as user postgres, connected by PGHOST, PGPORT and PGUSER; returns its
  // stdout, or throws Error.
  std::string run(const std::string& program, const std::vector<std::string>& arguments) const;

  static std::string program(const std::string& name) { return "/usr/lib/postgresql/15/bin/" + name; }

 private:
  PostgresOptions options_;
  sys::TempFolder folder_;
  int port_;
  int pid_ = 0;
};

}  // namespace relight
