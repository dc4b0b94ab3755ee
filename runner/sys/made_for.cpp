#include "runner/sys/made_for.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runner/sys/error.h"

namespace relight::sys {
namespace {

constexpr const char* what_failed = "cannot make files for another user";

// With the user of its files a thread loses what root may do with those of others.
void take_all_that_is_permitted() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, data) != 0) throw system_error(errno, what_failed, "capget");
  for (auto& half : data) half.effective = half.permitted;
  if (syscall(SYS_capset, &header, data) != 0) throw system_error(errno, what_failed, "capset");
}

}  // namespace

MadeFor::MadeFor(const Owner& owner) {
  setfsgid(owner.gid);
  setfsuid(owner.uid);
  // Neither tells that it was refused but by what a second call returns.
  const bool taken = setfsgid(owner.gid) == static_cast<int>(owner.gid) &&
                     setfsuid(owner.uid) == static_cast<int>(owner.uid);
  try {
    if (!taken) throw system_error(EPERM, what_failed, "user " + std::to_string(owner.uid));
    take_all_that_is_permitted();
  } catch (...) {
    setfsuid(geteuid());
    setfsgid(getegid());
    throw;
  }
}

MadeFor::~MadeFor() {
  setfsuid(geteuid());
  setfsgid(getegid());
}

}  // namespace relight::sys
