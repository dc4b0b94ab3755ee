// A service that runs in a container, by docker compose.
#pragma once
#include "runner/step/via.h"
#include "steps/service/lib/service.h"

namespace relight {

// `port`: of the host, on which it must listen to be up; 0: not told.
std::unique_ptr<Service> compose_service(Via via, int port, Call& call);

}  // namespace relight
