#include "runner/step/call.h"

#include "runner/sys/files.h"

namespace relight {

void Call::stop_here_if_wanted() const {
  if (stop_wanted()) throw Stopped();
}

std::string Call::once(const std::string&, const std::function<std::string()>& look) {
  return look();
}

std::string Call::beside(const std::string& target) const {
  return sys::parent_of(target) + "/." + sys::name_of_path(target) + ".relight-" + run() + "-" + step();
}

sys::Result Call::run_program(sys::Command command) {
  std::string line;
  command.on_output = [&](std::string_view bytes) {
    for (const char c : bytes) {
      if (c != '\n') {
        line += c;
        continue;
      }
      log(line);
      line.clear();
    }
  };
  command.stop = [this] { return stop_wanted(); };
  sys::Result result = sys::run(command);
  if (!line.empty()) log(line);
  if (result.stopped) throw Stopped();
  return result;
}

}  // namespace relight
