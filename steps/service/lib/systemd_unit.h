// A unit of systemd, by systemctl.
#pragma once
#include "steps/service/lib/service.h"

namespace relight {

// `port`: it is up when it listens there; 0: when systemd says so, and goes on saying so for a moment.
std::unique_ptr<Service> systemd_unit(std::string unit, int port);

}  // namespace relight
