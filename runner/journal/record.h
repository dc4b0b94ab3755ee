// One record of the journal, a line of JSON:
//
//   {"seq":7,"batch":3,"of":[1,2],"wall":"2026-11-21T10:26:00.123456Z","boot":8123456,"kind":"started",
//    "step":"database","attempt":1,...,"prev":"<64 hex>","hash":"<64 hex>"}
//
// `seq` counts records from 1; `batch` counts batches from 1 and `of` is the place in its batch and the
// batch's length; `wall` is the clock, `boot` CLOCK_BOOTTIME in milliseconds; `prev` is the hash of the
// record before (zeros for the first), `hash` the SHA-256 of the line up to `,"hash":`. The first record is
// `opened` with "format":1 and "program":"relight 0.1.0": a reader that does not know the format refuses the
// journal.
//
// Kinds, with their own members:
//   opened        format, program, run, runbook, plan (digest), drill
//   resumed       program, pid                     a later process goes on with the run
//   baseline      step, passed                     a probe with proves = "both", before the first effect
//   approved      step, by                         an approval was given
//   waiting       step, prompt                     the run waits for an approval
//   when          step, value                      what a `when` function said
//   started       step, attempt, op                op: apply | check | undo | discard
//   note          step, key, value
//   finished      step, attempt, outputs, by       by: apply | check | person (--done)
//   failed        step, attempt, op, error{kind,what,on,why,hint}, again   again: it will be tried again
//   skipped       step, why, outputs               outputs: the defaults
//   settled       step                             a step in doubt: what earlier attempts left is gone
//   undone        step
//   kept          step, things                     after a finished or undone step: what discard would free
//   discarded     step
//   amended       plan (digest), kept [names], changes (text), file
//   rolling_back  to                               to: the step that stays, "" for all; from here on only
//   undos interrupted   signal ended         state, exit, verdict             state: done | failed |
//   rolled-back | rollback-failed | abandoned
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "runner/sys/json.h"

namespace relight {

inline constexpr int journal_format = 1;

// What the caller says, wall and boot included; the writer adds seq, batch, of, prev and hash.
// `body` holds "kind" and the kind's own members. Every text in it is UTF-8.

// The text of a line without its newline, and its hash.
struct Line {
  std::string text;
  std::string hash;
};
Line make_line(const Json& body, std::uint64_t seq, std::uint64_t batch, std::uint64_t place,
               std::uint64_t length, const std::string& prev);

}  // namespace relight
