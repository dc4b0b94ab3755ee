#include "tests/matrix/strike.h"

#include <fcntl.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/proc.h"

namespace relight {
namespace {

// Those that keep what relight starts; there may be one for previews, too.
std::vector<int> keepers_of(int main) {
  std::vector<int> found;
  for (const sys::ProcStat& stat : sys::proc_all())
    if (stat.parent == main)
      if (const auto name = sys::read_file_if_there("/proc/" + std::to_string(stat.process.pid) + "/comm");
          name == "relight-keeper\n")
        found.push_back(stat.process.pid);
  return found;
}

// What is not on the disk is lost, as when the power fails: no journal of the file system is written out.
void cut_power(const char* file_system) {
  constexpr unsigned long shutdown = _IOR('X', 125, std::uint32_t);
  std::uint32_t without_log = 2;
  const sys::Fd folder(open(file_system, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ioctl(folder.get(), shutdown, &without_log) != 0) abort();
}

}  // namespace

// One after the other is at once: nobody acts in between. Relight first, the passer last: with its keeper a
// worker dies, too.
void strike(const CrashFile& crash, int passer) {
  std::vector<int> victims;
  if ((crash.victims & CrashFile::relight) != 0) victims = {crash.main};
  if ((crash.victims & CrashFile::keeper) != 0)
    for (const int keeper : keepers_of(crash.main)) victims.push_back(keeper);
  std::erase(victims, passer);
  for (const int victim : victims) kill(victim, SIGSTOP);
  if (crash.kind == CrashFile::Kind::power)
    for (const char* file_system : crash.file_systems)
      if (*file_system != 0) cut_power(file_system);
  for (const int victim : victims) kill(victim, SIGKILL);
  const auto as_what = passer == crash.main ? CrashFile::relight : CrashFile::passer;
  if ((crash.victims & as_what) != 0) kill(passer, SIGKILL);
}

}  // namespace relight
