// The one JSON type of the program. Headers take it by reference from here; sources that look
// into it include <nlohmann/json.hpp> themselves, which costs two seconds a file.
#pragma once
#include <nlohmann/json_fwd.hpp>

namespace relight {
using Json = nlohmann::json;
}
