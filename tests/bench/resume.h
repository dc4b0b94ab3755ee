// What a resume costs that goes on with a blobs.restore of 2 GB, killed at 90 % of its bytes.
#pragma once
#include <string>

namespace relight::bench {

// `form`: folder, zip, zst or gz. Runs the restore whole, then killed and resumed, in turn; prints
//   resume-FORM ratio MEDIAN (MIN-MAX) n=N target T
// of the times of `relight resume` and the whole `relight run`, and the medians of both. Returns main's exit.
int resume(const std::string& form, double target);

}  // namespace relight::bench
