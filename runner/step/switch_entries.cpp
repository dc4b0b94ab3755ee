// The switch of a mount point, entry by entry.
//
// In the hidden folder HOME within it, `new` holds the new entries until they are current, `old` those that
// they took the place of. The marker of HOME says how far it is:
//
//   marked    the new entries are whole, the target is as it was
//   aside     the old entries are being moved to HOME/old
//   in        all of them lie there; the new ones are being moved in
//   switched
//   out       the way back: the new entries are being moved to HOME/new
//   back      all of them lie there; the old ones are being moved in
//   marked
//
// Each phase moves whatever its source still holds, so that a killed one is gone on with by doing it again.
// The marker of the target itself says whose entries are in it, as a later run may have put its own there.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner/step/switch_way.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {
namespace {

class Entries final : public Switch::Way {
 public:
  using State = Switch::State;

  Entries(Call& call, std::string target, std::string home)
      : Way(call, std::move(target), home + "/new"), home_(std::move(home)), old_(home_ + "/old") {}

  State state() const override;
  bool had_old() const override { return sys::exists(old_); }
  std::string old_place() const override { return old_; }
  void prepare() override;
  void mark() override;
  void commit() override;
  void revert() override;
  void discard() override;
  void drop_new() override;

 private:
  enum class Phase { none, marked, aside, in, switched, out, back };
  static constexpr const char* names[] = {"", "marked", "aside", "in", "switched", "out", "back"};

  Phase phase() const;
  void enter(Phase phase) const;
  bool ours() const { return sys::marker(target_).value_or("") == new_mark(); }
  void begin() const;
  void move(const std::string& from, const std::string& to, const char* moved) const;
  void dress(const std::string& like, const std::string& marker) const;
  std::string note_of_time() const { return "time of " + target_; }
  void put_time_back() const;

  const std::string home_, old_;
};

// Owner (where we may) and mode of a folder as those of another. DURABLE
void take_access(const std::string& folder, const std::string& like) {
  struct stat wanted;
  if (stat(like.c_str(), &wanted) != 0) throw system_error(errno, "cannot look at", like);
  const sys::Fd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) throw system_error(errno, "cannot open the folder", folder);
  // The owner first: changing it takes setuid and setgid bits off.
  if (geteuid() == 0 && fchown(fd.get(), wanted.st_uid, wanted.st_gid) != 0)
    throw system_error(errno, "cannot set the owner of", folder);
  if (fchmod(fd.get(), wanted.st_mode & 07777) != 0)
    throw system_error(errno, "cannot set the mode of", folder);
  if (fsync(fd.get()) != 0) throw system_error(errno, "cannot sync the folder", folder);
}

Entries::Phase Entries::phase() const {
  if (!sys::exists(home_)) return Phase::none;
  const std::string text = sys::marker(home_).value_or(""), whose = call_.run() + " " + call_.step() + " ";
  if (!text.starts_with(whose)) return Phase::none;
  for (const Phase one : {Phase::marked, Phase::aside, Phase::in, Phase::switched, Phase::out, Phase::back})
    if (text.substr(whose.size()) == names[static_cast<int>(one)]) return one;
  throw Error(ErrorKind::needs_person, "cannot tell how far a switch is", home_, "its marker says " + text,
              "another version of relight may have written it");
}

void Entries::enter(Phase phase) const {
  sys::set_marker(home_, call_.run() + " " + call_.step() + " " + names[static_cast<int>(phase)]);
}

Switch::State Entries::state() const {
  switch (phase()) {
    case Phase::none:
      return State::nothing;
    case Phase::switched:
      return ours() ? State::switched : State::nothing;
    default:
      return State::marked;
  }
}

// HOME is made within the target, and changes its time before anything of the switch is done.
void Entries::prepare() {
  struct stat info;
  if (call_.notes().contains(note_of_time()) || stat(target_.c_str(), &info) != 0) return;
  call_.note(note_of_time(), {info.st_mtim.tv_sec, info.st_mtim.tv_nsec});
}

void Entries::put_time_back() const {
  const auto noted = call_.notes().find(note_of_time());
  if (noted == call_.notes().end()) return;
  const timespec times[] = {{0, UTIME_OMIT}, {noted->at(0).get<time_t>(), noted->at(1).get<long>()}};
  struct stat now;
  if (stat(target_.c_str(), &now) == 0 && now.st_mtim.tv_sec == times[1].tv_sec &&
      now.st_mtim.tv_nsec == times[1].tv_nsec)
    return;
  if (utimensat(AT_FDCWD, target_.c_str(), times, 0) != 0)
    throw system_error(errno, "cannot set the time of", target_);
  sys::sync_folder(target_);
}

void Entries::mark() {
  if (phase() != Phase::none) return;
  call_.note(note_of_entries(target_), home_);
  failpoint("switch:noted");
  enter(Phase::marked);
  failpoint("switch:marked");
}

// A folder for the old entries, which also holds the target's own access and marker.
void Entries::begin() const {
  sys::make_folders(old_, 0700);
  take_access(old_, target_);
  const std::string before = sys::marker(target_).value_or("");
  before.empty() ? sys::clear_marker(old_) : sys::set_marker(old_, before);
  failpoint("switch:before_commit");
}

void Entries::move(const std::string& from, const std::string& to, const char* moved) const {
  try {
    sys::move_entries(
        from, to, [](const std::string& name) { return sys::is_set_apart(name, true); },
        [&] { failpoint(moved); });
  } catch (const Error& error) {
    throw Error(error.kind, error.failed, error.on, error.why,
                "the entries of " + target_ + " are half switched: mend this, then resume or roll back");
  }
}

void Entries::dress(const std::string& like, const std::string& marker) const {
  take_access(target_, like);
  marker.empty() ? sys::clear_marker(target_) : sys::set_marker(target_, marker);
}

void Entries::commit() {
  Phase at = phase();
  if (at == Phase::out || at == Phase::back) {
    revert();
    at = Phase::marked;
  }
  if (state() == State::nothing)
    throw Error(ErrorKind::permanent, "cannot switch to the new data", beside_, "it is not whole");
  if (at == Phase::marked) {
    begin();
    enter(at = Phase::aside);
    failpoint("switch:aside");
  }
  if (at == Phase::aside) {
    move(target_, old_, "switch:entry_aside");
    enter(at = Phase::in);
    failpoint("switch:in");
  }
  if (at == Phase::in) {
    move(beside_, target_, "switch:entry_in");
    dress(beside_, new_mark());
    failpoint("switch:dressed");
    enter(Phase::switched);
    failpoint("switch:committed");
  }
}

void Entries::revert() {
  Phase at = phase();
  if (at == Phase::switched && ours()) {
    failpoint("switch:before_revert");
    at = Phase::in;
  }
  if (at == Phase::in) {
    enter(at = Phase::out);
    failpoint("switch:out");
  }
  if (at == Phase::out) move(target_, beside_, "switch:entry_out");
  // Of what is being put aside the rest still lies in its place.
  if (at == Phase::out || at == Phase::aside) {
    enter(at = Phase::back);
    failpoint("switch:back");
  }
  if (at == Phase::back) {
    move(old_, target_, "switch:entry_back");
    dress(old_, sys::marker(old_).value_or(""));
    failpoint("switch:undressed");
    enter(Phase::marked);
    failpoint("switch:reverted");
  }
}

void Entries::discard() {
  const Phase at = phase();
  if (at != Phase::none && at != Phase::marked && state() != State::switched)
    throw Error(ErrorKind::needs_person, "cannot free the old data", old_,
                "what lies in " + target_ + " is not what this run put there", "see who else writes there");
  // HOME bears its marker until nothing else is left, and the target its own until HOME is gone: a killed
  // discard is gone on with.
  sys::remove_tree(old_);
  failpoint("switch:discarded");
  sys::remove_tree(beside_);
  sys::remove_tree(home_);
  failpoint("switch:home_removed");
  if (ours()) sys::clear_marker(target_);
}

void Entries::drop_new() {
  const Phase at = phase();
  if (state() == State::switched)
    throw Error(ErrorKind::permanent, "cannot drop the new data", target_, "it is current");
  if (at != Phase::none && at != Phase::marked)
    throw Error(ErrorKind::needs_person, "cannot tell which data is right", target_,
                at == Phase::switched ? "something else was put there after this run switched it"
                                      : "its entries are half switched",
                "see who else writes there; the old data lies in " + old_);
  sys::clear_marker(home_);  // half removed, it is whole no more
  failpoint("switch:unmarked");
  sys::remove_tree(beside_);
  failpoint("switch:dropped");
  // Empty: what it held is in its place again.
  sys::clear_marker(old_);
  if (rmdir(old_.c_str()) != 0 && errno != ENOENT) throw system_error(errno, "cannot remove", old_);
  sys::remove_tree(home_);
  failpoint("switch:home_gone");
  put_time_back();
}

}  // namespace

std::unique_ptr<Switch::Way> by_entries(Call& call, std::string target) {
  std::string home = (target == "/" ? "" : target) + "/.relight-" + call.run() + "-" + call.step();
  return std::make_unique<Entries>(call, std::move(target), std::move(home));
}

}  // namespace relight
