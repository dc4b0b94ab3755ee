// The one JSON type of the program. Headers take it by reference from here; sources that look into it
// include json_whole.h, which costs a second and more a file.
#pragma once
#include <nlohmann/json_fwd.hpp>

namespace relight {
using Json = nlohmann::json;
}
