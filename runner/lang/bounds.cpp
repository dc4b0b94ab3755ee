#include "runner/lang/bounds.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>

namespace relight::lang {

namespace {

// Two slots: the handler reads the one that is not being written.
char seen[2][512];
std::atomic<int> current{0};
int report_fd = -1;
char report_tag = 0;

void on_timer(int) {
  const char* text = seen[current.load()];
  char message[513];
  message[0] = report_tag;
  const std::size_t size = strlen(text);
  memcpy(message + 1, text, size);
  // Nothing can be done about a reader that is gone.
  if (write(report_fd, message, size + 1) < 0) _exit(121);
  _exit(120);
}

}  // namespace

void last_line_seen(const char* file, int line) {
  const int next = 1 - current.load();
  char* slot = seen[next];
  std::size_t length = 0;
  while (file[length] && length < 480) {
    slot[length] = file[length];
    ++length;
  }
  slot[length++] = ':';
  char digits[16];
  int count = 0;
  do digits[count++] = static_cast<char>('0' + line % 10);
  while ((line /= 10) > 0 && count < 15);
  while (count > 0) slot[length++] = digits[--count];
  slot[length] = '\0';
  current.store(next);
}

void arm_cpu_bound(int seconds, int fd, char tag) {
  report_fd = fd;
  report_tag = tag;
  struct sigaction action = {};
  action.sa_handler = on_timer;
  sigaction(SIGPROF, &action, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPROF);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  itimerval timer = {};
  timer.it_value.tv_sec = seconds;
  setitimer(ITIMER_PROF, &timer, nullptr);
}

void disarm_cpu_bound() {
  const itimerval none = {};
  setitimer(ITIMER_PROF, &none, nullptr);
}

void limit_address_space([[maybe_unused]] std::size_t bytes_more) {
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  std::FILE* statm = std::fopen("/proc/self/statm", "r");
  if (statm == nullptr) return;  // a net only: the allocator counts
  unsigned long pages = 0;
  const bool read = std::fscanf(statm, "%lu", &pages) == 1;
  std::fclose(statm);
  if (!read) return;
  const rlim_t bytes = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + bytes_more;
  rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0) return;
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > bytes) limit.rlim_cur = bytes;
  setrlimit(RLIMIT_AS, &limit);
#endif
}

}  // namespace relight::lang
