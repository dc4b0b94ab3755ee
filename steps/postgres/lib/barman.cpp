#include "steps/postgres/lib/barman.h"

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"

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
  Json ask(const std::vector<std::string>& question) const;
  std::vector<std::string> files(const std::string& label, const char* target) const;
  static void add_home(const std::string& wals, WalArchive& archive, std::vector<Problem>& problems);
  std::string folder_of_bases(const std::string& label) const;
};

// Its faults stand in its answer.
Json Barman::ask(const std::vector<std::string>& question) const {
  sys::Command command;
  command.argv = {"barman", "--format=json"};
  if (!wish_.config.empty()) command.argv.push_back("--config=" + wish_.config);
  command.argv.insert(command.argv.end(), question.begin(), question.end());
  command.cwd = "/";
  const std::string shown = sys::join(command.argv, " ");
  command.capture_limit = 1u << 30;
  const sys::Result result = sys::run(command);
  const Json told = Json::parse(result.out, nullptr, false);
  if (result.ok() && told.is_object()) return told;
  std::string why = sys::trim(result.err_tail);
  for (const char* fault : {"_EXCEPTION", "_ERROR"})
    if (told.is_object() && told.contains(fault) && !told[fault].empty())
      why = told[fault][0].get<std::string>();
  throw repository_error(wish_,
                         why.empty() ? "its command ends with " + std::to_string(result.exit_code) : why,
                         "try it yourself: " + shown);
}

std::vector<std::string> Barman::files(const std::string& label, const char* target) const {
  const Json told = ask({"list-files", "--target", target, wish_.name, label});
  std::vector<std::string> found;
  if (told.contains("_INFO"))
    for (const Json& line : told["_INFO"]) found.push_back(line.get<std::string>());
  return found;
}

// The folder of all its base backups: a backup's files lie in LABEL/data of it, and its tablespaces' in
// LABEL/OID.
std::string Barman::folder_of_bases(const std::string& label) const {
  const std::string middle = "/" + label + "/data/";
  for (const std::string& file : files(label, "standalone"))
    if (const std::size_t at = file.find(middle); at != std::string::npos) return file.substr(0, at);
  throw repository_error(wish_, "`barman list-files` tells nothing of the backup " + label,
                         "is it a snapshot? What lies in a cloud's snapshots cannot be read here");
}

// Barman moves the links of the tablespaces into its home: where they lay, only it knows.
void Barman::look_into(BaseBackup& base) const {
  if (base.parts.size() == 1) return;
  const Json told = ask({"show-backup", wish_.name, base.label});
  for (const Json& one : told.at(wish_.name).at("tablespaces"))
    for (BasePart& part : base.parts)
      if (part.oid == one.at("oid").dump()) part.location = one.at("location").get<std::string>();
}

std::vector<BaseBackup> Barman::backups(std::vector<std::string>& hints) const {
  const Json told = ask({"list-backups", wish_.name});
  std::vector<BaseBackup> found;
  std::string labels, bases;
  std::optional<Error> fault;
  for (const Json& one : told.value(wish_.name, Json::array())) {
    const std::string label = one.at("backup_id").get<std::string>();
    labels += (labels.empty() ? "" : ", ") + label;
    if (!wish_.set.empty() && label != wish_.set) continue;
    try {
      // Whether the WAL is there that one may still wait for is looked at anyway.
      if (const std::string status = one.value("status", "");
          status != "DONE" && status != "WAITING_FOR_WALS")
        throw Error(ErrorKind::refused, "this is no base backup", label, "its status is " + status);
      if (bases.empty()) bases = folder_of_bases(label);
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
  const std::vector<std::string> listed = files(base.label, "wal");
  // None of it has been sorted in yet: it lies where Barman's own settings put it.
  if (listed.empty())
    return add_home(sys::parent_of(sys::parent_of(sys::parent_of(base.path))) + "/wals", archive, problems);
  std::string home = sys::parent_of(listed.front());
  while (sys::name_of_path(home).size() == 16) home = sys::parent_of(home);
  add_home(home, archive, problems);
}

void Barman::add_home(const std::string& home, WalArchive& archive, std::vector<Problem>& problems) {
  archive.add_folder(home, problems);
  for (const char* coming : {"/incoming", "/streaming"})
    if (const std::string folder = sys::parent_of(home) + coming; sys::is_folder(folder))
      archive.add_folder(folder, problems);
}

}  // namespace

std::shared_ptr<const Repository> open_barman(const RepositoryWish& wish) {
  return std::make_shared<const Barman>(wish);
}

}  // namespace relight::postgres
