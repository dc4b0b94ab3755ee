#include "steps/blobs/lib/unpack.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "runner/sys/archive.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"

namespace relight::blobs {
namespace {

Content unpack(const Source& source, const std::string& folder, sys::UnpackOptions options, Call& call) {
  Content content;
  Hashes hashes;
  options.each = [&](sys::ArchiveEntry& entry) { return content.add(source, entry); };
  options.hashed = [&](const sys::ArchiveEntry& entry, const std::string& hash) {
    hashes[entry.path] = hash;
  };
  options.progress = [&](std::uint64_t, std::uint64_t bytes) { call.progress("unpack", bytes, 0); };
  options.stop = [&] { return call.stop_wanted(); };
  if (source.is_folder())
    sys::copy_checked(source.path, folder, options);
  else
    sys::unpack(source.path, folder, options);
  for (const auto& [path, hash] : hashes) content.files[path] = hash;
  content.resolve_links(source.path);
  return content;
}

// The owner of everything, and the owner and mode of the folder itself: as the backup says, else as the
// folder that is replaced. DURABLE
void finish_folders(const Content& content, const std::optional<sys::User>& user, const Switch& move) {
  const std::string& folder = move.beside();
  const auto give = [](const std::string& path, uid_t uid, gid_t gid) {
    if (lchown(path.c_str(), uid, gid) != 0) throw system_error(errno, "cannot change the owner", path);
  };
  if (user)
    sys::walk(folder,
              [&](const sys::Entry& entry) { give(folder + "/" + entry.path, user->uid, user->gid); });

  struct stat old;
  const bool had_old = stat(move.target().c_str(), &old) == 0;
  if (user)
    give(folder, user->uid, user->gid);
  else if (geteuid() == 0 && content.top)
    give(folder, content.top->owner.uid, content.top->owner.gid);
  else if (geteuid() == 0 && had_old)
    give(folder, old.st_uid, old.st_gid);
  const mode_t mode = content.top ? content.top->mode & 07777 : had_old ? old.st_mode & 07777 : 0755;
  sys::sync_tree(folder);
  // As late as can be: killed from here to the mark, it is unpacked afresh.
  sys::forget_unpacking(folder);
  if (chmod(folder.c_str(), mode) != 0) throw system_error(errno, "cannot change the mode", folder);
  sys::sync_folder(folder);
}

}  // namespace

Content unpack_beside(const Source& source, const Hashes& manifest, const std::optional<sys::User>& owner,
                      Switch& move, Call& call) {
  sys::UnpackOptions options;
  options.keep_owners = !owner.has_value();
  options.resume_as = "blobs.restore inside " + source.inside;
  if (!sys::unpacking_begun(source.path, move.beside(), options)) {
    move.drop_new();  // of another attempt, which was not about the same
    sys::make_folders(move.beside(), 0700);
  }
  failpoint("blobs.restore:unpacking");
  try {
    Content content = unpack(source, move.beside(), options, call);
    if (!source.manifest.empty()) {
      const Differences differences = compare(manifest, content.files);
      if (differences.any())
        throw Error(ErrorKind::permanent, "the blobs are not those of their manifest", source.path,
                    show(differences), other_copy);
    }
    finish_folders(content, owner, move);
    return content;
  } catch (const Error& error) {
    if (error.kind != ErrorKind::transient) move.drop_new();
    throw;
  }
}

}  // namespace relight::blobs
