#include "steps/blobs/lib/source.h"

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"

namespace relight::blobs {
namespace {

constexpr std::uint64_t block = 4096;
constexpr std::size_t buffer_size = 256u << 10;

std::optional<std::string> relative(const std::string& path, const std::string& folder) {
  if (folder.empty() || folder == ".") return path == "." ? "" : path;
  if (path == folder) return "";
  if (path.starts_with(folder + "/")) return path.substr(folder.size() + 1);
  return std::nullopt;
}

void look_at_folder(const Source& source, bool hash, const std::function<void(const Content&)>& stop,
                    Content& content) {
  const std::string top = source.inside.empty() ? source.path : source.path + "/" + source.inside;
  if (!sys::is_folder(top))
    throw Error(ErrorKind::refused, "cannot read the blobs", top, "there is no such folder",
                "correct `from` or `inside`");
  sys::walk(source.path, [&](const sys::Entry& found) {
    sys::ArchiveEntry entry = {.path = found.path,
                               .kind = found.kind,
                               .size = found.size,
                               .mode = found.mode,
                               .owner = found.owner,
                               .mtime_ns = found.mtime_ns,
                               .link = found.link};
    if (!content.add(source, entry)) return;
    if (hash && entry.kind == 'f')
      content.files[entry.path] = sys::sha256_file(source.path + "/" + found.path);
    stop(content);
  });
}

void look_at_archive(const Source& source, bool hash, const std::function<void(const Content&)>& stop,
                     Content& content) {
  sys::ArchiveReader reader(source.path);
  sys::ArchiveEntry entry;
  std::string buffer(buffer_size, '\0');
  bool some = false;
  while (reader.next(entry)) {
    stop(content);
    if (!content.add(source, entry)) continue;
    some = true;
    if (!hash || entry.kind != 'f') continue;
    sys::Sha256 sum;
    while (const std::size_t got = reader.read(buffer.data(), buffer.size())) {
      sum.add({buffer.data(), got});
      stop(content);
    }
    content.files[entry.path] = sum.hex();
  }
  if (!some && !source.inside.empty())
    throw Error(ErrorKind::refused, "cannot read the blobs", source.path,
                "it holds no folder " + source.inside, "correct `inside`");
}

}  // namespace

bool Source::is_folder() const {
  return sys::is_folder(path);
}

std::optional<std::string> Source::below(const std::string& entry) const {
  // A manifest that lies in the folder of the blobs is none of them.
  if (!manifest.empty() && path + "/" + entry == manifest) return std::nullopt;
  return relative(entry, inside);
}

bool Content::add(const Source& source, sys::ArchiveEntry& entry) {
  const auto path = source.below(entry.path);
  if (!path) return false;
  entry.path = *path;
  if (path->empty()) {
    top = entry;
    return false;
  }
  if (entry.kind == 'h') {
    const auto link = source.below(entry.link);
    if (!link)
      throw Error(ErrorKind::refused, "cannot read the blobs", source.path,
                  entry.path + " is a hard link to " + entry.link + ", which is no part of " + source.inside,
                  "leave out `inside`, or pack the folder by itself");
    entry.link = *link;
    hard_links_.emplace_back(entry.path, entry.link);
  }
  switch (entry.kind) {
    case 'f':
    case 'h':
      if (files.insert_or_assign(entry.path, "").second && entry.kind == 'f') {
        bytes += entry.size;
        room += (entry.size + block - 1) / block * block;
      }
      break;
    case 'd':
      ++folders;
      room += block;
      break;
    case 'l':
      links.push_back(entry.path);
      break;
    default:
      strange.push_back(entry.path);
      break;
  }
  return true;
}

void Content::resolve_links(const std::string& on) {
  for (const auto& [path, link] : hard_links_) {
    const auto target = files.find(link);
    if (target == files.end())
      throw Error(ErrorKind::permanent, "cannot read the blobs", on,
                  path + " is a hard link to " + link + ", which is not there",
                  "the archive is not whole: restore from another copy of the backup");
    files[path] = target->second;
  }
}

Content look(const Source& source, bool hash, const std::function<void(const Content&)>& stop) {
  Content content;
  if (source.is_folder())
    look_at_folder(source, hash, stop, content);
  else
    look_at_archive(source, hash, stop, content);
  content.resolve_links(source.path);
  return content;
}

}  // namespace relight::blobs
