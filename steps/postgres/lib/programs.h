// Where the server programs of a major version lie: on this host, or in an image.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/sys/files.h"
#include "runner/sys/process.h"
#include "steps/postgres/lib/client_program.h"

namespace relight::postgres {

class Programs {
 public:
  // Debian's folder of that version, then PATH where its postgres is of that version. Nothing: not installed.
  static std::optional<Programs> find(int major);

  struct Image {
    std::string id;
    sys::Owner owner;                // whom its server runs as; what only reads runs as relight does
    std::vector<std::string> reads;  // folders of this host that all of them see
    const Call* call;                // outlives it
  };
  // Nothing: the image has no postgres of that version; 0: none at all.
  static std::optional<Programs> in(Image image, int major);

  int major() const { return major_; }
  bool has(const std::string& name) const;
  std::string path(const std::string& name) const;  // FOLDER/NAME, there or not
  bool of_image() const { return image_.has_value(); }
  // A library that its server is to load (one in a folder of the image's own is taken to be there), or the
  // control file of an extension.
  bool image_has(const std::string& name) const;
  // A call of it with texts and times that do not depend on the host: LC_ALL=C, TZ=UTC. `places`: files and
  // folders of this host that an image's program must see.
  sys::Command command(const std::string& name, const std::vector<std::string>& arguments,
                       std::vector<std::string> places = {}) const;
  // The same of a server that outlives the step: its container is told by `label`, and it has `env`, too.
  sys::Command service(const std::string& name, const std::vector<std::string>& arguments,
                       std::vector<std::string> places, const std::string& label,
                       const std::map<std::string, std::string>& env) const;
  ClientProgram client(const std::string& name) const;

 private:
  Programs(int major, std::string folder) : major_(major), folder_(std::move(folder)) {}
  int major_;
  std::string folder_;
  std::optional<Image> image_;
  std::set<std::string> there_;  // in the image
};

std::string package_of(int major);  // "postgresql-15", for hints

}  // namespace relight::postgres
