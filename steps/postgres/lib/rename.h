// The switch of a database: a new one, restored under a hidden name, and the current one change names in one
// transaction. The counterpart of runner/step/switch.h.
//
// Each bears a mark (a setting of the database that nothing else uses) that says whose it is; marks, names
// and all that is carried over are changed in that one transaction, so that the marks tell what has happened.
// Every call converges: killed at any instant and called again, it ends in the same state.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/sys/sql.h"

namespace relight::postgres {

class DatabaseSwitch {
 public:
  enum class State {
    nothing,   // the new database is absent or unfinished
    marked,    // it is whole, under its hidden name; the target is as it was
    switched,  // it is the target; the old one is kept under a hidden name, unless there was none
  };

  // The connection is to another database of the server than these.
  DatabaseSwitch(Call& call, sys::Sql& sql, std::string target);

  const std::string& fresh() const { return fresh_; }  // the hidden name of the new one
  State state() const;
  bool there(const std::string& database) const;
  std::string kept() const;  // the old database's name when it is there, else ""

  // A fresh, empty database in place of what an earlier attempt left of it.
  void make(const std::string& create_statement);
  // How far the new database is, as its maker has marked it, or "": what was committed in it before is then
  // DURABLE. `drop_new` and `make` forget it.
  std::string reached() const;
  void reach(const std::string& how_far);
  // It is whole: marks it, and lets nobody in until the switch. DURABLE
  void mark();
  // marked -> switched. The old one takes no connections from here on, and none may be open: they are ended
  // where `end_sessions` says so, else the Error names them and the old one is as before. `carried` gives the
  // statements that the new one gets in the same transaction. Atomic, DURABLE
  void commit(bool end_sessions, const std::function<std::vector<std::string>()>& carried);
  // switched -> marked, and the old one as it was. Atomic, DURABLE
  void revert(bool end_sessions);
  void discard();   // frees the old one, and takes the mark off the target
  void drop_new();  // not switched: frees the new one

 private:
  std::optional<std::string> mark_of(const std::string& database) const;
  std::string old_mark() const;
  std::string new_mark() const;
  std::string half_mark() const;
  void let_in(const std::string& database, bool allowed) const;
  bool lets_in(const std::string& database) const;
  void set_mark(const std::string& database, const std::string& mark) const;
  void clear_mark(const std::string& database) const;
  void drop(const std::string& database) const;
  void end_sessions_of(const std::string& database) const;
  void empty(const std::string& database, bool allowed, bool end_sessions);
  void in_one_transaction(const std::vector<std::string>& statements) const;

  Call& call_;
  sys::Sql& sql_;
  std::string target_, fresh_, old_;
};

// The sessions that a rename would wait for, as a plan tells them: "pid 7, ember (app) from 10.0.0.3, idle".
std::vector<std::string> sessions_of(sys::Sql& sql, const std::string& database);
// Those that are still there after 2 s: one whose program was ended, or has closed it, is for a moment more.
std::vector<std::string> sessions_that_stay(sys::Sql& sql, const std::string& database, Call& call);

}  // namespace relight::postgres
