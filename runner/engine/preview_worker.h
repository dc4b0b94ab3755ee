// The worker of the previews: one relight process, forked by the keeper, that looks at many steps as their
// user. It was forked after the plan was made, so the plan is in its memory and does not travel.
//
// The engine sends {"as": USER, "steps": [index in the plan...]}. The worker answers, many in a message,
// {"previews": [[index, {...}]...]}, and last {"result": null} or {"error": {...}}.
#pragma once
#include <atomic>
#include <cstddef>

#include "runner/engine/previews.h"

namespace relight {

// The step that the worker looks at, in memory shared with the engine: what came last over the socket does
// not tell which step a worker broke off at. Made before the keeper is started.
class PreviewMark {
 public:
  PreviewMark();  // throws Error
  ~PreviewMark();
  PreviewMark(const PreviewMark&) = delete;
  void set(std::size_t step) { *step_ = step; }
  std::size_t step() const { return *step_; }

 private:
  std::atomic<std::size_t>* step_;
};

// Serves one request on the socket; the exit code of the process.
int serve_previews(int socket, const Plan& plan, const PreviewOptions& options, PreviewMark& mark);

}  // namespace relight
