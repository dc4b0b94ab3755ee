// The step contract: what a step type declares, and the few calls by which the engine uses it.
//
// One type is one file, steps/FAMILY/VERB.cpp, which defines `const StepType FAMILY_VERB`. A step is
// data in, data out: it is built from JSON parameters, returns JSON outputs, reports through its Call
// and reaches nothing of the engine, so that it can run in another process or on another host.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/params.h"
#include "runner/sys/error.h"
#include "runner/sys/json.h"
#include "runner/sys/text.h"

namespace relight {

enum class InDoubt { again, ask, undo };  // applying again converges | stop and ask | undo, then apply afresh
// part: StepType::stays says what an undo leaves; given: as far as the step's own `undo` goes, and none
// without one, which the preview says.
enum class Undo { whole, part, none, given };
enum class Done { no, yes, unknown };
enum class Drill { runs, simulated, refused };

struct Output {
  std::string name;
  std::string doc;
};

struct Problem {  // one thing that is missing or wrong, as the plan prints it
  std::string what, on, why, hint;
};

// What an apply would do, found out by reading only. A preview with problems is a refusal.
struct Preview {
  enum class Verdict { nothing_to_do, would_change, cannot_yet_tell };
  Verdict verdict = Verdict::would_change;
  std::string summary;             // one line: "unpack 1,204 files, 857 MB, replay 45 segments to 0/5A000148"
  std::vector<Problem> problems;   // every one of them, not the first only
  std::vector<std::string> hints;  // what the operator should know: "not atomic: /data is a mount point"
  std::vector<std::string> keeps;  // what is put aside: "the old data directory (1.2 GB)"
  std::string proved_after;        // with cannot_yet_tell: the step after which it can be told
  std::map<std::string, std::uint64_t> space;  // bytes needed, by a path on the file system that pays them
  std::string cannot_undo;                     // what an undo of this step cannot bring back; empty: nothing
};

// A program to run as the whole of a step: the engine starts it without a worker in between.
struct Child {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;  // over relight's own environment; may hold secrets
  std::string cwd;                         // empty: /
  std::string stdin_text;                  // empty: /dev/null
};

// Stateless: an object may be called for several steps, in several processes.
//
// Every method may throw Error; only ErrorKind::transient is retried. Methods that change
// something are killed at any instant and called again: after apply, apply changes nothing more; undo
// takes back a whole or a half apply, and after undo, undo changes nothing more. A note is made before
// the effect that it describes (Call::note).
class Step {
 public:
  virtual ~Step() = default;

  // What the step changes, as "path:/var/lib/x", "unit:NAME", "database:PORT/NAME", "packages"; pure, from
  // the parameters that are known. No two runs hold the same target.
  virtual std::vector<std::string> targets(const Params&) const { return {}; }

  // Reads only. Runs as the step's user. A parameter may be unknown yet (Params::known).
  virtual Preview preview(const Params&, Call&) const = 0;

  // Does it, converging from any state that an earlier attempt left; returns the declared outputs.
  virtual Json apply(const Params&, Call&) const = 0;

  // Is it done already, as seen from outside? Asked in doubt, and before the first attempt where the
  // type can tell. With `yes` the outputs are filled in.
  virtual Done check(const Params&, Call&, Json& outputs) const;

  // Whether check says yes or no with these parameters, not unknown. Pure.
  virtual bool can_tell(const Params&) const { return false; }

  // Puts back what apply changed. outputs: null after a half apply.
  virtual void undo(const Params&, Call&, const Json* outputs) const;

  // Frees what was kept for undo; after it the step cannot be undone.
  virtual void discard(const Params&, Call&, const Json* outputs) const;

  // What discard would free: [{"on": PATH or NAME, "bytes": N}], measured now.
  virtual Json kept(const Params&, Call&, const Json* outputs) const;

  // What was written to the targets since the step finished, and an undo would put aside or take away: a line
  // each, with what becomes of it ("12 rows were inserted into notes; they are kept aside"). Reads only, in a
  // call that changes nothing. `since`: when it finished, by the clock of the host. Empty: nothing, as far as
  // can be told.
  virtual std::vector<std::string> newer(const Params&, Call&, sys::Time since) const;

  // One look of a probe that watches (StepType::watches): why it would not pass now, in a second at most;
  // empty: it would.
  virtual std::string look(const Params&, Call&) const;

  // Ends or adopts what earlier attempts left in servers: the first thing done in doubt, before check,
  // apply or undo. The processes of earlier attempts are gone by then.
  virtual void settle(const Params&, Call&) const;

  // What of the targets counts as state, hashed: equal before and after what changes nothing, and
  // equal again after an undo that is whole.
  virtual std::string state_digest(const Params&, Call&) const = 0;

  // For a type that only runs a program, where these parameters allow it: the program to start.
  // child_done turns its end into outputs or an Error. `tail` is the last 64 KiB of its stdout.
  virtual std::optional<Child> child(const Params&) const;
  virtual Json child_done(const Params&, int exit_code, const std::string& tail) const;
};

struct RecoverySet;  // recovery_set.h

// What was found out of the parts of a recovery set.
struct SetReport {
  struct Part {
    std::string name, found;  // "database dump", "31 tables, 12 MB, of 2026-11-21T10:26:00Z"
  };
  std::vector<Part> parts;
  std::vector<Problem> problems;
  std::vector<std::string> hints;
};

struct WindowReport;  // window.h

struct StepType {
  std::string name;     // "FAMILY.VERB"
  std::string doc;      // the first line stands alone in `relight steps`
  std::string example;  // a whole statement of the runbook language
  std::vector<Field> fields;
  std::vector<Output> outputs;
  InDoubt in_doubt = InDoubt::again;
  Undo undo = Undo::whole;
  std::string stays;  // with Undo::part: what an undo leaves
  Drill drill = Drill::refused;
  bool is_probe = false;  // decides the verdict of a run: RTO ends at the last probe passed
  bool watches = false;   // of a probe: it has a look of its own, and so can tell a downtime
  std::unique_ptr<Step> (*make)() = nullptr;
  // Looks at the parts of a recovery set that this type makes, where there are any; reads only. One type of
  // a family speaks for a part.
  void (*verify)(const RecoverySet& set, bool every_byte, Call& call, SetReport& report) = nullptr;
  // From when to when this type could recover what lies in a folder: a recovery set, or what it was made
  // from. Reads only. A folder in which it finds nothing of its own adds nothing.
  void (*window)(const std::string& folder, bool every_byte, Call& call, WindowReport& report) = nullptr;
  // The parameters of a step of this type that brings a copy up in `folder`, read-only and beside what the
  // given parameters are about, at `moment` (empty: theirs). Its output `url` names the copy; its undo takes
  // it away. Pure.
  Json (*peek)(const Json& params, const std::string& folder, const std::string& moment) = nullptr;
};

// Every type that was built in, made by the build from the files in steps/.
const std::vector<const StepType*>& step_table();

// make for a class with a default constructor: `.make = make_step<Recover>`.
template <class S>
std::unique_ptr<Step> make_step() {
  return std::make_unique<S>();
}

}  // namespace relight
