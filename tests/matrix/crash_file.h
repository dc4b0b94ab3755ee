// What a test and the program relight-crashing share: a small file, mapped by every process that the program
// is made of. The test writes what is to happen at which pass of a failpoint; every pass is listed in it.
#pragma once
#include <atomic>
#include <cstdint>

namespace relight {

inline constexpr const char* crash_variable = "RELIGHT_CRASH";  // names the file

// One pass of a failpoint, by whichever process of the run.
struct CrashPass {
  char name[56];
  std::int32_t pid;
  bool can_fail;
  std::atomic<bool> whole;  // the rest is written
};

struct CrashFile {
  enum class Kind : std::uint32_t {
    none,
    kill,   // SIGKILL to the victims
    fail,   // the call behind the point fails
    delay,  // a tenth of a second
    power,  // the file systems lose what they have not synced, and all victims are killed
  };
  enum Victim : std::uint32_t { relight = 1, keeper = 2, passer = 4 };

  static constexpr std::uint32_t most_passes = 8192, most_earlier = 64;

  // Of the test, before the program is started.
  std::uint32_t start;  // counts the starts
  Kind kind;
  std::uint32_t at;       // the pass at which it happens: 1 is the first. 0: by name
  char name[56];          // or the first pass of this failpoint
  std::uint32_t victims;  // Victim
  std::int32_t error_number;
  char file_systems[2][128];  // that lose their power; empty: none
  struct {
    std::int32_t pid;
    char start_time[28];
  } earlier[most_earlier];  // what an earlier attempt started

  // Of the program.
  std::atomic<std::int32_t> main;  // relight itself
  std::atomic<std::uint32_t> passed;
  std::atomic<std::uint32_t> struck;   // the pass at which the fault happened
  std::atomic<std::int32_t> outlived;  // one of `earlier` was alive when relight wrote its first record
  char outlived_name[16];              // its program, or thread
  std::atomic<std::int32_t> asking;    // a passer that is not root, and waits for the test to strike
  CrashPass passes[most_passes];
};

}  // namespace relight
