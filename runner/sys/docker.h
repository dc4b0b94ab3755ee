// Containers of the Docker engine of this host, through its command line.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/process.h"

namespace relight::sys {

// How a program is run: the step's way, which ends it with the step.
using RunProgram = std::function<Result(Command)>;

struct Container {
  std::string id, name, image, image_id;  // image: as it was asked for
  std::string started_at;                 // as the engine writes it; the same text as long as it runs
  std::string ended_before;               // when an earlier start of it ended; empty: this is its first
  std::string status;                     // created running paused restarting removing exited dead
  std::string health;                     // starting healthy unhealthy; empty: it has no check
  std::string health_said;                // by the last check
  std::string restart;                    // its policy: "", no, always, on-failure, unless-stopped
  std::string log_driver;
  ProcessId process;  // its main process on this host
  int exit_code = 0;
  bool one_off = false;  // of `compose run`, not of the service
  bool host_network = false;
  std::vector<std::string> addresses;  // in its networks
  struct Port {
    int inside = 0;
    std::string address;  // "" and "0.0.0.0" are every address
    int outside = 0;
  };
  std::vector<Port> ports;  // TCP, published
  struct Mount {
    std::string volume;  // empty: a folder of this host
    std::string source, inside;
  };
  std::vector<Mount> mounts;
  std::string user;                        // as it was asked for: "", "999:999", "postgres"
  std::map<std::string, std::string> env;  // with its image's

  bool runs() const { return status == "running" || status == "paused"; }
  bool ended() const { return status == "created" || status == "exited" || status == "dead"; }
  std::optional<int> inside_of(int outside) const;  // its own port behind a port of the host
  std::string identity() const;                     // "container:ID@STARTED"
};

// A start of a container, as Container::identity tells it; nothing: of another form.
struct ContainerStart {
  std::string id, started_at;
};
std::optional<ContainerStart> container_start_from(const std::string& identity);

class Docker {
 public:
  explicit Docker(RunProgram run) : run_(std::move(run)) {}

  static bool there();       // the program docker
  void need_engine() const;  // refused Error: no engine answers

  // Those that are there still; an Error when the engine does not answer.
  std::vector<Container> inspect(const std::vector<std::string>& ids) const;

  // Those of a service of a compose project, the ended ones and those of `compose run`, too.
  std::vector<Container> of_compose(const std::string& project, const std::string& service) const;
  std::optional<Container> inspect_one(const std::string& id) const;

  // The names of those that run and have this volume, or this folder of the host.
  std::vector<std::string> running_with(const std::string& volume_or_folder) const;
  // Whether a volume is a plain folder of this host, always there.
  bool is_plain_volume(const std::string& name) const;
  // A file of the container, which need not run.
  std::string file_in(const Container& container, const std::string& path) const;

  // Whether the service behind a port of the host listens, as seen within the container's own network.
  static bool listens(const Container& container, int outside);

  // The end of what it printed since it was started, for messages.
  std::string log_end(const Container& container) const;

  bool has_image(const std::string& reference) const;
  // Whether its registry has it, without bringing it; empty: it has, else why not.
  std::string missing_in_registry(const std::string& reference) const;
  // Brings it to this host. Its registry's word in an Error that is transient: it may answer later.
  void pull(const std::string& reference) const;

 private:
  Result docker(std::vector<std::string> arguments) const;

  RunProgram run_;
};

}  // namespace relight::sys
