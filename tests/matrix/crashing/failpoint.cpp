// The failpoints of relight-crashing: every pass, in any process of the run, is listed in the crash file that
// the environment names; at the one that it chooses, what it asks for happens.
#include "runner/sys/failpoint.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runner/sys/files.h"
#include "runner/sys/process.h"
#include "tests/matrix/crash_file.h"
#include "tests/matrix/strike.h"

namespace relight {
namespace {

// Mapped before main, so that it is there in whatever is forked, under any user.
CrashFile* map_crash_file() {
  const char* path = std::getenv(crash_variable);
  if (path == nullptr) return nullptr;
  const sys::Fd file(open(path, O_RDWR | O_CLOEXEC));
  void* at = mmap(nullptr, sizeof(CrashFile), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (at == MAP_FAILED) abort();
  auto* crash = static_cast<CrashFile*>(at);
  std::int32_t none = 0;
  crash->main.compare_exchange_strong(none, getpid());
  return crash;
}

CrashFile* const crash = map_crash_file();
const std::uint32_t our_start = crash != nullptr ? crash->start : 0;

void strike_here() {
  if (geteuid() == 0) return strike(*crash, getpid());
  crash->asking = getpid();  // the test does it for us
  while (crash->asking != 0) usleep(1000);
}

// It can still act: one that was killed keeps its number for a moment, without a program or an open file.
bool at_work(const sys::ProcessId& process) {
  char program[16];
  return sys::alive(process) &&
         readlink(("/proc/" + std::to_string(process.pid) + "/exe").c_str(), program, sizeof program) >= 0;
}

// Before relight records that it goes on, nothing of an earlier attempt may be alive.
void look_for_earlier(const char* name) {
  static bool looked = false;
  if (looked || getpid() != crash->main || std::strcmp(name, "journal:append") != 0) return;
  looked = true;
  for (const auto& one : crash->earlier)
    if (one.pid != 0 && at_work({one.pid, one.start_time})) {
      const auto comm = sys::read_file_if_there("/proc/" + std::to_string(one.pid) + "/comm");
      comm.value_or("").copy(crash->outlived_name, sizeof crash->outlived_name - 1);
      crash->outlived = one.pid;
    }
}

// 0, or the errno that the call behind the point fails with.
int pass(const char* name, bool can_fail) {
  if (crash == nullptr || crash->start != our_start) return 0;  // or one that an earlier attempt left
  const std::uint32_t number = ++crash->passed;
  if (number > CrashFile::most_passes) abort();
  CrashPass& pass = crash->passes[number - 1];
  std::strncpy(pass.name, name, sizeof pass.name - 1);
  pass.pid = getpid();
  pass.can_fail = can_fail;
  pass.whole = true;
  look_for_earlier(name);
  if (crash->kind == CrashFile::Kind::none) return 0;
  if (crash->at != 0 ? number != crash->at : std::strcmp(name, crash->name) != 0) return 0;
  std::uint32_t none = 0;
  if (!crash->struck.compare_exchange_strong(none, number)) return 0;
  if (crash->kind == CrashFile::Kind::fail) return can_fail ? crash->error_number : 0;
  if (crash->kind == CrashFile::Kind::delay)
    usleep(100'000);
  else
    strike_here();
  return 0;
}

}  // namespace

void failpoint(const char* name) {
  const int error_number = errno;
  pass(name, false);
  errno = error_number;
}

bool fails_at(const char* name) {
  const int error_number = pass(name, true);
  if (error_number != 0) errno = error_number;
  return error_number != 0;
}

}  // namespace relight
