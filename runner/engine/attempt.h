// One call of a step in flight: a program or a worker under the keeper, its pipes, its messages.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "runner/engine/channel.h"
#include "runner/engine/step_log.h"
#include "runner/engine/world.h"
#include "runner/step/step.h"
#include "runner/sys/keeper.h"

namespace relight {

struct Attempt {
  std::size_t step = 0;  // index in the plan
  std::string op;        // apply | recover | undo | discard | kept | when | baseline | watch | preview
  int number = 1;
  std::uint64_t id = 0;  // the keeper's; 0 until it is spawned
  Clock::time_point began = Clock::now();
  std::optional<Clock::time_point> deadline;
  bool timed_out = false;
  bool told_to_stop = false;

  bool is_program = false;
  std::optional<Channel> channel;  // of a worker
  sys::Fd output, program_stdout;  // our ends
  std::unique_ptr<StepLog> log;
  std::string stdout_tail;
  std::shared_ptr<const Json> params;  // resolved

  bool ended = false;  // the process and all that it left are gone
  int exit_code = 0;
  std::string not_started;
  std::shared_ptr<const Json> result, error;  // of a worker: its last word
  bool stopped = false;

  void read_output();  // what has come, without waiting; closes at the end
  bool drained() const { return !output && !program_stdout && (!channel || channel->closed()); }
};

// Starts a program for the attempt: pipes for its output, its stdin text, the whole environment.
void spawn_program(Attempt& attempt, sys::Keeper& keeper, const Child& child, const std::string& as,
                   const std::string& tag);
// Starts a worker and sends it the request. Without a log to put it in, what it prints is thrown away.
void spawn_worker(Attempt& attempt, sys::Keeper& keeper, const Json& request, const std::string& tag);

}  // namespace relight
