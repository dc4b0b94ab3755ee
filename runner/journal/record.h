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
//   watched       step, up, from, to, ms           a probe that watches: it is not up (false) since `from`,
//   up
//                                                  again (true) at `to` after `ms`, or watches no more (null)
//   approved      step, by                         an approval was given
//   waiting       step, prompt                     the run waits for an approval
//   when          step, value                      what a `when` function said
//   started       step, attempt, op                op: apply | check | undo | discard
//   note          step, key, value
//   finished      step, attempt, outputs, by       by: apply | check | person (--done)
//   failed        step, attempt, op, error{kind,what,on,why,hint}, again   again: it will be tried again
//   skipped       step, why, outputs               outputs: the defaults
//   settled       step                             a step in doubt: what earlier attempts left is gone
//   undone        step, by                         by: person (--done), else not there
//   kept          step, things                     after a finished or undone step: what discard would free
//   discarded     step
//   amended       plan (digest), kept [names], changes (text), file    kept: settled steps that stay so
//   rolling_back  to, by                           the step that stays, "" for all; person | on_failure
//   interrupted   signal
//   ended         state, exit, verdict             done | failed | rolled-back | rolled-back-to (a step) |
//                                                  rollback-failed | abandoned
//
// The frame (seq to boot, prev, hash, and the meaning of hash) stays as it is in every format to come, so
// that a reader of any age can tell "a format that I do not know" from "damaged".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "runner/sys/json.h"

namespace relight {

inline constexpr int journal_format = 1;

// What the caller says is a body: "kind", the kind's own members, "wall" and "boot". The writer adds seq,
// batch, of, prev and hash.

// The members of a body as they stand in a line, from "wall" on; the time of now where the body has none.
// A byte that is not UTF-8 becomes U+FFFD: writing a record never fails for its content.
// Throws Error for a body without a kind, or with a member that is the writer's.
std::string make_members(const Json& body);

// The text of a line without its newline, and its hash.
struct Line {
  std::string text;
  std::string hash;
};
Line frame_line(std::string_view members, std::uint64_t seq, std::uint64_t batch, std::uint64_t place,
                std::uint64_t length, std::string_view prev);
Line make_line(const Json& body, std::uint64_t seq, std::uint64_t batch, std::uint64_t place,
               std::uint64_t length, const std::string& prev);

// What every line begins with.
inline constexpr std::string_view line_start = "{\"seq\":";

// The hash at the end of a line without its newline, when it is the hash of what stands before it; else
// empty.
std::string_view own_hash(std::string_view line);

// SHA-256 in hex, by a context that each thread keeps.
std::string hash_of(std::string_view bytes);

}  // namespace relight
