#include "runner/lang/sources.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/text.h"

namespace relight::lang {

namespace {

Error refused(const char* kind, const std::string& path, std::string why, std::string hint = "") {
  return Error(ErrorKind::refused, std::string("cannot read the ") + kind, path, std::move(why),
               std::move(hint));
}

bool is_there(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

bool is_module_name(const std::string& name) {
  bool part_begun = false;
  for (const char c : name) {
    const bool letter =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!letter && !(c == '.' && part_begun)) return false;
    part_begun = letter;
  }
  return part_begun && name.size() <= 200;
}

}  // namespace

Sources::Sources(const std::string& runbook_path, std::string library, std::size_t size_limit)
    : library_(std::move(library)), size_limit_(size_limit) {
  const std::size_t slash = runbook_path.rfind('/');
  folder_ = slash == std::string::npos ? "." : slash == 0 ? "/" : runbook_path.substr(0, slash);
  runbook_name_ = slash == std::string::npos ? runbook_path : runbook_path.substr(slash + 1);
}

Sources::Sources(std::string runbook_name, const std::vector<SourceFile>& files)
    : runbook_name_(std::move(runbook_name)), whole_(true) {
  for (const SourceFile& file : files) files_.emplace(file.name, file);
}

const SourceFile& Sources::runbook() {
  if (const auto found = files_.find(runbook_name_); found != files_.end()) return found->second;
  return read(folder_ + "/" + runbook_name_, runbook_name_, "runbook");
}

const SourceFile& Sources::module(const std::string& name) {
  if (!is_module_name(name))
    throw Error(ErrorKind::refused, "cannot require \"" + name + "\"", "",
                "a module's name is letters, digits, - and _, with dots for folders",
                "\"tools.net\" is tools/net.lua beside the runbook");
  std::string file = name + ".lua";
  for (std::size_t i = 0; i < name.size(); ++i)
    if (file[i] == '.') file[i] = '/';
  if (const auto found = files_.find(file); found != files_.end()) return found->second;
  if (whole_)
    throw Error(ErrorKind::needs_person, "cannot require \"" + name + "\"", "",
                "it is not among the run's frozen files", "the run's folder was changed by hand");
  const std::string beside = folder_ + "/" + file, shipped = library_ + "/" + file;
  if (is_there(beside)) return read(beside, file, "module");
  if (!library_.empty() && is_there(shipped)) return read(shipped, file, "module");
  throw Error(
      ErrorKind::refused, "cannot require \"" + name + "\"", "",
      "there is no " + file + " beside the runbook" + (library_.empty() ? "" : ", nor in " + library_),
      "only files beside the runbook, and the library that ships, can be required");
}

const SourceFile& Sources::read(const std::string& path, const std::string& name, const char* kind) {
  if (whole_)
    throw refused(kind, name, "it is not among the run's frozen files",
                  "the run's folder was changed by hand");
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    const int error = errno;
    throw refused(kind, path, error == ENOENT ? "there is no such file" : std::strerror(error),
                  error == ENOENT ? "a path is taken from the folder that relight is called in" : "");
  }
  struct Closer {
    int fd;
    ~Closer() { close(fd); }
  } closer{fd};
  struct stat info;
  if (fstat(fd, &info) != 0) throw refused(kind, path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) throw refused(kind, path, "it is a folder", "name the file in it");
  if (!S_ISREG(info.st_mode)) throw refused(kind, path, "it is not a plain file");
  SourceFile file{name, {}};
  // One byte more than it had is asked for, so that a file that grows meanwhile is told, too.
  if (static_cast<std::uint64_t>(info.st_size) <= size_limit_) {
    file.bytes.resize(static_cast<std::size_t>(info.st_size) + 1);
    std::size_t size = 0;
    for (ssize_t got; size < file.bytes.size(); size += static_cast<std::size_t>(got)) {
      got = ::read(fd, file.bytes.data() + size, file.bytes.size() - size);
      if (got < 0) throw refused(kind, path, std::strerror(errno));
      if (got == 0) break;
    }
    file.bytes.resize(size);
    if (size > static_cast<std::size_t>(info.st_size))
      throw refused(kind, path, "it was written to meanwhile", "try again");
  }
  if (static_cast<std::uint64_t>(info.st_size) > size_limit_)
    throw refused(kind, path,
                  "it is " + sys::show_size(static_cast<std::uint64_t>(info.st_size)) + ", and at most " +
                      std::to_string(size_limit_ >> 20) + " MiB are read",
                  "is it a runbook? data belongs into files that steps read");
  if (file.bytes.compare(0, 4, "\033Lua") == 0)
    throw refused(kind, path, "it is compiled Lua", "give its source");
  if (file.bytes.find('\0') != std::string::npos)
    throw refused(kind, path, "it holds NUL bytes: it is no text");
  return files_.emplace(name, std::move(file)).first->second;
}

std::string Sources::hash_of(const std::string& file) const {
  std::string& hash = hashes_[file];
  if (hash.empty()) hash = sys::sha256_hex(files_.at(file).bytes);
  return hash;
}

std::vector<SourceFile> Sources::all() const {
  std::vector<SourceFile> files;
  for (const auto& [name, file] : files_) files.push_back(file);
  return files;
}

std::string library_folder() {
  std::error_code failed;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (failed) return "";
  std::filesystem::path folder = program.parent_path();
  if (const auto shipped = folder.parent_path() / "share/relight/runbooks/lib"; is_there(shipped))
    return shipped;
  // build/relight, build/asan/relight, build/tests/relight-tests
  for (int up = 0; up < 3; ++up) {
    folder = folder.parent_path();
    if (const auto built = folder / "runbooks/lib"; is_there(built)) return built;
  }
  return "";
}

}  // namespace relight::lang
