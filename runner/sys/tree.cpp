// Walking, removing and measuring trees.
#include "runner/sys/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/text.h"

namespace relight::sys {
namespace {

[[noreturn]] void fail_at(const char* what, const std::string& path) {
  throw system_error(errno, what, path);
}

std::string below(const std::string& path, const std::string& name) {
  return path.empty() ? name : path.back() == '/' ? path + name : path + "/" + name;
}

char kind_of(mode_t mode) {
  if (S_ISREG(mode)) return 'f';
  if (S_ISDIR(mode)) return 'd';
  return S_ISLNK(mode) ? 'l' : 'o';
}

std::string link_text(int parent, const std::string& name, const std::string& path) {
  std::string text(4096, '\0');  // PATH_MAX: no link is longer
  ssize_t size = ::readlinkat(parent, name.c_str(), text.data(), text.size());
  if (size < 0) fail_at("cannot read the link", path);
  text.resize(static_cast<std::size_t>(size));
  return text;
}

// Nothing: it went meanwhile, as files of a running server do.
std::optional<Entry> entry_of(int parent, const std::string& name, const std::string& relative,
                              const std::string& path, struct stat& info) {
  if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return std::nullopt;
    fail_at("cannot look at", path);
  }
  Entry entry{.path = relative,
              .kind = kind_of(info.st_mode),
              .size = static_cast<std::uint64_t>(info.st_size),
              .mode = info.st_mode & 07777,
              .owner = {info.st_uid, info.st_gid},
              .mtime_ns = info.st_mtim.tv_sec * std::int64_t{1000000000} + info.st_mtim.tv_nsec,
              .link = {}};
  if (entry.kind == 'l') entry.link = link_text(parent, name, path);
  return entry;
}

// `each` also gets the open parent, the name in it and the whole stat.
using Visit = std::function<void(const Entry&, int parent, const std::string& name, const struct stat&)>;

// `skips`: names in the root that are passed over.
using Skip = std::function<bool(const std::string& name)>;

void visit(int folder, const std::string& root, const std::string& relative, const Visit& each,
           const Skip& skips = {}) {
  for (const std::string& name : names_in(folder, below(root, relative))) {
    if (skips && skips(name)) continue;
    const std::string here = below(relative, name), path = below(root, here);
    struct stat info;
    const std::optional<Entry> entry = entry_of(folder, name, here, path, info);
    if (!entry) continue;
    each(*entry, folder, name, info);
    if (entry->kind == 'd') visit(open_folder_at(folder, name, path).get(), root, here, each);
  }
}

// As the kernel writes paths in mountinfo: a blank is \\040.
std::string without_octal(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

Skip set_apart_in(const std::string& root) {
  return [mounted = is_mount_point(root)](const std::string& name) { return is_set_apart(name, mounted); };
}

void refuse_mount(int folder, const std::string& path) {
  struct statx info;
  if (::statx(folder, "", AT_EMPTY_PATH, STATX_TYPE, &info) != 0) fail_at("cannot look at", path);
  if (info.stx_attributes & STATX_ATTR_MOUNT_ROOT)
    throw Error(ErrorKind::permanent, "cannot remove", path, "it is a mount point", "unmount it first");
}

void remove_below(int folder, const std::string& path) {
  refuse_mount(folder, path);
  for (const std::string& name : names_in(folder, path)) {
    const std::string here = below(path, name);
    if ((!fails_at("sys:unlink") && ::unlinkat(folder, name.c_str(), 0) == 0) || errno == ENOENT) continue;
    if (errno != EISDIR) fail_at("cannot remove", here);
    ::fchmodat(folder, name.c_str(), 0700, 0);  // ours, but closed to us: what fails is told by the next call
    remove_below(open_folder_at(folder, name, here).get(), here);
    if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
      fail_at("cannot remove", here);
  }
}

}  // namespace

std::vector<std::string> names_in(int folder, const std::string& path) {
  Fd own(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));  // an offset of its own
  if (!own) fail_at("cannot read the folder", path);
  DIR* stream = ::fdopendir(own.get());
  if (stream == nullptr) fail_at("cannot read the folder", path);
  own.release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* one = ::readdir(stream)) {
    if (std::strcmp(one->d_name, ".") != 0 && std::strcmp(one->d_name, "..") != 0)
      names.emplace_back(one->d_name);
    errno = 0;
  }
  const int error_number = errno;
  ::closedir(stream);
  if (error_number != 0) throw system_error(error_number, "cannot read the folder", path);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> names_in(const std::string& folder) {
  Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) fail_at("cannot open the folder", folder);
  return names_in(fd.get(), folder);
}

Fd open_folder_at(int parent, const std::string& name, const std::string& path) {
  Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) fail_at("cannot open the folder", path);
  return fd;
}

std::string by_descriptor(int parent, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(parent) + "/" + name;
}

std::vector<Attribute> attributes_of(const std::string& name, const std::string& path) {
  std::vector<Attribute> attributes;
  std::string list(65536, '\0'), value(65536, '\0');  // the kernel's limits of both
  ssize_t size = ::llistxattr(name.c_str(), list.data(), list.size());
  if (size < 0 && (errno == ENOTSUP || errno == ENOSYS)) return attributes;
  if (size < 0) fail_at("cannot read the extended attributes of", path);
  for (const char* at = list.data(); at < list.data() + size; at += std::strlen(at) + 1) {
    const std::string attribute = at;
    if (attribute.starts_with("user.relight")) continue;
    const ssize_t length = ::lgetxattr(name.c_str(), at, value.data(), value.size());
    if (length < 0) fail_at("cannot read the extended attributes of", path);
    attributes.push_back({attribute, value.substr(0, static_cast<std::size_t>(length))});
  }
  std::sort(attributes.begin(), attributes.end(),
            [](const Attribute& a, const Attribute& b) { return a.name < b.name; });
  return attributes;
}

void walk(const std::string& path, const std::function<void(const Entry&)>& each) {
  Fd root(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) fail_at("cannot open the folder", path);
  visit(root.get(), path, "",
        [&](const Entry& entry, int, const std::string&, const struct stat&) { each(entry); });
}

std::vector<std::string> mounts_below(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) fail_at("cannot look at", path);
  const std::string whole = resolved == std::string_view("/") ? "/" : std::string(resolved) + "/";
  std::vector<std::string> found;
  for (const std::string& line : split(read_file("/proc/self/mountinfo"), '\n')) {
    const std::vector<std::string> fields = split(line, ' ');
    if (fields.size() < 5) continue;
    const std::string mount = without_octal(fields[4]);
    if (mount.starts_with(whole) && mount != whole) found.push_back(mount);
  }
  return found;
}

void move_entries(const std::string& from, const std::string& to,
                  const std::function<bool(const std::string& name)>& stays,
                  const std::function<void()>& each_moved) {
  Fd source(::open(from.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!source) fail_at("cannot open the folder", from);
  Fd into(::open(to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!into) fail_at("cannot open the folder", to);
  for (const std::string& name : names_in(source.get(), from)) {
    if (stays(name)) continue;
    if (::renameat2(source.get(), name.c_str(), into.get(), name.c_str(), RENAME_NOREPLACE) != 0)
      fail_at("cannot move", below(from, name) + " -> " + below(to, name));
    each_moved();
  }
  // One that was moved by an attempt that died is synced here, too.
  if (::fsync(into.get()) != 0) fail_at("cannot sync", to);
  if (::fsync(source.get()) != 0) fail_at("cannot sync", from);
}

void remove_tree(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    fail_at("cannot remove", path);
  }
  if (!S_ISDIR(info.st_mode)) return remove_file(path);
  // A mount below is found before the first file goes, so that a refusal has removed nothing.
  if (const std::vector<std::string> mounts = mounts_below(path); !mounts.empty())
    throw Error(ErrorKind::permanent, "cannot remove", path, mounts.front() + " is a mount point",
                "unmount it first");
  ::chmod(path.c_str(), 0700);
  {
    Fd root(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!root) fail_at("cannot remove", path);
    remove_below(root.get(), path);
  }
  if ((fails_at("sys:rmdir") || ::rmdir(path.c_str()) != 0) && errno != ENOENT)
    fail_at("cannot remove", path);
  sync_folder(parent_of(path));
}

std::uint64_t tree_bytes(const std::string& path) {
  struct stat root;
  if (::lstat(path.c_str(), &root) != 0) fail_at("cannot look at", path);
  std::uint64_t total = static_cast<std::uint64_t>(root.st_blocks) * 512;
  if (!S_ISDIR(root.st_mode)) return total;
  std::set<std::pair<dev_t, ino_t>> seen;
  Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) fail_at("cannot open the folder", path);
  const auto add = [&](const Entry& entry, int, const std::string&, const struct stat& info) {
    if (entry.kind != 'd' && info.st_nlink > 1 && !seen.insert({info.st_dev, info.st_ino}).second) return;
    total += static_cast<std::uint64_t>(info.st_blocks) * 512;
  };
  visit(folder.get(), path, "", add, set_apart_in(path));
  return total;
}

std::string tree_digest(const std::string& path) {
  if (!exists(path)) return "absent";
  Sha256 hash;
  // Every part with its length before it, so that no two trees give the same bytes.
  const auto add = [&](std::string_view part) {
    hash.add(std::to_string(part.size()) + ":");
    hash.add(part);
  };
  const auto add_entry = [&](const Entry& entry, int parent, const std::string& name,
                             const struct stat& info) {
    const std::string whole = entry.path.empty() ? path : below(path, entry.path);
    add(entry.path);
    add(std::string(1, entry.kind) + " " + std::to_string(entry.mode) + " " +
        std::to_string(entry.owner.uid) + " " + std::to_string(entry.owner.gid));
    for (const Attribute& attribute : attributes_of(by_descriptor(parent, name), whole)) {
      add(attribute.name);
      add(attribute.value);
    }
    if (entry.kind == 'l') add(entry.link);
    if (entry.kind == 'o') add(std::to_string(info.st_mode) + " " + std::to_string(info.st_rdev));
    if (entry.kind == 'f') add(std::to_string(entry.mtime_ns) + " " + sha256_file(whole));
  };
  struct stat info;
  const std::string parent = parent_of(absolute(path)), name = name_of_path(absolute(path));
  Fd above(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!above) fail_at("cannot open the folder", parent);
  const std::string root_name = name == "/" ? "." : name;
  const std::optional<Entry> root = entry_of(above.get(), root_name, "", path, info);
  if (!root) return "absent";
  add_entry(*root, above.get(), root_name, info);
  if (root->kind == 'd')
    visit(open_folder_at(above.get(), root_name, path).get(), path, "", add_entry, set_apart_in(path));
  return hash.hex();
}

}  // namespace relight::sys
