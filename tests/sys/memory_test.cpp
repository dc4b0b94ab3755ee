#include "runner/sys/memory.h"

#include <doctest/doctest.h>

#include "runner/sys/files.h"

using namespace relight;
using namespace relight::sys;

TEST_CASE("the memory to spare is what is available, and no more than a limit leaves") {
  CHECK(spare_memory() > 0);
  const TempFolder folder;
  const auto write = [&](const std::string& path, const std::string& text) {
    const std::string whole = folder.path() + path;
    make_folders(whole.substr(0, whole.rfind('/')));
    write_file(whole, text, 0644);
  };
  CHECK(spare_memory(folder.path()) == 0);
  write("/proc/meminfo",
        "MemTotal:       16000 kB\nMemAvailable:    8000 kB\nCommitLimit:     9000 kB\nCommitted_AS:    7000 "
        "kB\n");
  CHECK(spare_memory(folder.path()) == 8000 * 1024);
  write("/proc/self/cgroup", "0::/a.slice/b.service\n");
  write("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
  CHECK(spare_memory(folder.path()) == 8000 * 1024);
  write("/sys/fs/cgroup/a.slice/memory.max", "5000000\n");
  CHECK(spare_memory(folder.path()) == 5000000);
  write("/proc/sys/vm/overcommit_memory", "0\n");
  CHECK(spare_memory(folder.path()) == 5000000);
  write("/proc/sys/vm/overcommit_memory", "2\n");
  CHECK(spare_memory(folder.path()) == 2000 * 1024);
}
