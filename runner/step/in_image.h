// A program of an image, in a container of its own, which sees a few folders of this host by the same paths.
//
// It is no child of relight's: where docker is ended it runs on. Its container is told by a label, and ended
// by that: with the run and the step, or, of one that outlives the step, with what it serves.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/sys/files.h"
#include "runner/sys/process.h"

namespace relight {

struct InImage {
  std::string image;                     // its id
  sys::Owner user;                       // by numbers: that of an image is none of this host's
  std::vector<std::string> places = {};  // files and folders of this host that it sees, and may change
  std::vector<std::string> reads = {};   // what it sees and may not change
  bool network = false;                  // this host's; else none
  bool host_pids = false;                // its processes have this host's numbers for it
  std::string secret = {};  // the variable that docker is not to keep; the image has a /bin/sh then
  std::string label = {};   // KEY=VALUE; empty: that of the run and the step
};

// The command as docker runs it there: argv[0] is found in the image's PATH, `extra_env` is set there, `cwd`
// is a folder there. A refused Error: a variable is one that docker itself would take.
sys::Command in_image(sys::Command command, const InImage& in, const Call& call);

// Ends what earlier attempts of this step left running in images, and waits until it is gone: for
// Step::settle.
void end_in_image(const Call& call);
void end_in_image(const std::string& label);

// Where it is left by an exception, what the step has running in images is ended. `used`: it may have some.
class EndsInImage {
 public:
  EndsInImage(Call& call, bool used);
  ~EndsInImage();
  EndsInImage(const EndsInImage&) = delete;

 private:
  Call& call_;
  const bool used_;
  const int exceptions_;
};

}  // namespace relight
