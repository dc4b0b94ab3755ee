// The worker: one relight process, forked by the keeper, that carries out one call of a step as the step's
// user, and talks to the engine over its socket. (Previews have their own: preview_worker.h.)
//
// The engine sends one request:
//   {"op": apply | recover | undo | discard | kept | when | watch, "run", "folder" (frozen), "step", "type",
//    "attempt", "notes", "outputs" (own, or null), "params" (resolved), "as", "asked", "all_outputs",
//    "digest"}
// The worker sends {"secrets": {name: base64}} before anything else that could show one, then any of {"log"},
// {"progress": [phase, done, total]}, {"note": [key, value]} and {"launch": {...}}, both answered by the
// engine, and last {"result": ...}, {"error": {...}} or {"stopped": true}. The engine may send {"stop": true}
// at any time.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "runner/step/step.h"
#include "runner/sys/json.h"

namespace relight {

// What the language adds to a worker, handed in by main so that the engine knows no Lua.
struct WorkerHooks {
  std::function<void(const std::string& frozen_folder, const std::string& digest)> freeze;
  std::function<bool(const std::string& step, const Json& all_outputs)> when;
};

// Serves one request on the socket; the exit code of the process.
int serve_worker(int socket, const std::vector<const StepType*>& types, const WorkerHooks& hooks);

// Takes on the user, with HOME, USER and LOGNAME; empty: nothing. Throws Error.
void become_user(const std::string& as);

Json to_json(const Error& error);
Error error_from_json(const Json& json);
Json to_json(const Preview& preview);
Preview preview_from_json(const Json& json);

}  // namespace relight
