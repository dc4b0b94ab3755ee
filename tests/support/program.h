// The program itself, run as an operator runs it, with a state folder of its own.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/json.h"
#include "runner/sys/process.h"

namespace relight {

struct Ran {
  int exit = 0;
  std::string out, err;
};

// A folder with a runbook, a state folder and whatever the steps write.
class Bench {
 public:
  Bench();
  ~Bench();
  const std::string& path() const { return folder_.path(); }
  std::string file(const std::string& name) const { return path() + "/" + name; }
  void write(const std::string& name, const std::string& text, int mode = 0644) const;
  std::string read(const std::string& name) const;  // "" when it is not there

  std::string state = "state";     // the state folder's name
  std::vector<std::string> under;  // what relight is started by, for a limit of its own: argv before its own

  // `relight ARGS` with this state folder, without a terminal.
  Ran relight(std::vector<std::string> args) const;
  Ran run(const std::string& runbook, std::vector<std::string> more = {}) const;  // writes book.lua, runs it
  // Started, and left running; a process of its own group, to be signalled and waited for.
  int start(std::vector<std::string> args) const;

  Json status() const;  // of the latest run
  std::string state_of(const std::string& step) const;
  std::string run_state() const;

 private:
  std::vector<std::string> argv_of() const;
  sys::TempFolder folder_;
};

// A runbook with these steps and these fields of its head. Its input `dir` is the folder to work in; in the
// steps `sh(name, line, more)` is a shell.run there, whose undo appends "undo NAME" to the file `out`.
std::string shell_book(const std::string& steps, const std::string& fields = "");

// Without the line breaks of 80 columns.
std::string flat(const std::string& text);

// Waits until the file is there, at most a minute; a failed test otherwise.
void wait_for_file(const std::string& path);
// The exit code of a process that start() started: 128 + signal when one ended it.
int wait_for_exit(int pid);

}  // namespace relight
