// A program of PostgreSQL's client: of this host, or of the image that a server in a container runs from.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/sys/files.h"
#include "runner/sys/process.h"

namespace relight::postgres {

class ClientProgram {
 public:
  // The one of this host that fits best: of the server's major version, else of the next newer one, else of
  // the newest. 0: no version is known.
  static ClientProgram of_host(const std::string& name, int server_major);
  static ClientProgram at(const std::string& path);
  // It works as relight's own user, else as `works_as`, in this host's network. The call outlives it.
  static ClientProgram of_image(const std::string& name, const std::string& image, const Call& call);

  void works_as(sys::Owner user) { user_ = user; }
  // A folder of this host that it needs whatever its arguments are, as one of a socket.
  void also_sees(std::string folder) { sees_.push_back(std::move(folder)); }

  bool there() const;
  std::string name() const;
  std::string mend() const;  // what to do where it is not there

  // `places`: files and folders of this host, there by now, that the arguments name. A password among the
  // variables is seen in no list.
  sys::Command command(std::vector<std::string> arguments, std::vector<std::string> places,
                       std::map<std::string, std::string> variables = {}) const;

 private:
  std::string path_;   // within the image its name
  std::string image_;  // empty: of this host
  std::vector<std::string> sees_;
  std::optional<sys::Owner> user_;
  const Call* call_ = nullptr;
};

}  // namespace relight::postgres
