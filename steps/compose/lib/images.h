// The images of a compose file, pinned by changing the bytes of their tags and no others.
#pragma once
#include <map>
#include <string>

namespace relight {

struct PinnedImages {
  std::string text;                           // the file as it is to be
  std::map<std::string, std::string> before;  // by service: its tag or digest; empty: it had none
  std::map<std::string, std::string> after;
};

// `wanted`: by service. A refused Error where the file does not parse, a service is not there or its image
// does not stand in this file, or two services share one image and are not both asked for the same.
PinnedImages pin_images(const std::string& text, const std::string& path,
                        const std::map<std::string, std::string>& wanted);

}  // namespace relight
