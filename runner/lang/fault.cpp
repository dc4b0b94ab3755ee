#include "runner/lang/fault.h"

#include <algorithm>

namespace relight::lang {

namespace {

std::vector<RunbookFault> in_order(std::vector<RunbookFault> faults) {
  std::stable_sort(faults.begin(), faults.end(), [](const RunbookFault& a, const RunbookFault& b) {
    return a.at.file != b.at.file ? a.at.file < b.at.file : a.at.line < b.at.line;
  });
  const auto same = [](const RunbookFault& a, const RunbookFault& b) { return a.text() == b.text(); };
  faults.erase(std::unique(faults.begin(), faults.end(), same), faults.end());
  return faults;
}

std::string without_place(const RunbookFault& fault) {
  return fault.step.empty() ? fault.what : "step \"" + fault.step + "\": " + fault.what;
}

Error first_of(const std::vector<RunbookFault>& faults) {
  const RunbookFault& first = faults.front();
  return Error(ErrorKind::refused, "the runbook is refused", text_of(first.at), without_place(first),
               first.hint);
}

}  // namespace

std::string text_of(const Place& place) {
  return place.line > 0 ? place.file + ":" + std::to_string(place.line) : place.file;
}

std::string RunbookFault::text() const {
  return text_of(at) + ": " + without_place(*this);
}

RunbookError::RunbookError(std::vector<RunbookFault> faults)
    : Error(first_of(faults = in_order(std::move(faults)))), faults_(std::move(faults)) {
  for (const RunbookFault& fault : faults_) all_ += (all_.empty() ? "" : "\n") + fault.text();
}

}  // namespace relight::lang
