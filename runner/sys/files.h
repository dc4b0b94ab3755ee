// Files and folders, with the order that survives a power cut written once.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace relight::sys {

// A file descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  ~Fd();
  int get() const { return fd_; }
  int release();
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// Every function throws Error with the path and errno's text.

std::string read_file(const std::string& path, std::uint64_t limit = 64u << 20);  // larger: a refused Error
std::optional<std::string> read_file_if_there(const std::string& path);
bool exists(const std::string& path);     // a dangling link exists
bool is_folder(const std::string& path);  // follows links

struct Owner {
  uid_t uid;
  gid_t gid;
};

// DURABLE: a new file beside (`.NAME.tmp`), owner and mode before the first byte, write, fsync,
// rename over `path`, fsync the folder. A reader sees the old bytes or the new ones.
void write_file(const std::string& path, std::string_view bytes, mode_t mode,
                std::optional<Owner> owner = std::nullopt);

// DURABLE: the same without a name beside it, for a file that nobody reads yet: what was at `path` is gone
// first, and after a crash the file may be there in part.
void write_new_file(const std::string& path, std::string_view bytes, mode_t mode,
                    std::optional<Owner> owner = std::nullopt);

void make_folders(const std::string& path, mode_t mode = 0755);  // with parents; DURABLE
void sync_folder(const std::string& path);
void sync_file(const std::string& path);
void sync_tree(const std::string& path);  // one syncfs of its file system

// Atomic, then DURABLE (both folders synced).
void rename_durably(const std::string& from, const std::string& to);  // replaces a file at `to`
void rename_new(const std::string& from, const std::string& to);      // Error when `to` is there
void exchange(const std::string& a, const std::string& b);            // RENAME_EXCHANGE

// True where a and b could be exchanged: same mount, neither a mount point, no lower layer of an overlay.
// `why` says what is in the way otherwise.
bool can_exchange(const std::string& target, std::string* why);

bool is_mount_point(const std::string& path);  // nothing there: false; a link is not followed
std::vector<std::string> mounts_below(const std::string& path);  // mount points within it, at any depth

std::vector<std::string> names_in(const std::string& folder);  // sorted by bytes, without "." and ".."

// Moves every entry of the folder `from` into the folder `to` of the same mount, one rename each, less those
// whose name `stays` says so. One whose name is taken in `to` is an Error: what has been moved by then stays
// moved, and called again it goes on. DURABLE
void move_entries(const std::string& from, const std::string& to,
                  const std::function<bool(const std::string& name)>& stays,
                  const std::function<void()>& each_moved);

// Nothing there: done. DURABLE
void remove_tree(const std::string& path);  // never crosses into another mount
void remove_file(const std::string& path);

// Copies a tree or a file with modes, owners, times, xattrs and links kept (reflink where the file
// system has it), markers left out. `to` must not be there; it is gone again after an Error. Hard links
// within the tree stay links. DURABLE
void copy_tree(const std::string& from, const std::string& to);

std::uint64_t tree_bytes(const std::string& path);  // disk blocks used, hard links once
std::uint64_t free_bytes(const std::string& path);  // to us, at the nearest existing parent
std::uint64_t device_of(const std::string& path);   // of the nearest existing parent

// Every entry below `path`, parents before children, names sorted, as paths relative to it.
struct Entry {
  std::string path;
  char kind;  // 'f' 'd' 'l' or 'o'
  std::uint64_t size;
  mode_t mode;
  Owner owner;
  std::int64_t mtime_ns;
  std::string link;  // the text of a link
};
void walk(const std::string& path, const std::function<void(const Entry&)>& each);

// SHA-256 over everything of the tree or file that counts as state: kinds, bytes, owners, modes, mtimes of
// files, xattrs other than user.relight*, link texts. "absent" where nothing is there.
std::string tree_digest(const std::string& path);

// Names in the root of a tree that are no part of its state, and that tree_bytes, tree_digest and copy_tree
// leave out: markers, what a switch has put aside within a mount point, and there `lost+found`.
bool is_set_apart(const std::string& name, bool in_mount_point);

// user.relight on the root of a tree, else a file `.relight` in a folder.
void set_marker(const std::string& path, const std::string& value);  // DURABLE
std::optional<std::string> marker(const std::string& path);
void clear_marker(const std::string& path);

std::string parent_of(const std::string& path);
std::string name_of_path(const std::string& path);
std::string absolute(const std::string& path);  // against the current folder, "." and ".." taken out by text

// A lock held until the object is gone, or the process, or the last process that inherited it.
class FileLock {
 public:
  // The file is made when absent. Returns nothing when another holds it.
  static std::optional<FileLock> try_lock(const std::string& path, bool shared = false);
  int fd() const { return fd_.get(); }

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// A temporary folder, removed with the object.
class TempFolder {
 public:
  explicit TempFolder(const std::string& parent = "");  // empty: $TMPDIR, else /tmp
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace relight::sys
