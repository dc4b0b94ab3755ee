// A unit of systemd, by systemctl.
#pragma once
#include "steps/service/lib/service.h"

namespace relight {

std::unique_ptr<Service> systemd_unit(std::string unit);

}  // namespace relight
