// Drives the program relight-crashing: what is to happen at which pass of a failpoint, and what happened.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/proc.h"
#include "tests/matrix/crash_file.h"

namespace relight {

std::string crashing_program();

struct Crash {
  CrashFile::Kind kind = CrashFile::Kind::none;
  std::uint32_t at = 0;  // the pass, 1 being the first; 0: the first pass of the failpoint `name`
  std::string name = {};
  std::uint32_t victims = 0;  // CrashFile::Victim
  int error_number = 0;
  bool torn = false;  // and the journal's last batch, if it was not synced, is on the disk in part
};

struct Pass {
  std::string name;
  int pid;
  bool can_fail;
};

class Crashing {
 public:
  Crashing();
  ~Crashing();
  Crashing(const Crashing&) = delete;
  const std::string& path() const { return path_; }  // the crash file: the program finds it by crash_variable

  // Of the next start of the program. `earlier`: what must be gone by the time that it records anything.
  void expect(const Crash& crash, const std::vector<std::string>& file_systems,
              const std::vector<sys::ProcStat>& earlier);

  // While the program runs, asked now and then: strikes where a process that is not root has come to it.
  void strike_if_asked();

  std::vector<Pass> passes() const;  // of the last start
  std::string struck() const;        // the name of the pass at which the fault happened; "": it did not
  bool struck_relight() const;       // relight itself passed it
  std::string outlived() const;      // a process of `earlier` that was alive still, "12 (sh)"; empty: none

  // What the program has started and is alive, with the program itself; services are no part of it.
  std::vector<sys::ProcStat> alive() const;
  void end_all() const;  // SIGKILL to all of them, and waits

 private:
  sys::TempFolder folder_;
  std::string path_;
  CrashFile* file_;
};

}  // namespace relight
