#include "tests/matrix/undisturbed.h"

#include <doctest/doctest.h>

#include "tests/matrix/harness.h"

namespace relight {

Undisturbed::Undisturbed(const Outside& outside, Place place) : outside_(outside), place_(std::move(place)) {
  try {
    Case one(outside_, place_);
    one.run();
    one.need_exit(0);
    run = one.passes();
    wanted_ = one.whole();
    one.check_done(wanted_);
    one.rollback();
    one.need_exit(0);
    rollback = one.passes();
    one.check_undone();
  } catch (const Broken& broken) {
    FAIL("undisturbed: ", broken.why);
  }
}

void Undisturbed::each(const std::vector<Pass>& passes, const std::string& what, std::uint32_t one_of,
                       const Act& act, const std::function<bool(const Pass&)>& fits) const {
  for (std::uint32_t at = 1; at <= passes.size(); ++at) {
    const std::string name = what + " " + std::to_string(at);
    if ((fits && !fits(passes[at - 1])) || !chosen(name, one_of)) continue;
    try_case(name + ", " + passes[at - 1].name, [&] {
      Case one(outside_, place_);
      act(one, at);
    });
  }
}

void Undisturbed::done(Case& one) const {
  one.to_the_end();
  one.check_done(wanted_);
}

void Undisturbed::undone(Case& one) const {
  one.back_to_the_start();
  one.check_undone();
}

}  // namespace relight
