#include "steps/postgres/lib/walk.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

namespace relight::postgres {

namespace {

// Decoded segments take room: so many at a time.
constexpr std::size_t window_of_packed = 16;

struct Damage {
  std::string segment, why;
};

class Walk {
 public:
  explicit Walk(const WalkQuestion& question)
      : q_(question),
        search_(question.moment),
        run_(run_from(question.archive, question.path, question.start, question.segment_size)),
        folder_(question.scratch + "/walked"),
        waldump_(question.programs, folder_, question.path.back().timeline, question.scratch + "/complaints",
                 question.stop),
        system_(question.system_identifier) {}

  WalkAnswer answer();

 private:
  void walk_on();
  std::size_t make_ready(std::size_t from);
  void read_records(Lsn from, Lsn to);
  void understand(const std::string& text);
  bool zeros_follow(Lsn lsn);
  bool was_being_written(Lsn at);
  bool all_there_is();
  void tell_gain(const Target& target);
  std::vector<WalRecord> records(Lsn from, std::size_t most);
  std::optional<Lsn> last_record(Lsn to);

  void decide();
  void check_backup_end(const Target& target);
  void no_more_wal();
  void problem(std::string what, std::string on, std::string why, std::string hint);
  std::string possible() const;
  std::string cut_off() const;
  std::string go_only_so_far() const;

  Lsn begin_of(std::size_t index) const { return (run_.first + index) * run_.segment_size; }
  std::string file_of(std::uint64_t number) const {
    return folder_ + "/" + show_segment(q_.path.back().timeline, number, run_.segment_size);
  }

  const WalkQuestion& q_;
  MomentSearch search_;
  SegmentRun run_;
  const std::string folder_;
  const Waldump waldump_;
  std::string system_;
  bool done_ = false;        // no further record matters
  Lsn seen_ = 0;             // the last record shown to the search
  Lsn good_end_ = 0;         // the WAL is whole up to here
  std::optional<Lsn> last_;  // the last whole record, where it was looked for
  std::optional<Damage> damage_;
  std::optional<std::size_t> first_old_;  // of the run: the first segment that only the old server has
  std::optional<sys::Time> commit_before_old_;
  WalkAnswer answer_;
};

// Puts the segments from index on where pg_waldump reads them, all under one timeline's names: a path is one
// unbroken row of records, whatever the timelines of its files. Returns the index after the last.
std::size_t Walk::make_ready(std::size_t from) {
  std::size_t packed = 0, index = from;
  for (; index < run_.names.size(); ++index) {
    if (q_.stop && q_.stop())
      throw Error(ErrorKind::transient, "cannot check the WAL", run_.names[index], "told to stop");
    const std::string& name = run_.names[index];
    const ArchivedFile& file = *q_.archive.find(name);
    if (!file.lies_plain() && ++packed > window_of_packed) break;
    const std::string ready = file_of(run_.first + index);
    const auto segment = parse_segment(name, run_.segment_size);
    try {
      if (sys::exists(ready)) continue;
      if (!file.lies_plain())
        copy_decoded(file, ready, q_.stop);
      else if (symlink(sys::absolute(file.path).c_str(), ready.c_str()) != 0)
        throw system_error(errno, "cannot link a segment", ready);
      const std::string wrong = wrong_with_segment(ready, *segment, run_.segment_size, system_);
      if (!wrong.empty()) damage_ = Damage{name, wrong};
    } catch (const Error& error) {
      if (error.kind == ErrorKind::transient) throw;
      damage_ = Damage{name, error.why};
    }
    if (damage_) {
      sys::remove_file(ready);  // pg_waldump learns the size of segments from any file of the folder
      run_.names.resize(index);
      run_.end = std::min(run_.end, begin_of(index));
      break;
    }
    if (system_.empty())
      if (const auto header = header_of(q_.archive, name))
        system_ = std::to_string(header->system_identifier);
  }
  return index;
}

void Walk::read_records(Lsn from, Lsn to) {
  const auto of = q_.every_record ? Waldump::Of::all : Waldump::Of::transactions_and_xlog;
  std::optional<std::string> complaint;
  patiently(
      [&] {
        complaint = waldump_.read(from, to, of, [&](const WalRecord& record) {
          if (record.lsn <= seen_) return false;
          seen_ = record.lsn;
          if (first_old_ && record.lsn < begin_of(*first_old_)) commit_before_old_ = search_.last_commit;
          if (q_.see) q_.see(record);
          done_ = search_.see(record);
          if (q_.progress) q_.progress(seen_ - q_.start, run_.end - q_.start);
          return done_;
        });
        if (complaint && complaint->find("Input/output error") != std::string::npos)
          throw Error(ErrorKind::transient, "cannot read the WAL archive", show_lsn(from), *complaint);
      },
      q_.stop);
  if (complaint) understand(*complaint);
}

std::vector<WalRecord> Walk::records(Lsn from, std::size_t most) {
  std::vector<WalRecord> found;
  waldump_.read(from, good_end_, Waldump::Of::all, [&](const WalRecord& record) {
    found.push_back(record);
    return found.size() == most;
  });
  return found;
}

// The last record that is whole before a position: in its segment, or, where that only holds the rest of a
// long one, in one before.
std::optional<Lsn> Walk::last_record(Lsn to) {
  if (to <= q_.start) return std::nullopt;
  for (std::uint64_t number = run_.number_of(to - 1);; --number) {
    const Lsn from = std::max(q_.start, number * run_.segment_size);
    if (!sys::exists(file_of(number))) return std::nullopt;
    std::optional<Lsn> last;
    waldump_.read(from, to, Waldump::Of::all, [&](const WalRecord& record) {
      last = record.lsn;
      return false;
    });
    if (last || from == q_.start) return last;
  }
}

void Walk::understand(const std::string& text) {
  const WalComplaint complaint = parse_complaint(text, run_.segment_size);
  if (!complaint.at) throw Error(ErrorKind::permanent, "cannot check the WAL", folder_, complaint.why);
  const Lsn at = *complaint.at;
  last_ = complaint.last;
  good_end_ = at;
  damage_ = Damage{run_.name_of(at), complaint.why};
  if (was_being_written(at)) {
    answer_.hints.push_back("the WAL ends within " + damage_->segment + ", at " + show_lsn(at) +
                            ": the segment was still being written");
    run_.end = at;
    damage_.reset();
  }
}

// A segment that was still being written ends in zeros. An archived one never does: it is full, or ends in a
// switch. One in the pg_wal of a server that crashed ends in what it held before it was used again: no page
// behind the end is of its place then. Where one is, the fault lies within.
bool Walk::was_being_written(Lsn at) {
  if (run_.more_after) return false;
  if (run_.number_of(at) == run_.first + run_.names.size() - 1 && zeros_follow(at)) return true;
  if (!first_old_ || at < begin_of(*first_old_)) return false;
  for (std::uint64_t number = run_.number_of(at); number < run_.first + run_.names.size(); ++number) {
    const std::string bytes = sys::read_file(file_of(number), run_.segment_size);
    const Lsn begin = number * run_.segment_size;
    for (Lsn page = begin; page < begin + run_.segment_size; page += wal_page)
      if (page > at && page_address(bytes, page - begin) == page) return false;
  }
  return true;
}

bool Walk::zeros_follow(Lsn lsn) {
  const std::string bytes = sys::read_file(file_of(run_.number_of(lsn)), run_.segment_size);
  const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(lsn % run_.segment_size);
  return std::all_of(from, bytes.end(), [](char c) { return c == '\0'; });
}

void Walk::walk_on() {
  sys::remove_tree(folder_);
  sys::make_folders(folder_, 0700);
  for (std::size_t i = 0; i < run_.names.size() && !first_old_; ++i)
    if (q_.archive.find(run_.names[i])->old) first_old_ = i;
  Lsn from = q_.start;
  for (std::size_t index = 0; index < run_.names.size() && !done_;) {
    const std::size_t next = make_ready(index);
    const Lsn to = std::min(run_.end, begin_of(next));
    if (to > from) {
      good_end_ = to;
      const bool broken_before = damage_.has_value();
      read_records(from, to);
      if (done_) break;
      if (damage_ && !broken_before) break;  // a record within; what is behind it cannot be reached
    }
    if (damage_ || next >= run_.names.size()) break;
    // The next stretch begins with the last whole record of this one, whose segment stays.
    const auto last = last_record(to);
    if (!last) break;
    from = *last;
    for (std::size_t old = index; old < next; ++old)
      if (begin_of(old) + run_.segment_size <= from) sys::remove_file(file_of(run_.first + old));
    index = next;
  }
  answer_.segments = run_.names.size();
}

void Walk::problem(std::string what, std::string on, std::string why, std::string hint) {
  answer_.problems.push_back({std::move(what), std::move(on), std::move(why), std::move(hint)});
}

// Up to where the WAL at hand leads, for people.
std::string Walk::possible() const {
  if (!last_ || good_end_ < q_.backup_end) return "the backup cannot be made consistent with it";
  return "recovery is possible up to " +
         (search_.last_commit ? "the commit of " + sys::show_time(*search_.last_commit) + ", "
                              : std::string()) +
         "lsn:" + show_lsn(*last_);
}

// What lies behind a gap, for people.
std::string Walk::cut_off() const {
  if (run_.cut_off == 0) return "";
  return "; " +
         (run_.cut_off == 1
              ? run_.last_after + " lies"
              : sys::show_count(run_.cut_off) + " segments, up to " + run_.last_after + ", lie") +
         " behind the gap";
}

std::string Walk::go_only_so_far() const {
  if (!last_ || good_end_ < q_.backup_end)
    return "take it from another copy of the archive, or name a newer base backup";
  return "take it from another copy of the archive, or write to = \"lsn:" + show_lsn(*last_) +
         "\" to give up what came later";
}

void Walk::no_more_wal() {
  if (!last_) last_ = last_record(good_end_);
  if (damage_)
    return problem("a WAL segment is damaged", damage_->segment, damage_->why + "; " + possible(),
                   go_only_so_far());
  if (run_.more_after || run_.names.empty() || good_end_ < q_.backup_end)
    return problem("a WAL segment is missing", run_.missing, possible() + cut_off(), go_only_so_far());
  const std::string archive_end =
      search_.last_commit ? "the last commit in the archive is of " + sys::show_time(*search_.last_commit)
                          : "the archive holds no commit after the base backup";
  switch (q_.moment.kind) {
    case Moment::Kind::latest:
      break;
    case Moment::Kind::time:
      return problem("the moment lies after the end of the WAL", shown(q_.moment), archive_end,
                     "write to = \"latest\", or past_end = \"latest\", to recover all that there is");
    case Moment::Kind::lsn:
      return problem("the moment lies after the end of the WAL", q_.moment.text,
                     last_ ? "the last record is at " + show_lsn(*last_) : archive_end,
                     "write to = \"latest\" to recover all that there is");
    case Moment::Kind::xid:
      answer_.too_new = true;
      return problem("the WAL does not hold the end of this transaction", q_.moment.text, archive_end,
                     "was it committed before the base backup, or never? Name a time or another transaction");
    case Moment::Kind::name:
      answer_.too_new = true;
      return problem("the WAL does not hold this restore point", q_.moment.text, archive_end,
                     "check the name given to pg_create_restore_point, or name a time");
  }
}

void Walk::check_backup_end(const Target& target) {
  // The manifest tells whole seconds: within the one in which the backup began a time is only told from what
  // the backup holds already by a transaction that ended since.
  const bool before = q_.moment.kind == Moment::Kind::time && q_.backup_started && !search_.last_end &&
                      q_.moment.time < *q_.backup_started + std::chrono::seconds(1);
  if (!before && target.upto >= q_.backup_end) return;
  answer_.too_new = true;
  problem("the moment lies before the end of the base backup", shown(q_.moment),
          "this backup can be recovered from " +
              (q_.backup_started ? sys::show_time(*q_.backup_started + std::chrono::seconds(1)) + ", "
                                 : std::string()) +
              "lsn:" + show_lsn(q_.backup_end) + " on",
          "name an older base backup, or a later moment");
}

// A time that the last transaction of all ended at needs no later one to be reached.
bool Walk::all_there_is() {
  if (q_.moment.kind == Moment::Kind::latest) return true;
  if (q_.moment.kind != Moment::Kind::time) return false;
  if (search_.latest_end && *search_.latest_end == q_.moment.time) return true;
  if (!q_.moment.past_end) return false;
  answer_.hints.push_back(sys::show_time(q_.moment.time) +
                          " lies after the end of the WAL, whose last commit is " +
                          (search_.latest_commit ? "of " + sys::show_time(*search_.latest_commit)
                                                 : std::string("in the base backup")) +
                          ": all that there is is recovered");
  return true;
}

// What the old server's pg_wal adds to the archive, for the plan.
void Walk::tell_gain(const Target& target) {
  const std::size_t used = target.upto == 0 ? 0 : run_.number_of(target.upto - 1) - run_.first + 1;
  if (!first_old_ || used <= *first_old_) return;
  const std::size_t gained = std::min(used, run_.names.size()) - *first_old_;
  const auto commit = [](const std::optional<sys::Time>& time) {
    return time ? "last commit " + sys::show_time(*time) : std::string("no commit");
  };
  answer_.hints.push_back(sys::show_count(gained) + (gained == 1 ? " more segment" : " more segments") +
                          " from the old server's pg_wal, up to lsn:" + show_lsn(target.upto) + ", " +
                          commit(search_.last_commit) + "; the archive alone: " + commit(commit_before_old_));
}

void Walk::decide() {
  Target target;
  if (const auto& found = search_.found()) {
    target.stop.lsn = found->lsn;
    target.stop.inclusive = found->inclusive;
    if (!found->inclusive) {
      target.after = found->previous;
      target.upto = found->lsn;
    }
  } else if (q_.moment.kind == Moment::Kind::lsn && q_.moment.lsn < good_end_) {
    const std::vector<WalRecord> next = records(std::max(q_.start, q_.moment.lsn), 1);
    if (next.empty()) return no_more_wal();
    target.stop.lsn = next[0].lsn;
    if (!q_.moment.inclusive) {
      target.stop.inclusive = false;
      target.after = next[0].previous;
      target.upto = next[0].lsn;
    }
  } else if (!damage_ && !run_.more_after && good_end_ >= q_.backup_end && all_there_is()) {
    if (!last_) last_ = last_record(good_end_);
    if (!last_) return no_more_wal();
    target.stop.lsn = *last_;
  } else {
    return no_more_wal();
  }
  if (target.stop.inclusive) {
    target.after = target.stop.lsn;
    const std::vector<WalRecord> two = records(target.stop.lsn, 2);
    target.upto = two.size() == 2 ? two[1].lsn : good_end_;
  }
  // The timeline of the last record that is replayed: a later one along the path began after it.
  target.stop.timeline = timeline_at(q_.path, target.stop.inclusive ? target.stop.lsn : target.after);
  check_backup_end(target);
  if (search_.before_minimal)
    problem(
        "the WAL cannot be replayed", show_lsn(*search_.before_minimal),
        "behind it the server ran with wal_level=minimal",
        "write to = \"lsn:" + show_lsn(*search_.before_minimal) + "\" or name a base backup made after it");
  if (search_.last_commit) target.last_commit = sys::show_time(*search_.last_commit);
  // A server that stops after a position does not count the end of a transaction in that very record.
  const bool in_stop = search_.last_end && target.stop.inclusive && search_.last_end->lsn == target.stop.lsn;
  if (const auto& end = in_stop ? search_.end_before : search_.last_end)
    target.last_end = sys::show_time(end->time);
  target.raised = search_.raised;
  // One more than is needed, for a record that runs on into it.
  const std::size_t needed = run_.number_of(target.upto - 1) - run_.first + 2;
  for (std::size_t i = 0; i < std::min(needed, run_.names.size()); ++i) {
    const Timeline own = parse_segment(run_.names[i], run_.segment_size)->timeline;
    target.segments.push_back(
        {show_segment(std::min(own, target.stop.timeline), run_.first + i, run_.segment_size),
         run_.names[i]});
  }
  tell_gain(target);
  if (answer_.problems.empty()) answer_.target = std::move(target);
}

WalkAnswer Walk::answer() {
  walk_on();
  decide();
  answer_.last = last_;
  answer_.end = good_end_;
  answer_.latest_commit = search_.latest_commit;
  return std::move(answer_);
}

}  // namespace

WalkAnswer walk_wal(const WalkQuestion& question) {
  return Walk(question).answer();
}

}  // namespace relight::postgres
