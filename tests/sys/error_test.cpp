#include "runner/sys/error.h"

#include <doctest/doctest.h>

#include <cerrno>

using namespace relight;

TEST_CASE("what may pass by itself is retried; a full disk is not") {
  for (const int passing : {EAGAIN, EINTR, EMFILE, ENFILE, ENOMEM, ECONNREFUSED, ECONNRESET, ETIMEDOUT,
                            EHOSTUNREACH, ENETUNREACH}) {
    CAPTURE(passing);
    CHECK(system_error(passing, "cannot", "it").kind == ErrorKind::transient);
  }
  for (const int lasting : {ENOSPC, EDQUOT, EROFS, EACCES, ENOENT, EIO, EFBIG}) {
    CAPTURE(lasting);
    CHECK(system_error(lasting, "cannot", "it").kind == ErrorKind::permanent);
  }
  CHECK(system_error(ENOSPC, "cannot write", "/data/x").hint == "make room there first");
  CHECK(system_error(ENOSPC, "cannot write", "/data/x", "its own").hint == "its own");
  CHECK(std::string(system_error(ENOSPC, "cannot write", "/data/x").what()) ==
        "cannot write: /data/x: No space left on device");
}
