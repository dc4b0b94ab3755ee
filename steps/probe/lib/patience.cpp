#include "steps/probe/lib/patience.h"

#include <algorithm>

#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {

using namespace std::chrono_literals;

Streak::Verdict Streak::saw(bool good, Time now) {
  if (good) {
    was_good_once_ = true;
    if (good_++ == 0) first_good_ = now;
    return good_ >= patience_.consecutive && now - first_good_ >= patience_.hold ? Verdict::passed
                                                                                 : Verdict::go_on;
  }
  good_ = 0;
  return now - begun_ >= patience_.within ? Verdict::failed : Verdict::go_on;
}

std::vector<Field> patience_fields(const std::string& within) {
  return {
      {"within",
       FieldType::duration,
       false,
       within.empty() ? "" : "\"" + within + "\"",
       within.empty() ? "how long it may take to pass; asked once when not given"
                      : "how long it may take to pass",
       "\"2m\"",
       {}},
      {"every", FieldType::duration, false, "\"500ms\"", "the time from one try to the next", "\"2s\"", {}},
      {"consecutive", FieldType::integer, false, "1", "how many good answers in a row it takes", "3", {}},
      {"hold", FieldType::duration, false, "", "for how long the answers must stay good", "\"20s\"", {}},
  };
}

Patience patience_of(const Params& params) {
  Patience patience;
  if (params.has("within")) patience.within = params.duration("within");
  patience.every = std::max<std::chrono::milliseconds>(params.duration("every"), 10ms);
  patience.consecutive =
      static_cast<int>(std::clamp<std::int64_t>(params.integer("consecutive"), 0, 1000000));
  if (params.has("hold")) patience.hold = params.duration("hold");
  if (patience.consecutive < 1)
    throw Error(ErrorKind::refused, "nothing would be proved", "consecutive",
                "it is " + std::to_string(params.integer("consecutive")), "write 1 or more");
  return patience;
}

std::string show(const Patience& patience) {
  std::string text;
  if (patience.within.count() > 0) text += ", within " + sys::show_duration(patience.within);
  if (patience.consecutive > 1) text += ", " + std::to_string(patience.consecutive) + " times in a row";
  if (patience.hold.count() > 0) text += ", held for " + sys::show_duration(patience.hold);
  return text;
}

std::chrono::milliseconds ask_until_passed(Call& call, const Patience& wanted, const std::string& on,
                                           const std::string& hint, const std::function<std::string()>& ask) {
  // Before the first attempt it is measured what answers now: nobody waits for what is down.
  const Patience patience = call.attempt() == 0 ? Patience{} : wanted;
  const auto begun = std::chrono::steady_clock::now();
  Streak streak(patience, begun);
  std::string last;
  for (;;) {
    call.stop_here_if_wanted();
    std::string why;
    try {
      why = ask();
    } catch (const Hopeless& hopeless) {
      throw Error(hopeless.error);
    } catch (const Error& error) {
      if (error.kind == ErrorKind::refused) throw;
      why = error.what();
    }
    const auto now = std::chrono::steady_clock::now();
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(now - begun);
    if (!why.empty() && why != last) call.log("not yet: " + why);
    if (!why.empty()) last = why;
    switch (streak.saw(why.empty(), now)) {
      case Streak::Verdict::passed:
        return took;
      case Streak::Verdict::failed:
        throw Error(ErrorKind::permanent, "the probe did not pass", on,
                    (patience.within.count() == 0 ? ""
                     : streak.was_good_once()
                         ? "its answers did not stay good within " + sys::show_duration(patience.within) +
                               "; last seen: "
                         : "not within " + sys::show_duration(patience.within) + "; last seen: ") +
                        last,
                    hint);
      case Streak::Verdict::go_on:
        break;
    }
    call.progress("wait", static_cast<std::uint64_t>(took.count()),
                  static_cast<std::uint64_t>(patience.within.count()));
    sys::wait_until(
        patience.every, std::min<std::chrono::milliseconds>(patience.every, 100ms),
        [&] { return call.stop_wanted(); }, [] { return false; });
  }
}

}  // namespace relight
