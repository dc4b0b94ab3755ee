// A call of no run: it may look, and change nothing.
#pragma once
#include <string>

#include "runner/step/call.h"
#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"

namespace relight {

class Look : public Call {
 public:
  Look(std::string command, bool full) : name_(std::move(command)), full_(full) {}
  const std::string& run() const override { return name_; }
  const std::string& step() const override { return name_; }
  int attempt() const override { return 1; }
  bool previewing() const override { return true; }
  bool full_depth() const override { return full_; }
  const Json& notes() const override { return notes_; }
  void note(const std::string&, const Json&) override { refuse(); }
  void progress(const std::string&, std::uint64_t, std::uint64_t) override {}
  void log(const std::string&) override {}
  bool stop_wanted() const override { return false; }
  sys::ProcessId launch(const sys::Launch&) override { refuse(); }

 private:
  [[noreturn]] void refuse() const {
    throw Error(ErrorKind::permanent, "a look may change nothing", name_, "it tried to");
  }
  const std::string name_;
  const Json notes_ = Json::object();
  const bool full_;
};

}  // namespace relight
