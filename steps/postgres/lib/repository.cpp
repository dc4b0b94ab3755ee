#include "steps/postgres/lib/repository.h"

#include "runner/sys/process.h"
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

Error repository_error(const RepositoryWish& wish, const std::string& why, const std::string& hint,
                       ErrorKind kind) {
  return Error(kind, "cannot read the repository", wish.text(), why, hint);
}

}  // namespace relight::postgres
