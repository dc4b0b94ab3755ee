#include "steps/postgres/lib/repository.h"

#include <fcntl.h>

#include <cerrno>

#include "runner/sys/error.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/backrest.h"
#include "steps/postgres/lib/barman.h"

namespace relight::postgres {

std::shared_ptr<const Repository> open_repository(const RepositoryWish& wish) {
  return wish.tool == "barman" ? open_barman(wish) : open_backrest(wish);
}

std::string missing_tool(const RepositoryWish& wish) {
  if (!wish.host.empty()) return sys::find_program("ssh").empty() ? "openssh-client" : "";
  return sys::find_program(wish.tool).empty() ? wish.tool : "";
}

void PrintedWal::fetch(const std::string& path, const std::string& to,
                       const std::function<bool()>& stop) const {
  sys::Command printing = command(path);
  printing.stop = stop;
  printing.stdout_to = open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (printing.stdout_to < 0) throw system_error(errno, "cannot write", to);
  const sys::Result result = sys::run(printing);
  if (result.stopped) throw Error(ErrorKind::transient, cannot_read, path, "told to stop");
  if (!result.ok()) throw fault(path, result);
}

Error repository_error(const RepositoryWish& wish, const std::string& why, const std::string& hint,
                       ErrorKind kind) {
  return Error(kind, "cannot read the repository", wish.text(), why, hint);
}

}  // namespace relight::postgres
