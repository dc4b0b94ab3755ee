// A real sshd on 127.0.0.1, gone with the object, to which the user postgres logs in by key as itself.
#pragma once
#include <string>

#include "runner/sys/files.h"

namespace relight {

class SshHost {
 public:
  SshHost();  // returns when it takes logins
  ~SshHost();
  SshHost(const SshHost&) = delete;

  int port() const { return port_; }
  // In place of `ssh`: with the key, and with as many faults as fail_next() has told, of what the command it
  // is to run names.
  std::string client() const { return folder_.path() + "/ssh"; }
  void fail_next(int times, const std::string& named = "") const;
  int calls() const;   // of the client
  int logins() const;  // by which they were answered

 private:
  std::string file(const std::string& name) const { return folder_.path() + "/" + name; }
  sys::TempFolder folder_;
  int port_, pid_ = 0;
  bool made_run_folder_ = false;
};

}  // namespace relight
