#include "runner/sys/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

namespace relight::sys {
namespace {

// The start of a file of /proc; empty where it cannot be read.
std::size_t read_proc(const char* path, char* buffer, std::size_t size) {
  Fd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return 0;
  ssize_t got = read(fd.get(), buffer, size);
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

}  // namespace

std::optional<ProcStat> proc_stat(int pid) {
  char path[32], text[1024];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  std::size_t size = read_proc(path, text, sizeof text - 1);
  text[size] = 0;
  // The name, in parentheses, may hold anything: what counts begins after the last one.
  char* at = std::strrchr(text, ')');
  if (pid <= 0 || at == nullptr) return std::nullopt;
  ProcStat stat;
  stat.process.pid = pid;
  if (std::sscanf(at + 1, " %c %d %d %d", &stat.state, &stat.parent, &stat.group, &stat.session) != 4)
    return std::nullopt;
  int field = 2;
  while (*at != 0 && field < 22)
    if (*at++ == ' ') ++field;
  stat.process.start_time.assign(at, std::strcspn(at, " \n"));
  return stat;
}

std::vector<ProcStat> proc_all() {
  std::vector<ProcStat> all;
  DIR* folder = opendir("/proc");
  if (folder == nullptr) throw system_error(errno, "cannot list the processes", "/proc", "mount /proc");
  while (dirent* entry = readdir(folder)) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    if (auto stat = proc_stat(std::atoi(entry->d_name))) all.push_back(std::move(*stat));
  }
  closedir(folder);
  return all;
}

std::vector<ProcStat> descendants_of(const std::vector<ProcStat>& all, const std::vector<int>& roots) {
  std::unordered_multimap<int, const ProcStat*> by_parent;
  std::unordered_map<int, const ProcStat*> by_pid;
  for (const ProcStat& stat : all) {
    by_parent.emplace(stat.parent, &stat);
    by_pid.emplace(stat.process.pid, &stat);
  }
  std::vector<ProcStat> found;
  std::unordered_map<int, bool> seen;
  std::vector<int> open = roots;
  while (!open.empty()) {
    int pid = open.back();
    open.pop_back();
    if (!seen.emplace(pid, true).second) continue;
    if (auto it = by_pid.find(pid); it != by_pid.end()) found.push_back(*it->second);
    auto [from, to] = by_parent.equal_range(pid);
    for (auto it = from; it != to; ++it) open.push_back(it->second->process.pid);
  }
  return found;
}

std::optional<std::string> proc_env(int pid, const std::string& name) {
  Fd fd(open(("/proc/" + std::to_string(pid) + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  std::string text;
  char buffer[16384];
  ssize_t got;
  while ((got = read(fd.get(), buffer, sizeof buffer)) > 0)
    text.append(buffer, static_cast<std::size_t>(got));
  const std::string start = name + "=";
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = std::min(text.find('\0', at), text.size());
    if (text.compare(at, start.size(), start) == 0)
      return text.substr(at + start.size(), end - at - start.size());
    at = end + 1;
  }
  return std::nullopt;
}

int signal_process(const ProcessId& process, int signal) {
  Fd handle(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  if (!handle) return errno;
  // The handle pins the process: what /proc says after it was taken is said of the same one, or of none.
  auto stat = proc_stat(process.pid);
  if (!stat || stat->process.start_time != process.start_time) return ESRCH;
  return syscall(SYS_pidfd_send_signal, handle.get(), signal, nullptr, 0) == 0 ? 0 : errno;
}

}  // namespace relight::sys
