#include "runner/step/passphrase.h"

#include "runner/step/check_value.h"
#include "runner/sys/error.h"

namespace relight {
namespace {

// A file's line end after it is no part of it.
std::string_view bytes_of(const Secret& passphrase) {
  std::string_view text = passphrase.view();
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

}  // namespace

Json passphrase_json(const Secret& passphrase, const std::string& unique) {
  if (bytes_of(passphrase).empty())
    throw Error(ErrorKind::refused, "not a passphrase", "`passphrase`", "it is empty",
                "check the file or the variable that holds it");
  return check_value_json(bytes_of(passphrase), unique + "\npassphrase");
}

void check_passphrase(const RecoverySet& set, const Secret* passphrase, SetReport& report) {
  const std::string file = set.folder + "/" + set_file;
  const auto recorded = set.json.find("passphrase");
  if (recorded == set.json.end()) {
    if (passphrase != nullptr)
      report.problems.push_back({"the passphrase cannot be checked", file, "it records none",
                                 "leave the passphrase out, or seal with `passphrase`"});
    return;
  }
  CheckValue value;
  try {
    value = read_check_value(*recorded);
  } catch (const std::exception& error) {
    report.problems.push_back({"the passphrase cannot be checked", file, error.what(),
                               "use another copy of the backup, or an older one"});
    return;
  }
  if (passphrase == nullptr)
    report.hints.push_back(
        "the passphrase is not checked: without the right one what is encrypted is lost; name the file that "
        "holds it by --passphrase-file, or `passphrase` in a runbook");
  else if (!matches(bytes_of(*passphrase), value))
    report.problems.push_back({"the wrong passphrase", file, "the set was made with another one",
                               "find the one that was in use at " + set.text("time") +
                                   "; what it encrypts cannot be opened without it"});
  else
    report.parts.push_back({"passphrase", "the one that the set was made with"});
}

}  // namespace relight
