#include "tests/matrix/crashing.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/matrix/strike.h"

namespace relight {

std::string crashing_program() {
  return RELIGHT_CRASHING;
}

Crashing::Crashing()
    : folder_(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ""), path_(folder_.path() + "/crash") {
  const sys::Fd file(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(ftruncate(file.get(), sizeof(CrashFile)) == 0);
  void* at = mmap(nullptr, sizeof(CrashFile), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  REQUIRE(at != MAP_FAILED);
  file_ = new (at) CrashFile();
}

Crashing::~Crashing() {
  end_all();
  munmap(file_, sizeof(CrashFile));
}

void Crashing::expect(const Crash& crash, const std::vector<std::string>& file_systems,
                      const std::vector<sys::ProcStat>& earlier) {
  const std::uint32_t start = file_->start + 1;
  file_->start = start;
  std::memset(static_cast<void*>(file_), 0, sizeof(CrashFile));
  file_->start = start;
  file_->kind = crash.kind;
  file_->at = crash.at;
  crash.name.copy(file_->name, sizeof file_->name - 1);
  file_->victims = crash.victims;
  file_->error_number = crash.error_number;
  REQUIRE(file_systems.size() <= std::size(file_->file_systems));
  for (std::size_t i = 0; i < file_systems.size(); ++i)
    file_systems[i].copy(file_->file_systems[i], sizeof file_->file_systems[i] - 1);
  for (std::size_t i = 0; i < earlier.size() && i < CrashFile::most_earlier; ++i) {
    file_->earlier[i].pid = earlier[i].process.pid;
    earlier[i].process.start_time.copy(file_->earlier[i].start_time, sizeof file_->earlier[i].start_time - 1);
  }
}

void Crashing::strike_if_asked() {
  if (file_->asking == 0) return;
  strike(*file_, file_->asking);
  file_->asking = 0;
}

std::vector<Pass> Crashing::passes() const {
  std::vector<Pass> passes;
  for (std::uint32_t i = 0; i < file_->passed; ++i) {
    const CrashPass& pass = file_->passes[i];
    if (pass.whole) passes.push_back({pass.name, pass.pid, pass.can_fail});
  }
  return passes;
}

std::string Crashing::struck() const {
  return file_->struck == 0 ? "" : file_->passes[file_->struck - 1].name;
}

bool Crashing::struck_relight() const {
  return file_->struck != 0 && file_->passes[file_->struck - 1].pid == file_->main;
}

std::string Crashing::outlived() const {
  if (file_->outlived == 0) return "";
  return std::to_string(file_->outlived) + " (" + sys::trim(file_->outlived_name) + ")";
}

std::vector<sys::ProcStat> Crashing::alive() const {
  std::vector<sys::ProcStat> found;
  for (const sys::ProcStat& stat : sys::proc_all())
    if (!stat.ended() && stat.process.pid != getpid() &&
        sys::proc_env(stat.process.pid, crash_variable) == path_ &&
        !sys::proc_env(stat.process.pid, "RELIGHT_TOKEN"))
      found.push_back(stat);
  return found;
}

void Crashing::end_all() const {
  sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(2), {}, [&] {
    const std::vector<sys::ProcStat> all = alive();
    for (const sys::ProcStat& one : all) sys::signal_process(one.process, SIGKILL);
    return all.empty();
  });
}

}  // namespace relight
