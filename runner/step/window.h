// From when to when something can be recovered, as far as reading can tell.
#pragma once
#include <string>
#include <vector>

#include "runner/step/step.h"

namespace relight {

// One unbroken stretch that begins with one base.
struct Window {
  std::string base;            // what it begins with, for people: its folder and time
  std::string from, to;        // ISO 8601 in UTC; empty: not known
  std::string from_at, to_at;  // the same as the system counts, to be written as a moment: "lsn:0/3000110"
  std::vector<std::string> facts;  // a line each: what ends it, where it forks
};

struct WindowReport {
  struct Named {
    std::string name, at, time;  // to be written as a moment; ISO 8601, empty: not known
  };
  std::string around;           // asked: the moment near which deletions are looked for; empty: none are
  std::vector<Window> windows;  // in the order of time
  std::vector<Named> named;
  std::vector<Named> deletions;  // at: the moment right before it
  std::vector<Problem> gaps;     // what is missing or damaged, and what it cuts off
  std::vector<std::string> hints;
};

}  // namespace relight
