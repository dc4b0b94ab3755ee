// host.directory: a folder with its mode and owner.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner/step/access.h"
#include "runner/step/parents.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {
namespace {

constexpr mode_t new_mode = 0755;

std::string octal(mode_t mode) {
  char text[8];
  snprintf(text, sizeof text, "%04o", mode & 07777);
  return text;
}

// Follows links: a data folder is often a link to a larger disk, and it is the folder that is meant.
std::optional<struct stat> folder_at(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT && !sys::exists(path)) return std::nullopt;
    throw system_error(errno, "cannot look at", path);
  }
  if (!S_ISDIR(status.st_mode))
    throw Error(ErrorKind::refused, "cannot make the folder", path, "something that is no folder is there",
                "move it away, or name another path");
  return status;
}

// On the open folder, so that nothing can be put in its place between the two calls.
void set_access(const std::string& path, mode_t mode, uid_t uid, gid_t gid) {
  const sys::Fd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) throw system_error(errno, "cannot open the folder", path);
  // The owner first: changing it takes setuid and setgid bits off.
  if (fails_at("sys:chown") || fchown(folder.get(), uid, gid) != 0)
    throw system_error(errno, "cannot set the owner of", path);
  if (fails_at("sys:chmod") || fchmod(folder.get(), mode) != 0)
    throw system_error(errno, "cannot set the mode of", path);
  if (fails_at("sys:fsync_folder") || fsync(folder.get()) != 0)
    throw system_error(errno, "cannot sync the folder", path);
}

class Directory : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "path");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    const auto access = access_foreseen(params, preview);
    if (!params.known("path")) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.summary = "make the folder " + shown(params.all()["path"]);
      return preview;
    }
    const std::string path = call.place(params.text("path"));
    preview.summary = "make the folder " + path;
    try {
      const auto there = folder_at(path);
      const auto protection = write_protected("cannot make the folder", path);
      if (!there) {
        if (protection) preview.problems.push_back(*protection);
        return preview;
      }
      if (access && access->fits(there->st_mode, there->st_uid, there->st_gid)) {
        preview.verdict = Preview::Verdict::nothing_to_do;
        preview.summary = path + " is as wanted";
      } else {
        preview.summary = "set mode and owner of " + path + ", now " + octal(there->st_mode) + " " +
                          std::to_string(there->st_uid) + ":" + std::to_string(there->st_gid);
        if (protection) preview.problems.push_back(*protection);
      }
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const std::string path = call.place(params.text("path"));
    const Access access = access_wanted(params);
    auto there = folder_at(path);
    if (!there) {
      make_parents(call, path);
      call.note("made", path);
      failpoint("directory:noted");
      // Nobody else's until its owner and mode are set.
      if (fails_at("sys:mkdir") || mkdir(path.c_str(), 0700) != 0)
        throw system_error(errno, "cannot make the folder", path);
      sys::sync_folder(sys::parent_of(path));
      failpoint("directory:made");
      there = folder_at(path);
    }
    const bool ours = call.notes().contains("made");
    const mode_t mode = access.mode.value_or(ours ? new_mode : there->st_mode & 07777);
    const uid_t uid = access.uid.value_or(there->st_uid);
    const gid_t gid = access.gid.value_or(there->st_gid);
    if ((there->st_mode & 07777) != mode || there->st_uid != uid || there->st_gid != gid) {
      // Of a folder that was there, what undo puts back: as the first attempt found it.
      if (!ours && !call.notes().contains("before"))
        call.note("before",
                  {{"mode", there->st_mode & 07777}, {"uid", there->st_uid}, {"gid", there->st_gid}});
      failpoint("directory:before_access");
      set_access(path, mode, uid, gid);
      failpoint("directory:access");
    }
    return {{"path", path}};
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    const std::string path = call.place(params.text("path"));
    const Json& notes = call.notes();
    if (notes.contains("made")) {
      if (!fails_at("sys:rmdir") && rmdir(path.c_str()) == 0)
        sys::sync_folder(sys::parent_of(path));
      else if (errno == ENOTEMPTY || errno == EEXIST || errno == EBUSY)
        call.log(path + " is not empty, and stays");
      else if (errno != ENOENT)
        throw system_error(errno, "cannot remove the folder", path);
    } else if (const auto there = folder_at(path); there && notes.contains("before")) {
      const Json& before = notes["before"];
      const Access access{before["mode"].get<mode_t>(), before["uid"].get<uid_t>(),
                          before["gid"].get<gid_t>()};
      if (!access.fits(there->st_mode, there->st_uid, there->st_gid))
        set_access(path, *access.mode, *access.uid, *access.gid);
    }
    remove_made_parents(call);
  }

  std::string state_digest(const Params& params, Call& call) const override {
    const auto there = folder_at(call.place(params.text("path")));
    if (!there) return "absent";
    return octal(there->st_mode) + " " + std::to_string(there->st_uid) + ":" + std::to_string(there->st_gid);
  }
};

}  // namespace

extern const StepType host_directory;
const StepType host_directory = {
    .name = "host.directory",
    .doc =
        "Make a folder, with its mode and owner.\n"
        "Missing parents are made too. A folder that is there keeps what it holds; its mode, owner and group "
        "are set as "
        "far as they are given. Undo takes away a folder that it made when it is empty, and gives one that "
        "was there its "
        "mode and owner back.",
    .example =
        "host.directory \"blob-folder\" { path = \"/srv/aihummer/blobs\", owner = \"aihummer\", mode = "
        "\"0750\" }",
    .fields =
        {
            {.name = "path",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the folder",
             .example = "\"/srv/aihummer\"",
             .choices = {}},
            mode_field("its mode, in octal digits; 0755 for a new one"),
            owner_field(),
            group_field(),
        },
    .outputs = {{.name = "path", .doc = "the folder's path"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "a folder that it made and that holds something by then",
    .drill = Drill::runs,
    .make = make_step<Directory>,
};

}  // namespace relight
