#include "steps/postgres/lib/base.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>

#include "runner/sys/archive.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/checker.h"
#include "steps/postgres/lib/repository.h"

namespace relight::postgres {

namespace {

constexpr int oldest_major = 14;
constexpr std::uint64_t small_file = 4u << 20;
constexpr std::uint64_t manifest_limit = 2ull << 30;

Error no_base(const std::string& path, const std::string& why, const std::string& hint) {
  return Error(ErrorKind::refused, "this is no base backup", path, why, hint);
}

// FOLDER/NAME.tar in any of the packings; empty: none.
std::string tar_named(const std::string& folder, const std::string& name) {
  for (const char* suffix : {".tar", ".tar.gz", ".tar.zst", ".tar.lz4", ".tgz"})
    if (sys::exists(folder + "/" + name + suffix)) return folder + "/" + name + suffix;
  return "";
}

bool packed(const std::string& archive) {
  return archive.size() < 4 || archive.compare(archive.size() - 4, 4, ".tar") != 0;
}

// The few files at the beginning that say what the backup is.
struct Head {
  std::optional<std::string> version, label, map;
  std::string inside;
};

Head head_of_folder(const std::string& folder) {
  return {.version = sys::read_file_if_there(folder + "/PG_VERSION"),
          .label = sys::read_file_if_there(folder + "/backup_label"),
          .map = sys::read_file_if_there(folder + "/tablespace_map"),
          .inside = ""};
}

// `map_told`: the manifest names a tablespace_map. pg_basebackup writes these three first.
Head head_of_archive(const std::string& archive, const std::optional<bool>& map_told, std::string* manifest) {
  Head head;
  sys::ArchiveReader reader(archive);
  sys::ArchiveEntry entry;
  while (reader.next(entry)) {
    const std::string name = sys::name_of_path(entry.path);
    const std::string inside = entry.path.substr(0, entry.path.size() - name.size());
    if (entry.kind != 'f' || std::count(inside.begin(), inside.end(), '/') > 1) continue;
    if (name == "PG_VERSION" || name == "backup_label" || name == "tablespace_map") {
      // base/1/PG_VERSION lies deeper; TOP/PG_VERSION is the one where everything lies below TOP.
      if (head.label && inside != head.inside) continue;
      std::optional<std::string>& text = name == "PG_VERSION"     ? head.version
                                         : name == "backup_label" ? head.label
                                                                  : head.map;
      text = reader.read_all(small_file);
      head.inside = inside;
    } else if (manifest != nullptr && name == "backup_manifest") {
      *manifest = reader.read_all(manifest_limit);
    }
    const bool whole = head.version && head.label && (head.map || (map_told && !*map_told));
    if (whole && (manifest == nullptr || !manifest->empty())) break;
  }
  return head;
}

// Locations of tablespaces: the map of a tar backup, the links of a plain one.
std::map<std::string, std::string> tablespaces_of(const Head& head, const std::string& folder) {
  if (head.map) return parse_tablespace_map(*head.map);
  std::map<std::string, std::string> found;
  if (folder.empty() || !sys::is_folder(folder + "/pg_tblspc")) return found;
  sys::walk(folder + "/pg_tblspc", [&](const sys::Entry& entry) {
    if (entry.path.find('/') != std::string::npos) return;
    if (entry.kind == 'l') found[entry.path] = entry.link;
    if (entry.kind == 'd') found[entry.path] = "";
  });
  return found;
}

void read_head(BaseBackup& base, const Head& head) {
  if (!head.version)
    throw no_base(base.path, "it has no PG_VERSION", "name the folder that pg_basebackup made");
  std::from_chars(head.version->data(), head.version->data() + head.version->size(), base.major);
  if (base.major < oldest_major)
    throw no_base(
        base.path, "its PG_VERSION is \"" + sys::trim(*head.version) + "\"",
        "base backups of PostgreSQL " + std::to_string(oldest_major) + " and later can be recovered");
  if (!head.label)
    throw no_base(base.path, "it has no backup_label, without which it cannot be made consistent",
                  "name a backup made by pg_basebackup, not a copied data directory");
  const std::size_t file = head.label->find("(file ");
  if (file != std::string::npos) base.label_segment = head.label->substr(file + 6, 24);
}

}  // namespace

std::string BasePart::prefix() const {
  return oid.empty() ? "" : "pg_tblspc/" + oid + "/";
}

std::uint64_t BaseBackup::bytes_of(const BasePart& part) const {
  std::uint64_t sum = 0;
  for (const auto& [name, file] : manifest.files) {
    const bool in_tablespace = name.rfind("pg_tblspc/", 0) == 0;
    if (part.oid.empty() ? !in_tablespace : name.rfind(part.prefix(), 0) == 0) sum += file.size;
  }
  return sum;
}

std::map<std::string, std::string> parse_tablespace_map(const std::string& text) {
  std::map<std::string, std::string> found;
  std::string line;
  // A newline within a location is written as backslash and newline.
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      line += text[++i];
    } else if (text[i] == '\n' || text[i] == '\r') {
      const std::size_t space = line.find(' ');
      if (space != std::string::npos) found[line.substr(0, space)] = line.substr(space + 1);
      line.clear();
    } else {
      line += text[i];
    }
  }
  return found;
}

Unreadable unreadable(const std::string& path) {
  if (access(path.c_str(), R_OK) == 0) return {};
  if (errno == ENOENT || errno == ENOTDIR)
    return {"nothing is there", "check the path; is the disk that it lies on mounted?"};
  return {std::strerror(errno),
          "let the user " + sys::current_user().name + " read it, and search the folders above it"};
}

BaseBackup open_base(const std::string& given) {
  BaseBackup base;
  base.path = given;
  if (const Unreadable fault = unreadable(given); !fault.why.empty())
    throw Error(ErrorKind::refused, "cannot read the base backup", given, fault.why, fault.hint);

  const bool folder = sys::is_folder(given);
  const std::string home = folder ? given : sys::parent_of(given);
  std::string archive = folder ? tar_named(given, "base") : given;
  if (folder && archive.empty() && !sys::exists(given + "/PG_VERSION"))
    throw no_base(given, "it holds neither PG_VERSION nor base.tar",
                  "name the folder that pg_basebackup made");
  if (!folder && !sys::is_archive(given))
    throw no_base(given, "it is no folder and no archive", "name a folder or a tar");

  // The manifest lies beside base.tar, in a plain backup, or within a single tar.
  std::string manifest_text;
  base.manifest_file = home + "/backup_manifest";
  const bool beside = sys::exists(base.manifest_file);
  if (beside) manifest_text = sys::read_file(base.manifest_file, manifest_limit);
  Head head;
  if (archive.empty()) {
    head = head_of_folder(given);
  } else {
    std::optional<bool> map_told;
    if (beside) map_told = manifest_text.find("\"tablespace_map\"") != std::string::npos;
    head = head_of_archive(archive, map_told, beside ? nullptr : &manifest_text);
    if (!beside) base.manifest_file = archive + ": " + head.inside + "backup_manifest";
  }
  if (manifest_text.empty())
    throw no_base(given, "it has no backup_manifest, so that nothing in it can be checked",
                  "take the base backup without --no-manifest");
  base.manifest = parse_manifest(manifest_text, base.manifest_file);
  read_head(base, head);

  base.parts.push_back({.source = archive.empty() ? given : archive,
                        .archive = !archive.empty(),
                        .inside = head.inside,
                        .oid = "",
                        .location = ""});
  if (head.map) {
    // It is read here and never unpacked: PostgreSQL would make links to the old places from it.
    Checker checker(base.manifest, "");
    checker.begin("tablespace_map", head.map->size());
    checker.block("tablespace_map", *head.map);
    if (const auto fault = checker.fault()) throw Error(*fault);
  }
  for (const auto& [oid, location] : tablespaces_of(head, archive.empty() ? given : "")) {
    BasePart part{.source = "", .archive = !archive.empty(), .inside = "", .oid = oid, .location = location};
    part.source = archive.empty() ? given + "/pg_tblspc/" + oid : tar_named(home, oid);
    if (part.location.empty()) part.location = home + "/" + oid;
    std::error_code missing;  // is told by check_base
    if (!part.archive) part.source = std::filesystem::canonical(part.source, missing).string();
    base.parts.push_back(part);
  }
  base.wal = archive.empty() ? given + "/pg_wal" : tar_named(home, "pg_wal");
  if (!base.wal.empty() && !sys::exists(base.wal)) base.wal.clear();
  return base;
}

namespace {

// Names of the data directory that are not unpacked, whatever the manifest says of them.
bool left_out(const std::string& name) {
  for (const char* folder : {"pg_wal/", "pg_tblspc/"})
    if (name.rfind(folder, 0) == 0) return true;
  for (const char* file : {"backup_manifest", "tablespace_map", "postmaster.pid", "postmaster.opts",
                           "recovery.signal", "standby.signal"})
    if (name == file) return true;
  return false;
}

// The name within the part; empty: none of it.
std::string name_in_part(const BasePart& part, const std::string& path) {
  if (path.rfind(part.inside, 0) != 0) return "";
  return path.substr(part.inside.size());
}

Error a_link(const BasePart& part, const std::string& name, const std::string& link) {
  return Error(ErrorKind::refused, "the base backup holds a link", part.prefix() + name,
               "it leads to " + link + ", out of the new tree",
               "only the links of pg_tblspc are known; take the backup with pg_basebackup");
}

void check_sizes(const BaseBackup& base, const BasePart& part, Checker& checker) {
  const auto see = [&](const std::string& name, char kind, std::uint64_t size, const std::string& link) {
    if (name.empty()) return;
    if (part.oid.empty() && left_out(name)) {
      if (kind == 'f') checker.passed_over(name);
      return;
    }
    if (kind == 'l') throw a_link(part, name, link);
    if (kind != 'f') return;
    const auto told = base.manifest.files.find(part.prefix() + name);
    if (told == base.manifest.files.end()) return;
    if (told->second.size != size) checker.begin(name, size);  // says how it differs
    checker.passed_over(name);
  };
  if (part.archive) {
    sys::ArchiveReader reader(part.source);
    sys::ArchiveEntry entry;
    while (reader.next(entry)) see(name_in_part(part, entry.path), entry.kind, entry.size, entry.link);
  } else {
    sys::walk(part.source,
              [&](const sys::Entry& entry) { see(entry.path, entry.kind, entry.size, entry.link); });
  }
}

void check_bytes(const BasePart& part, Checker& checker, const std::function<bool()>& stop) {
  std::string buffer(1u << 20, '\0');
  const auto stop_here = [&] {
    if (stop && stop())
      throw Error(ErrorKind::transient, "cannot check the base backup", part.source, "told to stop");
  };
  if (part.archive) {
    sys::ArchiveReader reader(part.source);
    sys::ArchiveEntry entry;
    while (reader.next(entry)) {
      const std::string name = name_in_part(part, entry.path);
      if (entry.kind != 'f' || name.empty()) continue;
      if (part.oid.empty() && left_out(name)) {
        checker.passed_over(name);
        continue;
      }
      checker.begin(name, entry.size);
      while (const std::size_t got = reader.read(buffer.data(), buffer.size())) {
        checker.block(name, std::string_view(buffer.data(), got));
        stop_here();
      }
    }
    return;
  }
  sys::walk(part.source, [&](const sys::Entry& entry) {
    if (entry.kind != 'f') return;
    if (part.oid.empty() && left_out(entry.path)) return checker.passed_over(entry.path);
    checker.begin(entry.path, entry.size);
    const std::string path = part.source + "/" + entry.path;
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) throw system_error(errno, "cannot read", path);
    for (ssize_t got; (got = read(file.get(), buffer.data(), buffer.size())) != 0; stop_here()) {
      if (got < 0) throw system_error(errno, "cannot read", path);
      checker.block(entry.path, std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    }
  });
}

}  // namespace

void check_base(const BaseBackup& base, bool every_byte, std::vector<Problem>& problems,
                std::vector<std::string>& hints, const std::function<bool()>& stop) {
  const auto problem = [&](const Error& error) {
    problems.push_back({error.failed, error.on, error.why, error.hint});
  };
  if (base.is_brought()) {
    if (every_byte)
      base.repository->check(base, problems);
    else
      hints.push_back(base.path +
                      ": its files are checked while they are restored, or now with --depth full");
    return;
  }
  for (const BasePart& part : base.parts) {
    if (part.source.empty() || !sys::exists(part.source)) {
      problem(Error(ErrorKind::refused, "the base backup is not whole", base.path,
                    "the tablespace " + part.oid + " (" + part.location + ") is missing",
                    "copy " + part.oid + ".tar of the same backup there"));
      continue;
    }
    Checker checker(base.manifest, part.prefix());
    try {
      if (every_byte) {
        check_bytes(part, checker, stop);
      } else if (part.archive && packed(part.source)) {
        hints.push_back(
            part.source +
            " is compressed: its files are checked while it is unpacked, or now with --depth full");
        continue;
      } else {
        check_sizes(base, part, checker);
      }
      if (const auto fault = checker.verdict()) problem(*fault);
    } catch (const Error& error) {
      problem(error);
    }
  }
}

void unpack_part(const BaseBackup& base, const BasePart& part, const std::string& folder,
                 const std::function<void(std::uint64_t)>& progress, const std::function<bool()>& stop,
                 const std::function<void(const std::string&)>& log) {
  Checker checker(base.manifest, part.prefix());
  sys::UnpackOptions options;
  options.keep_owners = false;
  options.stop = stop;
  options.progress = [&](std::uint64_t, std::uint64_t bytes) { progress(bytes); };
  options.each = [&](sys::ArchiveEntry& entry) {
    if (const auto fault = checker.fault()) throw Error(*fault);
    const std::string name = name_in_part(part, entry.path);
    if (name.empty()) return false;
    if (part.oid.empty() && left_out(name)) {
      if (entry.kind == 'f') checker.passed_over(name);
      return false;
    }
    if (entry.kind == 'l' || entry.kind == 'h') throw a_link(part, name, entry.link);
    entry.path = name;
    if (entry.kind == 'd') {
      entry.mode = 0700 | (entry.mode & 0050);
      return true;
    }
    if (!checker.known(name)) {
      log("left out, because the manifest does not know it: " + part.prefix() + name);
      return false;
    }
    entry.mode = 0600 | (entry.mode & 0040);
    checker.begin(name, entry.size);
    return true;
  };
  options.block = [&](const sys::ArchiveEntry& entry, std::string_view bytes) {
    checker.block(entry.path, bytes);
  };
  if (part.archive)
    sys::unpack(part.source, folder, options);
  else
    sys::copy_checked(part.source, folder, options);
  if (const auto fault = checker.verdict()) throw Error(*fault);
}

void unpack_base_wal(const BaseBackup& base, const std::string& folder) {
  sys::UnpackOptions options;
  options.keep_owners = false;
  options.each = [](sys::ArchiveEntry& entry) {
    entry.path = sys::name_of_path(entry.path);
    entry.mode = 0600;
    return entry.kind == 'f';
  };
  sys::unpack(base.wal, folder, options);
}

}  // namespace relight::postgres
