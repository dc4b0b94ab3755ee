// backup.prune: old recovery sets go, by how many of each day, week, month and year are to be kept.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "runner/step/access.h"
#include "runner/step/recovery_set.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

struct Set {
  std::string name;
  sys::Time time;
  std::string kept_as;  // "day 2026-11-21"; empty: it goes
};

// The sets of a folder, newest first. What is none, or is not sealed, is nobody's to remove.
std::vector<Set> sets_in(const std::string& folder, const std::string& product,
                         std::vector<std::string>& left) {
  std::vector<Set> sets;
  for (const std::string& name : sys::names_in(folder)) {
    const std::string path = folder + "/" + name;
    if (name.front() == '.' || access((path + "/" + set_file).c_str(), F_OK) != 0) {
      if (name.front() != '.' && sys::is_folder(path)) left.push_back(name + " is not sealed");
      continue;
    }
    try {
      const RecoverySet set = read_set(path);
      const auto time = sys::parse_time(set.text("time"));
      if (set.text("product") != product)
        left.push_back(name + " is of " + set.text("product"));
      else if (!time)
        left.push_back(name + " does not tell its time");
      else
        sets.push_back({name, *time, ""});
    } catch (const Error& error) {
      left.push_back(name + ": " + error.why);
    }
  }
  std::sort(sets.begin(), sets.end(), [](const Set& a, const Set& b) { return a.time > b.time; });
  return sets;
}

// The period that a time lies in, in UTC. Weeks are numbered from a Monday.
std::string period(const std::string& kind, sys::Time time) {
  using namespace std::chrono;
  const sys_days day = floor<days>(time);
  const year_month_day date(day);
  const auto number = [](auto part) { return std::to_string(static_cast<unsigned>(part)); };
  const std::string year = std::to_string(static_cast<int>(date.year()));
  if (kind == "daily") return sys::show_time(sys::Time(day)).substr(0, 10);
  if (kind == "weekly") return std::to_string((day.time_since_epoch().count() + 3) / 7);
  if (kind == "monthly") return year + "-" + number(date.month());
  return year;
}

// Keeps the newest of each of the last periods of a kind.
void keep(std::vector<Set>& sets, const std::string& kind, std::int64_t periods) {
  std::string last;
  for (Set& set : sets) {
    const std::string now = period(kind, set.time);
    if (now == last) continue;
    last = now;
    if (--periods < 0) return;
    if (set.kept_as.empty()) set.kept_as = kind;
  }
}

class Prune : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "folder");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    preview.summary = "remove old backups from " + shown(params.all()["folder"]);
    if (!params.known("folder") || !params.known("product")) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      return preview;
    }
    try {
      std::vector<std::string> going;
      std::uint64_t bytes = 0;
      for (const std::string& name : chosen(params, call, call.full_depth(), &preview.hints)) {
        going.push_back(name);
        bytes += sys::tree_bytes(folder_of(params, call) + "/" + name);
      }
      if (going.empty()) {
        preview.verdict = Preview::Verdict::nothing_to_do;
        preview.summary = "no backup is older than is to be kept in " + folder_of(params, call);
        return preview;
      }
      preview.summary = "remove " + std::to_string(going.size()) +
                        (going.size() == 1 ? " backup (" : " backups (") + sys::show_size(bytes) +
                        "): " + sys::join(going, ", ");
      preview.cannot_undo = "the backups that are removed";
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const std::string folder = folder_of(params, call);
    if (!call.notes().contains("going"))
      call.note("going", chosen(params, call, params.text("depth") == "full", nullptr));
    failpoint("backup.prune:noted");
    const auto going = call.notes().at("going").get<std::vector<std::string>>();
    for (const std::string& name : going) {
      // Its name first: half removed, it must not look whole.
      const std::string path = folder + "/" + name, hidden = call.beside(path);
      if (sys::exists(path) && !sys::exists(hidden)) sys::rename_new(path, hidden);
      failpoint("backup.prune:hidden");
      sys::remove_tree(hidden);
    }
    sys::sync_folder(folder);
    return {{"removed", going}};
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    if (!call.notes().contains("going")) return;
    const std::string folder = folder_of(params, call);
    for (const Json& name : call.notes().at("going"))
      sys::remove_tree(call.beside(folder + "/" + name.get<std::string>()));
  }

  std::string state_digest(const Params& params, Call& call) const override {
    return sys::tree_digest(folder_of(params, call));
  }

 private:
  static std::string folder_of(const Params& params, Call& call) {
    return call.place(sys::absolute(params.text("folder")));
  }

  // The names of those that go. The newest that verifies stays, whatever is to be kept.
  static std::vector<std::string> chosen(const Params& params, Call& call, bool full,
                                         std::vector<std::string>* hints) {
    const std::string folder = folder_of(params, call);
    if (!sys::is_folder(folder))
      throw Error(ErrorKind::refused, "cannot read the backups", folder, "there is no such folder",
                  "correct `folder`");
    std::vector<std::string> left;
    std::vector<Set> sets = sets_in(folder, params.text("product"), left);
    for (const char* kind : {"daily", "weekly", "monthly", "yearly"}) keep(sets, kind, params.integer(kind));
    const bool any_goes =
        std::any_of(sets.begin(), sets.end(), [](const Set& s) { return s.kept_as.empty(); });
    if (any_goes) keep_newest_verified(folder, sets, full, call, left);
    if (hints != nullptr)
      for (const std::string& one : left) hints->push_back("left alone: " + one);
    std::vector<std::string> names;
    for (const Set& set : sets)
      if (set.kept_as.empty()) names.push_back(set.name);
    return names;
  }

  static void keep_newest_verified(const std::string& folder, std::vector<Set>& sets, bool full, Call& call,
                                   std::vector<std::string>& left) {
    for (Set& set : sets) {
      const SetReport report = verify_set(read_set(folder + "/" + set.name), full, nullptr, call);
      if (report.problems.empty()) {
        set.kept_as = "newest verified";
        return;
      }
      // A damaged one is worth a look before it goes, and proves nothing of those behind it.
      left.push_back(set.name + " would not restore: " + report.problems.front().what);
      set.kept_as = "damaged";
    }
  }
};

Field periods(const char* name, const char* fallback, const char* doc) {
  return {.name = name,
          .type = FieldType::integer,
          .required = false,
          .fallback = fallback,
          .doc = doc,
          .example = fallback,
          .choices = {}};
}

}  // namespace

extern const StepType backup_prune;
const StepType backup_prune = {
    .name = "backup.prune",
    .doc =
        "Remove old recovery sets from a folder, each of its folders being one.\n"
        "Of each of the last days, weeks, months and years that are named the newest is kept. The newest set "
        "that verifies is never removed, nor is one that does not verify and is newer: the plan names them, "
        "and "
        "where it read names and sizes only, the step may find more of them. What "
        "is not sealed, or is of another product, is left alone. The plan says what would go; what is gone "
        "cannot be brought back.",
    .example =
        "backup.prune \"prune\" { folder = \"/backup\", product = \"aihummer\", daily = 7, yearly = 0 }",
    .fields =
        {
            {.name = "folder",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the folder of the sets",
             .example = "\"/backup\"",
             .choices = {}},
            {.name = "product",
             .type = FieldType::text,
             .required = true,
             .fallback = "",
             .doc = "whose sets are meant",
             .example = "\"aihummer\"",
             .choices = {}},
            periods("daily", "7", "how many days to keep one of"),
            periods("weekly", "4", "how many weeks"),
            periods("monthly", "12", "how many months"),
            periods("yearly", "7", "how many years"),
            {.name = "depth",
             .type = FieldType::choice,
             .required = false,
             .fallback = "\"full\"",
             .doc =
                 "how the newest is verified: full reads every byte; quick reads names, sizes and tables of "
                 "contents",
             .example = "\"quick\"",
             .choices = {"quick", "full"}},
        },
    .outputs = {{.name = "removed", .doc = "the names of those that were removed"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "that the old sets are gone",
    .drill = Drill::refused,
    .is_probe = false,
    .make = make_step<Prune>,
};

}  // namespace relight
