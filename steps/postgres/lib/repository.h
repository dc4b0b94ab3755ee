// A repository of backups and WAL that another tool keeps: read by that tool's own command, never written to.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/sys/process.h"
#include "steps/postgres/lib/archive.h"
#include "steps/postgres/lib/base.h"
#include "steps/postgres/lib/wish.h"

namespace relight::postgres {

struct NewPlace {
  std::string oid, folder;
};

class Repository {
 public:
  explicit Repository(RepositoryWish wish) : wish_(std::move(wish)) {}
  virtual ~Repository() = default;
  const RepositoryWish& wish() const { return wish_; }

  // Its backups as far as its catalog tells, in any order: all, or the one of RepositoryWish::set. Throws a
  // refused Error: the tool cannot read it, or there are none.
  virtual std::vector<BaseBackup> backups(std::vector<std::string>& hints) const = 0;
  // Its files, where backups() has not told them.
  virtual void look_into(BaseBackup& base) const = 0;
  // Adds the WAL that belongs to the backup's cluster.
  virtual void add_wal(const BaseBackup& base, WalArchive& archive, std::vector<Problem>& problems) const = 0;

  // Of a backup that is_brought(): reads every byte of it, by the tool.
  virtual void check(const BaseBackup& base, std::vector<Problem>& problems) const = 0;
  // Restores it into `folder`, which is there and empty, and its tablespaces into theirs; all of its files
  // are there then, of the size that is told of them, with no setting that steers a recovery.
  virtual void bring(const BaseBackup& base, const std::string& folder,
                     const std::vector<NewPlace>& tablespaces, Call& call) const = 0;

 protected:
  const RepositoryWish wish_;
};

std::shared_ptr<const Repository> open_repository(const RepositoryWish& wish);

// The package of the tool where it is not installed; empty: it is.
std::string missing_tool(const RepositoryWish& wish);

// WAL that a command prints.
class PrintedWal : public FarArchive {
 public:
  void fetch(const std::string& path, const std::string& to,
             const std::function<bool()>& stop) const override;

 protected:
  virtual sys::Command command(const std::string& path) const = 0;
  // Why the command ended as it did: a transient Error where it may go better a moment later.
  virtual Error fault(const std::string& path, const sys::Result& result) const = 0;

  static constexpr const char* cannot_read = "cannot read the WAL archive";
};

// One fault of a repository, as all of this family's commands tell it.
Error repository_error(const RepositoryWish& wish, const std::string& why, const std::string& hint,
                       ErrorKind kind = ErrorKind::refused);

}  // namespace relight::postgres
