#include "runner/sys/json_whole.h"

template class nlohmann::basic_json<>;
