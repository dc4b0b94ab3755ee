#include "runner/step/recovery_set.h"

#include <sys/stat.h>

#include <cerrno>

#include "runner/step/passphrase.h"
#include "runner/sys/archive.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

constexpr const char* cannot_read = "cannot read the recovery set";

constexpr const char* other_copy = "use another copy of the backup, or an older one";

Problem damaged(const std::string& path, const std::string& why) {
  return {"a file of the recovery set is not what was backed up", path, why, other_copy};
}

Problem problem_of(const Error& error) {
  return {error.failed, error.on, error.why, error.hint.empty() ? other_copy : error.hint};
}

}  // namespace

std::string RecoverySet::text(const char* field) const {
  const auto found = json.find(field);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

RecoverySet read_set(const std::string& folder) {
  const std::string file = folder + "/" + set_file;
  if (!sys::is_folder(folder))
    throw Error(ErrorKind::refused, cannot_read, folder, "there is no such folder", "correct the path");
  const auto text = sys::read_file_if_there(file);
  if (!text)
    throw Error(ErrorKind::refused, cannot_read, folder, std::string("it has no ") + set_file,
                "name the folder of a whole recovery set; one without it was not finished");
  RecoverySet set{folder, nullptr};
  try {
    set.json = sys::parse_json(*text);
    if (!set.json.is_object()) throw std::runtime_error("it is not a JSON object");
  } catch (const std::exception& error) {
    throw Error(ErrorKind::refused, cannot_read, file, error.what(), "use another copy of the backup");
  }
  if (set.text("format") != set_format)
    throw Error(ErrorKind::refused, cannot_read, file, std::string("its format is not ") + set_format,
                "a newer relight, or another program, may have made it");
  return set;
}

void check_files(const RecoverySet& set, bool every_byte, Call& call, SetReport& report) {
  const Json files = set.json.value("files", Json());
  if (!files.is_array()) {
    report.problems.push_back({cannot_read, set.folder + "/" + set_file, "it names no files",
                               "without them nothing proves that the set is whole"});
    return;
  }
  std::uint64_t bytes = 0, looked = 0;
  for (const Json& file : files) {
    call.stop_here_if_wanted();
    std::string path, sha256;
    std::uint64_t size = 0;
    try {
      path = sys::path_within(set.folder + "/" + set_file, file.at("path").get<std::string>());
      sha256 = file.at("sha256").get<std::string>();
      size =
          file.at("size").is_number_unsigned() ? file["size"].get<std::uint64_t>() : throw std::exception();
    } catch (const Error& error) {
      report.problems.push_back(problem_of(error));
      continue;
    } catch (const std::exception&) {
      report.problems.push_back(damaged(set.folder + "/" + set_file, "an entry of `files` cannot be read"));
      continue;
    }
    const std::string whole = set.folder + "/" + path;
    bytes += size;
    ++looked;
    try {
      struct stat status;
      const bool there = lstat(whole.c_str(), &status) == 0;
      if (!there || !S_ISREG(status.st_mode)) {
        report.problems.push_back(damaged(whole, there ? "it is no file" : "it is missing"));
        continue;
      }
      const auto now = static_cast<std::uint64_t>(status.st_size);
      if (now != size)
        report.problems.push_back(
            damaged(whole, "it has " + sys::show_count(now) + " bytes, and had " + sys::show_count(size)));
      else if (every_byte && sys::sha256_file(whole) != sha256)
        report.problems.push_back(damaged(whole, "its SHA-256 is another"));
      call.progress("read", bytes, 0);
    } catch (const Error& error) {
      report.problems.push_back(problem_of(error));
    }
  }
  report.parts.push_back({"files", sys::show_count(looked) + (looked == 1 ? " file, " : " files, ") +
                                       sys::show_size(bytes) +
                                       (every_byte ? ", every hash" : ", by name and size")});
}

SetReport verify_set(const RecoverySet& set, bool every_byte, const Secret* passphrase, Call& call) {
  SetReport report;
  check_files(set, every_byte, call, report);
  check_passphrase(set, passphrase, report);
  for (const StepType* type : step_table()) {
    if (type->verify == nullptr) continue;
    try {
      type->verify(set, every_byte, call, report);
    } catch (const Error& error) {
      report.problems.push_back(problem_of(error));
    }
  }
  const bool binds = !set.json.value("files", Json()).empty() || report.parts.size() > 1;
  if (!binds && report.problems.empty())
    report.problems.push_back({cannot_read, set.folder + "/" + set_file, "it binds nothing", other_copy});
  return report;
}

Json files_to_bind(const std::string& folder, const std::function<bool(const std::string& path)>& left_out,
                   Call& call) {
  Json files = Json::array();
  std::vector<std::string> hidden;
  sys::walk(folder, [&](const sys::Entry& entry) {
    call.stop_here_if_wanted();
    for (const std::string& one : hidden)
      if (entry.path.starts_with(one + "/")) return;
    if (sys::name_of_path(entry.path).starts_with(".")) {
      hidden.push_back(entry.path);
      return;
    }
    if (entry.kind != 'f' || entry.path == set_file || left_out(entry.path)) return;
    files.push_back({{"path", entry.path},
                     {"size", entry.size},
                     {"sha256", sys::sha256_file(folder + "/" + entry.path)}});
  });
  return files;
}

}  // namespace relight
