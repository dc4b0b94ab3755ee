// One service of the host, however it is run: a unit of systemd, a cluster of Debian's PostgreSQL where no
// systemd runs, a container of docker compose, or a program of its own that is known by its pid file.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/params.h"
#include "runner/step/step.h"
#include "runner/sys/process.h"

namespace relight {

class Service {
 public:
  virtual ~Service() = default;

  virtual std::string name() const = 0;  // "unit aihummer", "the service of /run/x.pid"

  // False: no such unit, no such cluster. What an earlier step may yet bring.
  virtual bool exists() const = 0;

  // Its main process, once it is up; pid 0 where it runs without one. Nothing: it is not up.
  virtual std::optional<sys::ProcessId> running() const = 0;

  // That of running(), as `service` of a probe takes it.
  virtual std::string identity(const sys::ProcessId& running) const { return to_text(running); }

  // What of it runs that is no longer what its file says; empty: nothing, or it cannot be told.
  virtual std::string outdated() const { return ""; }

  // Who listens on a port of the host and is not this service; empty: nobody.
  virtual std::string strangers(int port) const;

  // starting: not up yet, but about to be without our doing; stopping: not ended yet, but about to.
  enum class State { stopped, starting, running, stopping };
  virtual State state() const { return running() ? State::running : State::stopped; }
  bool ended() const { return state() == State::stopped; }
  bool meant_to_run() const { return state() == State::starting || state() == State::running; }

  // What an end that was cut short has yet to take away: a pid file that names nobody.
  virtual bool left_over() const { return false; }

  // What a start would lack now. In a plan each is a hint, for an earlier step may bring it; before a start
  // the first is a refused Error.
  virtual std::vector<Problem> lacks() const { return {}; }
  virtual std::vector<std::string> hints() const { return {}; }
  virtual bool can_start() const { return true; }  // false: it is known how to stop it only

  // From not up to up, or throws with the end of what the service said. `token` is in its environment where
  // relight itself starts it.
  virtual void start(Call& call, const std::string& token, std::chrono::milliseconds within) = 0;

  // Whether it is started at every boot. Only units can be told; for others can_enable() is false.
  virtual bool can_enable() const { return false; }
  virtual bool enabled() const { return false; }
  virtual void set_enabled(Call&, bool) {}

  // From whatever it does to ended, with everything below it.
  virtual void stop(Call& call, std::chrono::milliseconds within) = 0;
};

// A service that cannot start mostly ends at once: it is up when it has run for this long, where no port
// tells.
constexpr std::chrono::milliseconds settles_in{300};

// Of the parameters of service.start and service.stop; throws a refused Error where they name none.
std::unique_ptr<Service> service_of(const Params& params, Call& call);

// "unit:NAME", "service:PIDFILE" or "compose:FILE/SERVICE"; empty where it is not known yet.
std::vector<std::string> service_targets(const Params& params);

// The fields that say which service is meant and how it is started; `command_needed` for what starts it.
std::vector<Field> service_fields(bool starts);

std::string token_of(const Call& call);  // RUN/STEP

// "running", "stopped" or "absent", as the type's state digest.
std::string service_state(const Params& params, Call& call);

// Waits until nobody listens on the port any more; an Error names who does.
void wait_for_free_port(Call& call, int port, std::chrono::milliseconds within);

// The listeners of a port that are not the service's: their text for a message, empty when there are none.
std::string strangers_on(int port, const std::optional<sys::ProcessId>& service);

// Refuses what start() would find missing. DURABLE notes are made by the caller before.
void refuse_lacks(const Service& service);

// The last lines of a file from an offset on, for messages.
std::string end_of_log(const std::string& path, std::uint64_t from = 0);

}  // namespace relight
