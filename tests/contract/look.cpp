#include "tests/contract/look.h"

#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

constexpr std::time_t long_ago = 1'500'000'000, recently = 1'600'000'000;

// Parents before children, names sorted; `folder` itself as ".".
void each_below(const std::string& folder, const std::function<void(const std::string&)>& act) {
  act(".");
  sys::walk(folder, [&](const sys::Entry& entry) { act(entry.path); });
}

std::string attributes_of(const std::string& path) {
  std::string names(65536, '\0');
  const ssize_t size = llistxattr(path.c_str(), names.data(), names.size());
  REQUIRE(size >= 0);
  std::string text;
  std::vector<std::string> sorted = sys::split(names.substr(0, static_cast<std::size_t>(size)), '\0');
  std::sort(sorted.begin(), sorted.end());
  for (const std::string& name : sorted) {
    if (name.empty()) continue;
    std::string value(65536, '\0');
    const ssize_t got = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    REQUIRE(got >= 0);
    text += " " + name + "=" + value.substr(0, static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

Look look_at(const std::string& folder, const std::vector<std::string>& busy, bool exact) {
  Look look;
  std::map<ino_t, std::string> linked;  // the first name of what has several
  each_below(folder, [&](const std::string& relative) {
    const std::string path = relative == "." ? folder : folder + "/" + relative;
    struct stat info {};
    REQUIRE(lstat(path.c_str(), &info) == 0);
    std::string text = fmt::format("{:o} {}:{}", info.st_mode, info.st_uid, info.st_gid);
    if (S_ISREG(info.st_mode)) text += fmt::format(" {} {}", info.st_size, sys::sha256_file(path));
    if (S_ISLNK(info.st_mode)) {
      std::string target(4096, '\0');
      const ssize_t size = readlink(path.c_str(), target.data(), target.size());
      REQUIRE(size >= 0);
      text += " -> " + target.substr(0, static_cast<std::size_t>(size));
    }
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1)
      text += fmt::format(" {} names, as {}", info.st_nlink,
                          linked.try_emplace(info.st_ino, relative).first->second);
    text += attributes_of(path);
    if (exact)
      text += fmt::format(" inode {} at {}.{} {}.{}", info.st_ino, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                          info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
    else if (std::find(busy.begin(), busy.end(), relative) == busy.end())
      text += info.st_mtim.tv_sec > recently ? " new" : fmt::format(" at {}", info.st_mtim.tv_sec);
    look[relative] = text;
  });
  return look;
}

void make_old(const std::string& folder) {
  std::time_t at = long_ago;
  each_below(folder, [&](const std::string& relative) {
    const timespec time{++at, 0}, times[2] = {time, time};
    REQUIRE(utimensat(AT_FDCWD, (folder + "/" + relative).c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
  });
}

std::string differences(const Look& wanted, const Look& seen) {
  std::vector<std::string> lines;
  for (const auto& [path, text] : wanted) {
    const auto found = seen.find(path);
    if (found == seen.end())
      lines.push_back(path + " is gone (" + text + ")");
    else if (found->second != text)
      lines.push_back(path + " is " + found->second + ", not " + text);
  }
  for (const auto& [path, text] : seen)
    if (!wanted.contains(path)) lines.push_back(path + " is there (" + text + ")");
  if (lines.size() > 5) lines.resize(5);
  return sys::join(lines, "\n    ");
}

}  // namespace relight
