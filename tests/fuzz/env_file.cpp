// Two env files with a NUL between them: every variable of the second taken over into the first.
#include "runner/step/env_file.h"

#include "tests/fuzz/fuzz.h"

namespace relight {

void fuzz::look(std::string_view bytes) {
  const std::string first(part(bytes)), second(bytes);
  takes([&] {
    const EnvFile to(first, "first"), from(second, "second");
    for (const std::string& name : from.names()) {
      EnvFile taken = to;
      taken.take(from, name);
      must(taken.value(name) == from.value(name), "what is taken over has its value");
      for (const std::string& other : to.names())
        must(other == name || taken.value(other) == to.value(other), "no other value changes");
      for (const std::string& other : taken.names())
        must(other == name || to.value(other).has_value(), "no other name appears");
    }
  });
}

}  // namespace relight
