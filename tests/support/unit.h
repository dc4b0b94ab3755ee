// Units of the systemd of a test's machine (machine.h), and steps that drive them.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/test_call.h"

namespace relight {

// systemctl on that machine: its exit code.
int systemctl(const std::vector<std::string>& arguments);

// A unit of that machine; ended and forgotten with the object.
class TestUnit {
 public:
  explicit TestUnit(std::string name);
  ~TestUnit();
  TestUnit(const TestUnit&) = delete;

  const std::string& name() const { return name_; }
  // Below a folder of the unit's own.
  std::string path(const std::string& name) const { return folder_.path() + "/" + name; }
  std::string script(const std::string& name, const std::string& text) const;  // returns its path

  // Writes the unit's file: the lines of its section [Service]. systemd is not told.
  void install(const std::string& service, const std::string& before = "") const;
  void remove_file() const;

  std::string property(const std::string& name) const;
  std::string state() const { return property("ActiveState"); }
  int pid() const;

 private:
  std::string name_;
  sys::TempFolder folder_;
};

// The [Service] lines of a web server in perl that answers every request with `text`. `forks`: as
// Type=forking has it.
std::string web_server(const TestUnit& unit, int port, const std::string& text = "ok", bool forks = false);

// Those of a unit that is up once its file `go` is there; its file `starts` has a pid a line.
std::string slow_to_start(const TestUnit& unit);

// service.start or service.stop of a unit, with what a run would keep for it: its notes outlive a kill.
class UnitStep {
 public:
  UnitStep(const std::string& type, const TestUnit& unit, Json more = Json::object());

  Json apply() const;
  Error fails() const;  // applies it: the Error, else a failed test
  void undo() const;
  bool killed_applying(const std::string& failpoint) const;
  bool killed_undoing(const std::string& failpoint) const;
  Done check(Json& outputs) const;
  Done check() const;
  std::string digest() const;
  Preview preview() const;
  bool noted() const { return sys::exists(notes_); }

 private:
  const StepType& type_;
  std::string notes_;
  TestParams params_;
};

}  // namespace relight
