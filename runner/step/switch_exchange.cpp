// The switch by one exchange of two names, decided by a marker on each tree.
#include "runner/step/switch_way.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"

namespace relight {

namespace {

// The mark of the old names behind `over` the one that it took the place of: that of an earlier run, which
// must find it again once this one was taken back.
constexpr std::string_view over = " over ";

bool is_mark(const std::string& text, const std::string& mark) {
  return text == mark || text.starts_with(mark + std::string(over));
}

bool bears(const std::string& path, const std::string& mark) {
  return sys::exists(path) && is_mark(sys::marker(path).value_or(""), mark);
}

// Of a mark "old ...", whoever's: what it took the place of. An earlier run whose own `old` stands there was
// given up.
std::string below(std::string text) {
  while (text.starts_with("old ")) {
    const std::size_t at = text.find(over);
    text = at == std::string::npos ? "" : text.substr(at + over.size());
  }
  return text;
}

void mark_old(const std::string& path, const std::string& mark) {
  const std::string before = below(sys::marker(path).value_or(""));
  sys::set_marker(path, before.empty() ? mark : mark + std::string(over) + before);
}

void unmark_old(const std::string& path) {
  const std::string before = below(sys::marker(path).value_or(""));
  before.empty() ? sys::clear_marker(path) : sys::set_marker(path, before);
}

class Exchange final : public Switch::Way {
 public:
  using State = Switch::State;
  using Way::Way;

  State state() const override {
    if (bears(target_, new_mark())) return State::switched;
    if (bears(beside_, new_mark())) return State::marked;
    return State::nothing;
  }
  bool had_old() const override { return sys::exists(beside_); }
  std::string old_place() const override { return beside_; }
  void mark() override;
  void commit() override;
  void revert() override;
  void discard() override;
  void drop_new() override;
};

void Exchange::mark() {
  if (state() != State::nothing) return;
  // The old first: once the new bears its mark, either tree tells which it is.
  if (sys::exists(target_)) mark_old(target_, old_mark());
  failpoint("switch:old_marked");
  sys::set_marker(beside_, new_mark());
  failpoint("switch:marked");
}

void Exchange::commit() {
  switch (state()) {
    case State::switched:
      break;
    case State::marked:
      failpoint("switch:before_commit");
      if (!sys::exists(target_)) {
        sys::rename_new(beside_, target_);
      } else if (bears(target_, old_mark())) {
        sys::exchange(beside_, target_);
      } else {
        throw Error(ErrorKind::needs_person, "cannot switch to the new data", target_,
                    "it was replaced by something else since this step began",
                    "see who else writes there; the new data lies whole at " + beside_);
      }
      failpoint("switch:committed");
      break;
    case State::nothing:
      throw Error(ErrorKind::permanent, "cannot switch to the new data", beside_, "it is not whole");
  }
  // The exchange may have been made by an attempt that died before its folder was synced.
  sys::sync_folder(sys::parent_of(target_));
}

void Exchange::revert() {
  if (state() == State::switched) {
    failpoint("switch:before_revert");
    if (!sys::exists(beside_)) {
      sys::rename_new(target_, beside_);
    } else if (bears(beside_, old_mark())) {
      sys::exchange(target_, beside_);
    } else {
      throw Error(ErrorKind::needs_person, "cannot put the old data back", beside_,
                  "what lies there is not what this run put aside", "see who else writes there");
    }
    failpoint("switch:reverted");
  }
  // An undo that was killed may have taken the folder away already.
  if (const std::string folder = sys::parent_of(target_); sys::is_folder(folder)) sys::sync_folder(folder);
  if (bears(target_, old_mark())) unmark_old(target_);
}

void Exchange::discard() {
  if (state() == State::switched && had_old() && !bears(beside_, old_mark()))
    throw Error(ErrorKind::needs_person, "cannot free the old data", beside_,
                "what lies there is not what this run put aside", "see who else writes there");
  if (sys::is_folder(beside_)) {
    sys::remove_tree(beside_);
  } else {
    // The old file may have other names, which would bear its mark for ever; it must not lose it here.
    const std::string unmarked = beside_ + ".old";
    if (had_old()) sys::rename_durably(beside_, unmarked);
    sys::clear_marker(unmarked);
    sys::remove_file(unmarked);
  }
  failpoint("switch:discarded");
  if (state() == State::switched) sys::clear_marker(target_);
}

void Exchange::drop_new() {
  if (state() == State::switched)
    throw Error(ErrorKind::permanent, "cannot drop the new data", target_, "it is current");
  // The new data was current, and something else has taken its place since: this is the only old copy.
  if (bears(beside_, old_mark()))
    throw Error(ErrorKind::needs_person, "cannot tell which data is right", target_,
                "it was replaced by something else after this run switched it",
                "see who else writes there; the old data lies whole at " + beside_);
  // Half removed, it is whole no more.
  if (bears(beside_, new_mark())) sys::clear_marker(beside_);
  failpoint("switch:unmarked");
  sys::remove_tree(beside_);
  if (bears(target_, old_mark())) unmark_old(target_);
}

}  // namespace

std::unique_ptr<Switch::Way> by_exchange(Call& call, std::string target, std::string beside) {
  if (beside.empty()) beside = call.beside(target);
  return std::make_unique<Exchange>(call, std::move(target), std::move(beside));
}

}  // namespace relight
