// The matrix's runbook, run and rolled back without a disturbance: what each case is to come to, and where it
// can be disturbed.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "tests/matrix/case.h"

namespace relight {

class Undisturbed {
 public:
  explicit Undisturbed(const Outside& outside, Place place);

  std::vector<Pass> run, rollback;

  using Act = std::function<void(Case&, std::uint32_t at)>;
  // Each of `passes` that fits and is chosen, as a case of its own: "WHAT NUMBER".
  void each(const std::vector<Pass>& passes, const std::string& what, std::uint32_t one_of, const Act& act,
            const std::function<bool(const Pass&)>& fits = {}) const;

  // Until the run has ended, or is rolled back; and that it comes to what it must.
  void done(Case& one) const;
  void undone(Case& one) const;
  void check_done(Case& one) const { one.check_done(wanted_); }

 private:
  const Outside& outside_;
  Place place_;
  Whole wanted_;
};

}  // namespace relight
