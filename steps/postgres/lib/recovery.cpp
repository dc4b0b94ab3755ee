#include "steps/postgres/lib/recovery.h"

#include <unistd.h>

#include "runner/step/in_image.h"
#include "runner/step/parents.h"
#include "runner/sys/archive.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/copy.h"
#include "steps/postgres/lib/offers.h"
#include "steps/postgres/lib/outputs.h"
#include "steps/postgres/lib/quieted.h"
#include "steps/postgres/lib/replay.h"
#include "steps/postgres/lib/repository.h"
#include "steps/postgres/lib/server.h"
#include "steps/postgres/lib/settings.h"
#include "steps/postgres/lib/start_needs.h"
#include "steps/postgres/lib/tree.h"

namespace relight::postgres {

Recovery::Recovery(Wish wish, Call& call) : Recovery(std::move(wish), call, "") {}

Recovery::Recovery(Wish wish, Call& call, std::string copy)
    : call_(call),
      wish_(std::move(wish)),
      copy_(std::move(copy)),
      data_(call, wish_.data),
      beside_(data_.beside()) {
  if (!wish_.config.empty() && !wish_.config_into.empty()) {
    // One folder deeper than the data's: Debian's tools take any /etc/postgresql/V/*/postgresql.conf for a
    // cluster.
    config_home_ = call.beside(wish_.config_into);
    config_.emplace(call, wish_.config_into, config_home_ + "/config");
  }
}

void Recovery::settle() {
  if (data_.state() != Switch::State::switched) end_left_behind(beside_);
  if (wish_.container) end_in_image(call_);
}

bool Recovery::done() const {
  if (wish_.pause && !is_up(wish_.data)) return false;
  return data_.state() == Switch::State::switched &&
         (!config_ || config_->state() == Switch::State::switched) && call_.notes().contains("outputs");
}

bool Recovery::noted(const char* phase) const {
  return call_.notes().contains(phase) && call_.notes()[phase] != nullptr;
}

Programs Recovery::programs_of(const Wish& wish) const {
  return need_programs(wish, decision_.major, "cannot recover");
}

// Looks once more, and settles for good where to stop.
void Recovery::decide() {
  if (noted("decided")) return;
  if (!wish_.archive_into.empty()) refuse_archive(wish_.archive_into);
  if (!copy_.empty()) {
    decision_ = read_copy(copy_, call_).decision;
    Target& target = decision_.target;
    target.segments =
        needed_from(target.segments, target.stop.lsn, read_control(programs(), copy_).segment_size);
    decision_.made.clear();  // they are the copy's
    if (config_) decision_.config_from = find_config(wish_.config, wish_.config_into);
    call_.note("decided", to_json(decision_));
    return;
  }
  SurveyOptions options;
  options.run = call_.run();
  options.stop = [&] { return call_.stop_wanted(); };
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    call_.progress("check the WAL", done, total);
  };
  Survey found = survey(wish_, options);
  if (wish_.pause) foresee_copy(wish_, found);
  for (const Problem& problem : found.problems)
    call_.log(problem.what + ": " + problem.on + ": " + problem.why);
  if (!found.problems.empty()) {
    const Problem& first = found.problems.front();
    throw Error(ErrorKind::refused, first.what, first.on, first.why, first.hint);
  }
  if (!found.target || !found.unknown.empty())
    throw Error(ErrorKind::refused, "cannot recover", wish_.data, found.unknown,
                found.hints.empty() ? "" : found.hints.back());
  decision_ = decide_by(found);
  wish_.begin_with(decision_.base);
  call_.note("decided", to_json(decision_));
  failpoint("postgres.recover:decided");
}

// What an earlier attempt left beside. Tablespaces' folders are emptied only when one had begun to fill them.
void Recovery::clear() {
  clear_tree(beside_, noted("filling") ? decision_.tablespaces : std::vector<NewTablespace>());
}

// By a rename: it lies on the file system of its target.
void Recovery::take_copy() {
  if (sys::exists(beside_)) return;
  make_parents(call_, wish_.data);
  take_down(copy_, wish_.container);
  failpoint("postgres.promote:stopped");
  if (!noted("unpacked")) call_.note("unpacked", {{"bytes", sys::tree_bytes(copy_)}, {"folder", beside_}});
  sys::rename_new(copy_, beside_);
  failpoint("postgres.promote:taken");
}

void Recovery::give_copy_back() {
  if (sys::exists(beside_)) {
    sys::clear_marker(beside_);
    sys::rename_new(beside_, copy_);
    failpoint("postgres.promote:given_back");
  }
  if (!noted("decided") || noted("reached")) return;
  const CopyRecord record = read_copy(copy_, call_);
  const auto owner = owner_for(record.wish.container);
  const Programs programs = programs_of(record.wish);
  prepare_copy(copy_, copy_, record, read_control(programs, copy_).demands);
  bring_up(copy_, record, programs, call_);
}

void Recovery::unpack() {
  if (!copy_.empty()) return take_copy();
  if (noted("unpacked") && sys::exists(beside_ + "/PG_VERSION")) return;
  // Half a tree is not gone on with: it is made anew, and what was noted of it counts no more.
  for (const char* phase : {"unpacked", "reached", "stopped", "outputs"})
    if (noted(phase)) call_.note(phase, nullptr);
  clear();
  failpoint("postgres.recover:cleared");
  make_parents(call_, wish_.data);
  BaseBackup base = chosen_base(wish_);
  if (base.repository) base.repository->look_into(base);
  call_.note("filling", true);
  make_tree(base, decision_.tablespaces, beside_, call_);
  failpoint("postgres.recover:before_unpacked");
  call_.note("unpacked", {{"bytes", base.manifest.bytes()}, {"folder", beside_}});
  failpoint("postgres.recover:unpacked");
}

// Before the hours that the replay may take. Its own settings are set aside by now.
void Recovery::prove_start() const {
  if (wish_.pause || noted("stopped")) return;
  const Programs programs = this->programs();
  std::string config = decision_.config_from;
  for (const std::string& folder : {beside_, wish_.config_outside()})
    if (config.empty() && sys::exists(folder + "/postgresql.conf")) config = folder;
  std::vector<Problem> problems = wrong_with_build(programs, read_control(programs, beside_), wish_.data);
  if (!config.empty()) {
    const StartNeeds needs = start_needs(programs, config + "/postgresql.conf", beside_ + "/" + work_folder);
    problems.insert(problems.end(), needs.problems.begin(), needs.problems.end());
    problems.insert(problems.end(), needs.may_come.begin(), needs.may_come.end());
  }
  if (problems.empty()) return;
  const Problem& first = problems.front();
  throw Error(ErrorKind::refused, first.what, first.on, first.why, first.hint);
}

void Recovery::replay() {
  if (noted("stopped")) return;
  const auto replay = wish_.pause ? replay_to_pause : postgres::replay;
  const Replayed replayed = replay(wish_, decision_, programs(), beside_, call_);
  failpoint("postgres.recover:before_stopped");
  call_.note("stopped", {{"timeline", replayed.timeline}, {"lsn", show_lsn(replayed.lsn)}});
  failpoint("postgres.recover:stopped");
}

// By the cluster's own postgresql.auto.conf, which comes and goes with its data directory.
void Recovery::turn_archive() {
  if (wish_.archive_into.empty()) return;
  refuse_archive(wish_.archive_into);
  make_parents(call_, wish_.archive_into);
  if (!sys::exists(wish_.archive_into)) call_.note("archive_made", true);
  sys::make_folders(wish_.archive_into, 0700);
  failpoint("postgres.recover:archive_made");
  const std::string file = beside_ + "/postgresql.auto.conf";
  sys::write_file(file, with_archive(sys::read_file_if_there(file).value_or(""), wish_.archive_into), 0600);
}

void Recovery::make_ready() {
  const Json& notes = call_.notes();
  const Replayed replayed{.lsn = *parse_lsn(notes["stopped"]["lsn"].get<std::string>()),
                          .timeline = notes["stopped"]["timeline"].get<Timeline>()};
  if (wish_.pause)
    prepare_copy(beside_, wish_.data, {wish_, decision_}, read_control(programs(), beside_).demands);
  else
    tidy_tree(beside_, replayed.timeline, decision_.tablespaces);
  turn_archive();
  failpoint("postgres.recover:tidied");
  if (config_ && config_->state() == Switch::State::nothing) {
    make_parents(call_, wish_.config_into);
    sys::remove_tree(config_home_);
    sys::make_folders(config_->beside(), 0755);
    sys::UnpackOptions options;
    options.keep_owners = false;
    sys::copy_checked(decision_.config_from, config_->beside(), options);
    failpoint("postgres.recover:config_copied");
  }
  const Json outputs =
      outputs_of(wish_, decision_, programs(), replayed, told_heartbeat(call_), told_quieted(call_), beside_,
                 config_ ? config_->beside() : "", notes["unpacked"]["bytes"].get<std::uint64_t>());
  for (const Json& line : outputs["quieted"]) call_.log(once_started + line.get<std::string>());
  call_.note("outputs", outputs);
  // Marked last of all: from here on an attempt only exchanges.
  if (config_) config_->mark();
  data_.mark();
  failpoint("postgres.recover:marked");
}

Json Recovery::apply() {
  const EndsInImage ends(call_, wish_.container.has_value());
  const auto owner = owner_for(wish_.container);
  if (wish_.container) note_container(call_, *wish_.container);
  settle();
  if (noted("decided")) {
    decision_ = decision_from_json(call_.notes()["decided"]);
    if (copy_.empty() && !decision_.base.empty()) wish_.begin_with(decision_.base);
  }
  if (data_.state() == Switch::State::nothing) {
    if (wish_.data != copy_) refuse_while_served(wish_.data, wish_.container, ErrorKind::refused, stop_first);
    data_.prepare();
    decide();
    unpack();
    prove_start();
    replay();
    make_ready();
  }
  // COMMIT POINT: before this line the target is as it was, behind it the recovered cluster is current.
  if (data_.state() == Switch::State::marked)
    refuse_while_served(wish_.data, wish_.container, ErrorKind::refused, stop_first);
  data_.commit();
  failpoint("postgres.recover:committed");
  if (config_) config_->commit();
  failpoint("postgres.recover:config_committed");
  if (wish_.pause) bring_up(wish_.data, {wish_, decision_}, programs(), call_);
  return call_.notes()["outputs"];
}

void Recovery::undo() {
  settle();
  if (noted("decided")) decision_ = decision_from_json(call_.notes()["decided"]);
  if (data_.state() == Switch::State::switched) {
    if (wish_.pause) take_down(wish_.data, wish_.container);
    refuse_while_served(wish_.data, wish_.container, ErrorKind::permanent, "stop it, then roll back again");
  }
  // The way back, in the other order.
  if (config_) {
    config_->revert();
    failpoint("postgres.recover:config_reverted");
    config_->drop_new();
    sys::remove_tree(config_home_);
  }
  data_.revert();
  failpoint("postgres.recover:reverted");
  if (!copy_.empty()) {
    give_copy_back();
  } else {
    data_.drop_new();
    clear();
    for (const std::string& folder : decision_.made)
      if (rmdir(folder.c_str()) == 0)
        sys::sync_folder(sys::parent_of(folder));  // one that holds something stays
  }
  // What the cluster has archived meanwhile is not the step's: it stays.
  if (noted("archive_made") && rmdir(wish_.archive_into.c_str()) == 0)
    sys::sync_folder(sys::parent_of(wish_.archive_into));
  remove_made_parents(call_);
}

void Recovery::discard() {
  data_.discard();
  if (!config_) return;
  config_->discard();
  sys::remove_tree(config_home_);
}

Json Recovery::kept() const {
  Json list = Json::array();
  const auto add = [&](const std::string& path) {
    if (!path.empty()) list.push_back({{"on", path}, {"bytes", sys::tree_bytes(path)}});
  };
  add(data_.kept());
  if (config_) add(config_->kept());
  return list;
}

}  // namespace relight::postgres
