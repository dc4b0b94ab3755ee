#include "runner/sys/write_behind.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <string>

#include "runner/sys/files.h"
#include "tests/support/error.h"
#include "tests/support/failpoint.h"
#include "tests/support/mounted.h"

using namespace relight;
using namespace relight::sys;

namespace {

struct Watched {
  TempFolder temp;
  Mounted memory{temp.path() + "/m"};
  std::atomic<int> syncs = 0;
  explicit Watched(int error_number) {
    watch_failpoints([this, error_number](const Point& point) {
      if (!point.name.starts_with("sys:syncfs")) return 0;
      return ++syncs == 2 ? error_number : 0;
    });
  }
  ~Watched() { watch_failpoints({}); }
};

}  // namespace

TEST_CASE("what is written is synced a stretch at a time, and a little of it not at all") {
  Watched disk(0);
  {
    WriteBehind little(disk.memory.path());
    for (int i = 0; i < 31; ++i) little.wrote(1 << 20);
    little.finish();
  }
  CHECK(disk.syncs == 0);
  WriteBehind much(disk.memory.path());
  for (int i = 0; i < 320; ++i) much.wrote(1 << 20);
  much.finish();
  CHECK(disk.syncs == 10);
}

TEST_CASE("a sync that fails is told to who writes, at the latest at the end") {
  Watched disk(EIO);
  WriteBehind behind(disk.memory.path());
  const Error error = error_of([&] {
    for (int i = 0; i < 96; ++i) behind.wrote(1 << 20);
    behind.finish();
  });
  CHECK(std::string(error.what()) == "cannot sync: " + disk.memory.path() + ": Input/output error");
}
