// Whether an answer on a port can have come from one process only: the one that this run started.
#pragma once
#include <string>

#include "runner/step/params.h"
#include "runner/sys/docker.h"
#include "runner/sys/process.h"

namespace relight {

struct Endpoint {
  std::string host;  // without brackets
  int port = 0;
};
Endpoint endpoint_of_url(const std::string& url);  // refused Error: not an http or https URL

// What a service.start gave as its identity: a process, or one start of a container.
struct ServiceStart {
  sys::ProcessId process;
  std::optional<sys::ContainerStart> container;
};

// The identity in the field `service`; throws a refused Error where it is of another form.
std::optional<ServiceStart> service_of_probe(const Params& params);

// Why a connection to the endpoint may reach another process than the service or one below it: nobody
// listens, a stranger does, or an older process shares the socket. A container must run since that start, and
// publish the port. Empty: it reaches the service. Throws Hopeless when the service has ended or the endpoint
// is no address of this host.
std::string not_reaching(const ServiceStart& service, const Endpoint& endpoint);

}  // namespace relight
