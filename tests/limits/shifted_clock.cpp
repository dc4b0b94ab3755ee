// A library that is loaded before relight and its steps: their wall clock is off by as many seconds as the
// file says that RELIGHT_TEST_CLOCK names. No other clock is touched, nor anybody else's.
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

extern "C" int clock_gettime(clockid_t clock, struct timespec* time) {
  const long result = syscall(SYS_clock_gettime, clock, time);
  if (result != 0 || clock != CLOCK_REALTIME) return static_cast<int>(result);
  const char* const file = getenv("RELIGHT_TEST_CLOCK");
  char text[32] = {};
  const int fd = file == nullptr ? -1 : open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  if (read(fd, text, sizeof text - 1) > 0) time->tv_sec += std::atol(text);
  close(fd);
  return 0;
}
