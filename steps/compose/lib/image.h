// References of images as a compose file writes them: [REGISTRY[:PORT]/]NAME[:TAG][@sha256:DIGEST], with
// variables.
#pragma once
#include <string>

namespace relight {

// Where the name ends and what pins it begins: at the ":" of its tag, or the "@" of its digest; at the end
// where there is neither. A refused Error, of `service`, where a variable holds the tag, or may hold it.
std::size_t end_of_name(const std::string& image, const std::string& service);

// What stands behind the name for a wanted "1.2.0", "1.2.0@sha256:..." or "sha256:...". A refused Error for a
// tag that is none, or whose meaning changes, like latest.
std::string pin_of(const std::string& wanted, const std::string& service);

// "1.2.0" of ":1.2.0", "sha256:..." of "@sha256:...".
std::string shown_pin(const std::string& pin);

}  // namespace relight
