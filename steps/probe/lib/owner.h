// Whether an answer on a port can have come from one process only: the one that this run started.
#pragma once
#include <string>

#include "runner/step/params.h"
#include "runner/sys/process.h"

namespace relight {

struct Endpoint {
  std::string host;  // without brackets
  int port = 0;
};
Endpoint endpoint_of_url(const std::string& url);  // refused Error: not an http or https URL

// The identity in the field `service`; throws a refused Error where it is of another form.
std::optional<sys::ProcessId> service_of_probe(const Params& params);

// Why a connection to the endpoint may reach another process than the service or one below it: nobody
// listens, a stranger does, or an older process shares the socket. Empty: it reaches the service. Throws
// Hopeless when the service has ended or the endpoint is no address of this host.
std::string not_reaching(const sys::ProcessId& service, const Endpoint& endpoint);

}  // namespace relight
