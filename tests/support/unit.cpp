#include "tests/support/unit.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "tests/support/crash.h"
#include "tests/support/machine.h"

namespace relight {

int systemctl(const std::vector<std::string>& arguments) {
  sys::Command command;
  command.argv = {"systemctl", "--no-ask-password"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return sys::run(command).exit_code;
}

TestUnit::TestUnit(std::string name) : name_(std::move(name)) {
  REQUIRE(in_machine());
}

TestUnit::~TestUnit() {
  systemctl({"kill", "--signal=KILL", name_});
  systemctl({"stop", name_});
  remove_file();
  systemctl({"unmask", name_});
  systemctl({"daemon-reload"});
  systemctl({"reset-failed", name_});
}

std::string TestUnit::script(const std::string& name, const std::string& text) const {
  sys::write_file(path(name), text, 0755);
  return path(name);
}

void TestUnit::install(const std::string& service, const std::string& before) const {
  sys::write_file("/etc/systemd/system/" + name_ + ".service", before + "[Service]\n" + service + "\n", 0644);
}

void TestUnit::remove_file() const {
  sys::remove_file("/etc/systemd/system/" + name_ + ".service");
}

std::string TestUnit::property(const std::string& name) const {
  sys::Command command;
  command.argv = {"systemctl", "show", "--value", "--property", name, name_};
  return sys::trim(sys::output_of(command, "cannot ask systemd"));
}

int TestUnit::pid() const {
  return std::atoi(property("MainPID").c_str());
}

std::string web_server(const TestUnit& unit, int port, const std::string& text, bool forks) {
  return "ExecStart=" +
         unit.script("serve-" + text,
                     "#!/usr/bin/perl\nuse IO::Socket::INET;\n"
                     "my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => " +
                         std::to_string(port) +
                         ", Listen => 5, ReuseAddr => 1) or die \"cannot listen: $!\\n\";\n" +
                         (forks ? "exit 0 if fork;\n" : "") +
                         "while (1) { my $c = $s->accept or next; my $line = <$c>; while (($line = <$c>) =~ "
                         "/\\S/) {}\n"
                         "print $c \"HTTP/1.0 200 OK\\r\\n\\r\\n" +
                         text + "\"; close $c; }\n");
}

std::string slow_to_start(const TestUnit& unit) {
  return "Type=notify\nNotifyAccess=all\nExecStart=" +
         unit.script("slow", "#!/bin/sh\necho $$ >>" + unit.path("starts") + "\nwhile [ ! -e " +
                                 unit.path("go") +
                                 " ]; do sleep 0.01; done\n"
                                 "systemd-notify --ready\n"
                                 "exec sleep 1000\n");
}

namespace {
std::string with_unit(const TestUnit& unit, Json more) {
  more["unit"] = unit.name();
  return more.dump();
}
}  // namespace

UnitStep::UnitStep(const std::string& type, const TestUnit& unit, Json more)
    : type_(type_named(type)),
      notes_(unit.path("notes-of-" + type)),
      params_(type_, with_unit(unit, std::move(more))) {}

Json UnitStep::apply() const {
  DurableCall call(type_.name, notes_);
  return type_.make()->apply(params_, call);
}

Error UnitStep::fails() const {
  try {
    apply();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  std::abort();
}

void UnitStep::undo() const {
  DurableCall call(type_.name, notes_);
  type_.make()->undo(params_, call, nullptr);
}

bool UnitStep::killed_applying(const std::string& failpoint) const {
  return killed_at(failpoint, [&] { apply(); });
}

bool UnitStep::killed_undoing(const std::string& failpoint) const {
  return killed_at(failpoint, [&] { undo(); });
}

Done UnitStep::check(Json& outputs) const {
  DurableCall call(type_.name, notes_);
  return type_.make()->check(params_, call, outputs);
}

Done UnitStep::check() const {
  Json outputs;
  return check(outputs);
}

std::string UnitStep::digest() const {
  DurableCall call(type_.name, notes_);
  return type_.make()->state_digest(params_, call);
}

Preview UnitStep::preview() const {
  DurableCall call(type_.name, notes_);
  call.preview_only = true;
  return type_.make()->preview(params_, call);
}

}  // namespace relight
