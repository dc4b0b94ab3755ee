// A server that runs, and one of its databases: how a step, PostgreSQL's programs and later steps reach it.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/params.h"
#include "runner/step/step.h"
#include "runner/sys/docker.h"
#include "runner/sys/error.h"
#include "runner/sys/sql.h"
#include "steps/postgres/lib/client_program.h"

namespace relight::postgres {

class DatabaseServer {
 public:
  // From the fields `server`, `password` and, where the type has them, `database` and `via`. Throws a refused
  // Error for a text that libpq cannot read and for a password that stands in it. `in_via`: it is the server
  // in that container.
  DatabaseServer(const Params& params, Call& call, bool in_via = true);

  // By libpq's keywords, none of them a password. `image`: whose programs are to reach it; empty: this
  // host's.
  DatabaseServer(std::map<std::string, std::string> words, std::string database, const Call& call,
                 std::string image = "");

  const std::string& database() const { return database_; }
  std::string url(const std::string& database) const;  // without the password

  // "": the database for administration. No time limits of the server's hold in the session; a query ends
  // when the call must stop, so the call outlives it.
  sys::Sql connect(const Call& call, const std::string& database = "") const;

  // For a preview: nothing, and a hint with `until` behind it, where the server does not answer yet.
  std::optional<sys::Sql> foresee(const Call& call, Preview& preview, const std::string& until = "") const;

  // Whether its address means another server, or none, in a container.
  bool by_address_of_this_host() const;

  // As primary_conninfo has it, the password among it. `name`: the application_name of the standby.
  std::string primary_conninfo(const std::string& name) const;

  // For PostgreSQL's programs: nothing of it is seen in a list of processes.
  std::map<std::string, std::string> environment() const;

  // A program of the client that fits it: of the image, where the server runs in a container; else of this
  // host. 0: its major version is not known.
  ClientProgram program(const std::string& name, int major, const Call& call) const;
  bool in_container() const { return !image_.empty(); }

  // The application_name of every session of this step, at most 63 bytes.
  const std::string& session() const { return session_; }

 private:
  void reach_container(const Params& params, Call& call);

  std::map<std::string, std::string> words_;      // libpq's keywords, as given
  std::map<std::string, std::string> variables_;  // and as its variables
  std::string database_, administration_, session_, password_;
  std::string image_;                 // of its container
  std::optional<Error> unreachable_;  // why the container of `via` has no address now
};

std::string address_of(const sys::Container& container);  // for libpq

// The fields by which a step names it, for a type to declare.
Field server_field();
Field server_via_field();
Field password_field();

// "PORT/DATABASE" of a server of this host, else "HOST:PORT/DATABASE": for Step::targets.
std::string database_target(const Params& params);

// `text`, or where it is longer than `limit` its start and a hash: names of PostgreSQL end at 63 bytes.
std::string shortened(const std::string& text, std::size_t limit = 63);

// Ends every session of that application_name and waits until it is gone. A needs_person Error names one that
// stays.
void end_sessions_named(sys::Sql& sql, const std::string& session);
// What earlier attempts of the step left at its server: programs in images, and sessions.
void end_left_at_server(const Params& params, Call& call);

}  // namespace relight::postgres
