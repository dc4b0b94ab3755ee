// The restore_command of a server that recovers: RESTORE-WAL NAME TARGET, run in the data directory. Asks the
// feeder (feeder.h) for the archived file over its socket, and moves what it made ready to TARGET; a segment
// it has laid into pg_wal, where the server looks when no TARGET came. A program of its own without
// libraries: it is started for every segment.
//
// Exit: 0 moved to TARGET, 1 the server has it in pg_wal or may not have it, 200 anything else, which ends
// the recovery (above 125).
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

constexpr int no_target = 1, fatal = 200;

int fail(const char* what, const char* on) {
  fprintf(stderr, "relight: %s: %s: %s\n", what, on, strerror(errno));
  return fatal;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return fatal;
  const char* const name = argv[1];
  const int feed = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address = {AF_UNIX, "relight.work/feed"};
  if (feed < 0 || connect(feed, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail("cannot reach the step that hands out the WAL", name);
  if (send(feed, name, strlen(name), MSG_NOSIGNAL) < 0) return fail("cannot ask for the archived file", name);
  char answer[1024];
  const ssize_t size = recv(feed, answer, sizeof answer - 1, 0);
  if (size <= 0) return fail("the step that hands out the WAL is gone", name);
  answer[size] = '\0';
  if (answer[0] == '-') return no_target;
  if (answer[0] == '=') {
    // Into the server's log, as it would have said it.
    fprintf(stderr, "restored log file \"%s\" from archive\n", name);
    return no_target;
  }
  if (answer[0] != '+') {
    fprintf(stderr, "relight: cannot hand out the archived file: %s: %s\n", name, answer);
    return fatal;
  }
  char ready[512];
  if (snprintf(ready, sizeof ready, "relight.work/ready/%s", name) >= static_cast<int>(sizeof ready))
    return fatal;
  if (rename(ready, argv[2]) != 0) return fail("cannot hand out the archived file", name);
  return 0;
}
