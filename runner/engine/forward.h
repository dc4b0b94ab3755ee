// Going forward: what a step that is ready does next, and what comes of an attempt.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>

#include "runner/engine/context.h"
#include "runner/engine/flight.h"
#include "runner/engine/scheduler.h"

namespace relight {

class Forward {
 public:
  Forward(Context& context, Flight& flight);

  // The scheduler sees what was recorded up to now; called once, before the first go().
  void plan_from_record();
  // Lets every step that may begin do its next thing, as far as jobs, failures and signals allow.
  void go();
  // Nothing that is ready may begin, now or later by itself.
  bool stuck() const;
  bool all_settled() const { return scheduler_ && scheduler_->all_settled(); }
  std::optional<Clock::time_point> next_retry() const;

  // An op with effects: recorded as started, on disk, and only then begun; not at all when there is
  // no_room().
  void start(std::size_t step, const std::string& op);
  // An op that only looks, or whose `started` stands already.
  void look(std::size_t step, const std::string& op);
  void skip(std::size_t step, const std::string& why);
  void conclude(const Attempt& attempt);

  // The approval that is asked for at the terminal; empty: none.
  const std::string& asking() const { return asking_; }
  void answer();  // reads the line

  bool failed() const { return failed_; }
  // Why no further step could begin: there is no room for its records.
  const std::optional<Error>& no_room() const { return no_room_; }
  bool wants_rollback() const { return wants_rollback_; }
  bool needs_answer() const { return needs_answer_; }  // a step in doubt: only a person knows
  // Undone in vain: by an Error of kind `refused` where there is no way back at all.
  const std::set<std::size_t>& not_undone() const { return not_undone_; }
  void forget_failure() { failed_ = wants_rollback_ = false; }

 private:
  void advance(std::size_t step);
  void approve(std::size_t step);
  void approved(std::size_t step, const std::string& by);
  void finish(std::size_t step, int attempt, const char* by, Json outputs, const Json& kept);
  void record_kept(std::size_t step, const Json& things);
  void fail(std::size_t step, const std::string& op, int attempt, const Error& error);
  void settle_doubt(std::size_t step, int attempt, const Json& result);
  Json result_of(const Attempt& attempt);
  void take_result(const Attempt& attempt, const Json& result);
  void settled(std::size_t step);
  bool may_go() const;

  Context& context_;
  Flight& flight_;
  std::optional<Scheduler> scheduler_;
  std::map<std::size_t, int> tries_;  // in this process: a resume gives a fresh budget
  std::map<std::size_t, Clock::time_point> retry_at_;
  std::set<std::size_t> not_undone_;
  std::string asking_;
  std::optional<Error> no_room_;
  bool failed_ = false, wants_rollback_ = false, needs_answer_ = false, refused_ = false;
  bool told_changed_ = false;
};

}  // namespace relight
