#include "steps/postgres/lib/barman_command.h"

#include <cctype>
#include <cstring>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/archive.h"
#include "steps/postgres/lib/repository.h"
#include "steps/postgres/lib/ssh_login.h"

namespace relight::postgres {

namespace {

constexpr int of_ssh = 255;

bool reads_as_it_is(const std::string& argument) {
  for (const char c : argument)
    if (!std::isalnum(static_cast<unsigned char>(c)) && std::strchr("_./=:,%+@-", c) == nullptr) return false;
  return !argument.empty();
}

sys::Result run(const RepositoryWish& wish, const sys::Command& command) {
  sys::Result result;
  if (wish.host.empty()) return sys::run(command);
  patiently([&] {
    result = sys::run(command);
    if (result.exit_code == of_ssh) throw far_error(wish, "cannot read the repository", wish.text(), result);
  });
  return result;
}

}  // namespace

sys::Command far_command(const RepositoryWish& wish, const std::vector<std::string>& argv) {
  sys::Command command;
  command.argv = ssh_to(wish.host, wish.login);
  for (const std::string& argument : argv) {
    if (!reads_as_it_is(argument))
      throw repository_error(wish, "\"" + argument + "\" cannot be given to the shell of " + wish.host,
                             "only letters, digits and _ . / = : , % + @ - are read there as they are");
    command.argv.push_back(argument);
  }
  command.cwd = "/";
  return command;
}

Error far_error(const RepositoryWish& wish, const char* failed, const std::string& on,
                const sys::Result& result) {
  const std::string said = sys::trim(result.err_tail);
  return Error(
      result.exit_code == of_ssh ? ErrorKind::transient : ErrorKind::permanent, failed, on,
      said.empty() ? "the command on " + wish.host + " ends with " + std::to_string(result.exit_code) : said,
      "try it yourself, as " + sys::current_user().name + ": ssh " + wish.host + " barman list-backups " +
          wish.name);
}

// Its faults stand in its answer.
Json ask_barman(const RepositoryWish& wish, const std::vector<std::string>& question) {
  std::vector<std::string> argv = {"barman", "--format=json"};
  if (!wish.config.empty()) argv.push_back("--config=" + wish.config);
  argv.insert(argv.end(), question.begin(), question.end());
  sys::Command command;
  command.argv = argv;
  command.cwd = "/";
  if (!wish.host.empty()) command = far_command(wish, argv);
  command.capture_limit = 1u << 30;
  const sys::Result result = run(wish, command);
  const Json told = Json::parse(result.out, nullptr, false);
  if (result.ok() && told.is_object()) return told;
  std::string why = sys::trim(result.err_tail);
  for (const char* fault : {"_EXCEPTION", "_ERROR"})
    if (told.is_object() && told.contains(fault) && !told[fault].empty())
      why = told[fault][0].get<std::string>();
  throw repository_error(
      wish, why.empty() ? "its command ends with " + std::to_string(result.exit_code) : why,
      "try it yourself: " + (wish.host.empty() ? "" : "ssh " + wish.host + " ") + sys::join(argv, " "));
}

std::vector<std::string> barman_files(const RepositoryWish& wish, const std::string& label,
                                      const char* target) {
  const Json told = ask_barman(wish, {"list-files", "--target", target, wish.name, label});
  std::vector<std::string> found;
  if (told.contains("_INFO"))
    for (const Json& line : told["_INFO"]) found.push_back(line.get<std::string>());
  return found;
}

std::string barman_bases(const RepositoryWish& wish, const std::string& label) {
  const std::string middle = "/" + label + "/data/";
  for (const std::string& file : barman_files(wish, label, "standalone"))
    if (const std::size_t at = file.find(middle); at != std::string::npos) return file.substr(0, at);
  throw repository_error(wish, "`barman list-files` tells nothing of the backup " + label,
                         "is it a snapshot? What lies in a cloud's snapshots cannot be read here");
}

// Whether the WAL is there that one may still wait for is looked at anyway.
std::string wrong_with_status(const Json& told) {
  const std::string status = told.value("status", "");
  return status == "DONE" || status == "WAITING_FOR_WALS" ? "" : "its status is " + status;
}

std::string barman_wals(const RepositoryWish& wish, const std::string& label, const std::string& bases) {
  const std::vector<std::string> listed = barman_files(wish, label, "wal");
  // None of it has been sorted in yet: it lies where Barman's own settings put it.
  if (listed.empty()) return sys::parent_of(bases) + "/wals";
  std::string home = sys::parent_of(listed.front());
  while (sys::name_of_path(home).size() == 16) home = sys::parent_of(home);
  return home;
}

}  // namespace relight::postgres
