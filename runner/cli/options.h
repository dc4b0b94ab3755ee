// The command line as typed.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace relight {

struct Options {
  std::string command;  // plan | run | resume | ...
  std::string runbook;
  std::string backup;             // verify, window
  std::string around;             // window
  std::string passphrase_file;    // verify
  std::string database;           // peek
  std::string run;                // RUN: an id, a unique start of one, or "" for the latest
  std::string step;               // STEP of log and peek, TYPE of steps, COMMAND of help
  std::vector<std::string> sets;  // NAME=VALUE
  std::string inputs_file;
  bool full = false;  // --depth full
  bool json = false, yes = false, check_secrets = false;
  int jobs = 4;
  std::uint64_t seed = 1;  // rehearse
  std::vector<std::string> approvals;
  std::string amend;
  std::vector<std::string> skip, because, again, done;
  std::string to;                       // rollback: a step; peek: a moment
  std::string format = "text", out;     // report; `out` of peek, too
  std::string table, where, sql, into;  // peek
  std::string drop;                     // keep
  std::string state;                    // --state, or the default
};

struct Parsed {
  Options options;
  int exit = -1;  // 0 or 2: the command line was answered already (help, a mistake)
};

// Prints help or the mistake itself, with the near name of a misspelt command.
Parsed parse_command_line(int argc, char** argv);

}  // namespace relight
