#include "steps/postgres/lib/barman.h"

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/barman_command.h"
#include "steps/postgres/lib/barman_far.h"

namespace relight::postgres {

namespace {

class Barman : public Repository, public std::enable_shared_from_this<Barman> {
 public:
  using Repository::Repository;

  std::vector<BaseBackup> backups(std::vector<std::string>& hints) const override;
  void look_into(BaseBackup& base) const override;
  void add_wal(const BaseBackup& base, WalArchive& archive, std::vector<Problem>& problems) const override;
  // Its backups are no other tool's to check and to bring.
  void check(const BaseBackup&, std::vector<Problem>&) const override {}
  void bring(const BaseBackup&, const std::string&, const std::vector<NewPlace>&, Call&) const override {}

 private:
  static void add_home(const std::string& wals, WalArchive& archive, std::vector<Problem>& problems);
};

// Barman moves the links of the tablespaces into its home: where they lay, only it knows.
void Barman::look_into(BaseBackup& base) const {
  if (base.parts.size() == 1) return;
  const Json told = ask_barman(wish_, {"show-backup", wish_.name, base.label});
  for (const Json& one : told.at(wish_.name).at("tablespaces"))
    for (BasePart& part : base.parts)
      if (part.oid == one.at("oid").dump()) part.location = one.at("location").get<std::string>();
}

std::vector<BaseBackup> Barman::backups(std::vector<std::string>& hints) const {
  const Json told = ask_barman(wish_, {"list-backups", wish_.name});
  std::vector<BaseBackup> found;
  std::string labels, bases;
  std::optional<Error> fault;
  for (const Json& one : told.value(wish_.name, Json::array())) {
    const std::string label = one.at("backup_id").get<std::string>();
    labels += (labels.empty() ? "" : ", ") + label;
    if (!wish_.set.empty() && label != wish_.set) continue;
    try {
      if (const std::string wrong = wrong_with_status(one); !wrong.empty())
        throw Error(ErrorKind::refused, "this is no base backup", label, wrong);
      if (bases.empty()) bases = barman_bases(wish_, label);
      found.push_back(open_base(bases + "/" + label + "/data"));
      found.back().repository = shared_from_this();
      found.back().label = label;
    } catch (const Error& error) {
      hints.push_back("a base backup that cannot be used: " + label + ": " + error.why);
      fault = error;
    }
  }
  if (!found.empty()) return found;
  if (fault) throw Error(*fault);
  throw repository_error(wish_, "it has no base backup " + wish_.set,
                         labels.empty() ? "check the server's name" : "it has these: " + labels);
}

// All WAL that leads on from the backup, by where it lies: what is still being received lies beside it.
void Barman::add_wal(const BaseBackup& base, WalArchive& archive, std::vector<Problem>& problems) const {
  add_home(barman_wals(wish_, base.label, sys::parent_of(sys::parent_of(base.path))), archive, problems);
}

void Barman::add_home(const std::string& home, WalArchive& archive, std::vector<Problem>& problems) {
  archive.add_folder(home, problems);
  for (const char* coming : {"/incoming", "/streaming"})
    if (const std::string folder = sys::parent_of(home) + coming; sys::is_folder(folder))
      archive.add_folder(folder, problems);
}

}  // namespace

std::shared_ptr<const Repository> open_barman(const RepositoryWish& wish) {
  if (!wish.host.empty()) return open_far_barman(wish);
  return std::make_shared<const Barman>(wish);
}

}  // namespace relight::postgres
