// A Debian of a test's own: real apt and dpkg, with their state, their configuration and a repository of tiny
// packages in one folder. What they would do to the host they do to root().
#pragma once
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "tests/support/crash.h"

namespace relight {

class Debian {
 public:
  Debian();  // apt and dpkg of this process and its children are its own from here on
  ~Debian();
  Debian(const Debian&) = delete;

  std::string root() const { return base_ + "/root"; }
  std::string notes() const { return base_ + "/notes"; }

  // A package in the repository; `fields` are further lines of its control file, `postinst` a shell script.
  void add(const std::string& name, const std::string& version, const std::string& fields = "",
           const std::string& postinst = "");
  void withdraw(const std::string& name, const std::string& version);
  void update();
  void install(const std::string& what);

  std::string there() const;  // "lamp 1.0, oil 1.5"

 private:
  void publish();

  sys::TempFolder folder_;
  std::string base_, index_;
  int published_ = 0;
};

// A call of a step, each a later attempt, whose places lie in the Debian.
class RootedCall : public DurableCall {
 public:
  RootedCall(const Debian& debian, const std::string& step)
      : DurableCall(step, debian.notes()), root_(debian.root()) {}
  std::string place(const std::string& path) const override { return root_ + path; }

 private:
  std::string root_;
};

}  // namespace relight
