#include "steps/postgres/lib/window.h"

#include <algorithm>

#include "runner/step/recovery_set.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "steps/postgres/lib/deletions.h"
#include "steps/postgres/lib/offers.h"
#include "steps/postgres/lib/repository.h"
#include "steps/postgres/lib/set_parts.h"
#include "steps/postgres/lib/survey.h"

namespace relight::postgres {
namespace {

constexpr std::size_t most_deletions = 10;

// Every folder with WAL in it: the given one, and those right below it.
std::vector<std::string> wal_at(const std::string& folder) {
  std::vector<std::string> found, places = {folder};
  for (const std::string& name : sys::names_in(folder))
    if (sys::is_folder(folder + "/" + name)) places.push_back(folder + "/" + name);
  for (const std::string& place : places) {
    std::vector<Problem> unread;
    if (unreadable(place).why.empty() && !WalArchive({place}, unread).files().empty()) found.push_back(place);
  }
  return found;
}

// Every stanza of pgBackRest's, where the folder is its repository.
std::vector<RepositoryWish> stanzas_at(const std::string& folder) {
  std::vector<RepositoryWish> found;
  if (!sys::is_folder(folder + "/backup")) return found;
  for (const std::string& name : sys::names_in(folder + "/backup")) {
    if (!sys::exists(folder + "/backup/" + name + "/backup.info")) continue;
    found.push_back({.tool = "pgbackrest", .name = name, .config = "", .path = folder, .set = ""});
  }
  return found;
}

// The base backups of one of Barman's servers, where the folder is its home.
std::vector<std::string> barman_bases_at(const std::string& folder) {
  std::vector<std::string> found;
  if (!sys::is_folder(folder + "/wals") || !sys::is_folder(folder + "/base")) return found;
  for (const std::string& name : sys::names_in(folder + "/base"))
    if (is_base(folder + "/base/" + name + "/data")) found.push_back(folder + "/base/" + name + "/data");
  return found;
}

class Windows {
 public:
  Windows(const std::string& folder, bool every_byte, Call& call, WindowReport& report)
      : folder_(folder), every_byte_(every_byte), call_(call), report_(report) {}
  void tell();

 private:
  // What one walk has shown, from its base backup on.
  struct Stretch {
    Path path;
    Lsn start = 0, end = 0;
    std::size_t window = 0;  // of the report
  };
  std::vector<BaseBackup> bases();
  void add_repository(const RepositoryWish& from, std::vector<BaseBackup>& found);
  bool whole(const BaseBackup& base);
  bool covered(const BaseBackup& base);
  void walk(const BaseBackup& base);
  void tell_deletions();
  void gap(const Error& error) {
    if (error.kind == ErrorKind::transient) throw Error(error);
    report_.gaps.push_back({error.failed, error.on, error.why, error.hint});
  }
  bool stop() const {
    call_.stop_here_if_wanted();
    return false;
  }

  const std::string folder_;
  const bool every_byte_;
  Call& call_;
  WindowReport& report_;
  Wish wish_;  // its WAL, for every base backup
  std::vector<Stretch> stretches_;
  std::vector<Deletion> deletions_;
};

void Windows::add_repository(const RepositoryWish& from, std::vector<BaseBackup>& found) {
  if (const std::string missing = missing_tool(from); !missing.empty())
    return report_.gaps.push_back({"the repository cannot be looked at", from.text(),
                                   missing + " is not installed", "install the package " + missing});
  try {
    for (BaseBackup& base : open_repository(from)->backups(report_.hints)) found.push_back(std::move(base));
  } catch (const Error& error) {
    gap(error);
  }
}

// Those that can be opened, in the order in which they were made.
std::vector<BaseBackup> Windows::bases() {
  std::vector<std::string> places;
  std::vector<BaseBackup> found;
  if (sys::exists(folder_ + "/" + set_file)) {
    wish_ = wish_of(read_set(folder_));
    if (!wish_.base.empty()) places = bases_at(wish_.base);
    if (wish_.repository) add_repository(*wish_.repository, found);
  } else if (const auto stanzas = stanzas_at(folder_); !stanzas.empty()) {
    for (const RepositoryWish& stanza : stanzas) add_repository(stanza, found);
  } else if (places = barman_bases_at(folder_); !places.empty()) {
    wish_.wal = {folder_ + "/wals"};
    for (const char* coming : {"/incoming", "/streaming"})
      if (sys::is_folder(folder_ + coming)) wish_.wal.push_back(folder_ + coming);
  } else {
    wish_.wal = wal_at(folder_);
    places = bases_at(folder_);
    if (places.front() == folder_ && !is_base(folder_) && wish_.wal.empty())
      return {};  // none of this family
  }
  for (const std::string& place : places) {
    try {
      found.push_back(open_base(place));
    } catch (const Error& error) {
      gap(error);
    }
  }
  std::sort(found.begin(), found.end(), [](const BaseBackup& a, const BaseBackup& b) {
    return std::pair(a.manifest.end, a.manifest.timeline) < std::pair(b.manifest.end, b.manifest.timeline);
  });
  return found;
}

bool Windows::whole(const BaseBackup& base) {
  const std::size_t before = report_.gaps.size();
  check_base(base, every_byte_, report_.gaps, report_.hints, [this] { return stop(); });
  return report_.gaps.size() == before;
}

// Does the WAL of an earlier one lead over it?
bool Windows::covered(const BaseBackup& base) {
  const Manifest& manifest = base.manifest;
  for (const Stretch& stretch : stretches_) {
    if (!leads_on(stretch.path, manifest.timeline, manifest.start, manifest.end) ||
        manifest.start < stretch.start || manifest.end > stretch.end)
      continue;
    report_.windows[stretch.window].facts.push_back(
        shown(base) + " shortens the way from lsn:" + show_lsn(manifest.end) + " on");
    return true;
  }
  return false;
}

void Windows::walk(const BaseBackup& base) {
  const Manifest& manifest = base.manifest;
  Wish wish = wish_;
  if (base.repository) wish.repository = base.repository->wish();
  wish.begin_with(base.repository ? base.label : base.path);
  wish.moment = parse_moment("latest");
  std::optional<sys::Time> before_end, first_end, commit;
  std::vector<WindowReport::Named> named;
  Deletions deletions;
  SurveyOptions options;
  options.wal_alone = true;
  options.every_record = !report_.around.empty();
  options.stop = [this] { return stop(); };
  options.see = [&](const WalRecord& record) {
    if (options.every_record) deletions.see(record);
    const auto end = transaction_end(record);
    if (end && !first_end) first_end = end->time;
    if (end && record.lsn < manifest.end) before_end = std::max(before_end, std::optional(end->time));
    if (end && end->commit) commit = end->time;
    if (record.manager == "XLOG" && record.text.rfind("RESTORE_POINT ", 0) == 0 && record.lsn >= manifest.end)
      named.push_back({record.text.substr(14), "lsn:" + show_lsn(record.lsn),
                       commit ? sys::show_time(*commit) : std::string()});
  };
  const Survey survey = survey_backup(wish, options);
  report_.hints.insert(report_.hints.end(), survey.hints.begin(), survey.hints.end());
  report_.gaps.insert(report_.gaps.end(), survey.problems.begin(), survey.problems.end());
  if (!survey.unknown.empty())
    report_.gaps.push_back({"the WAL cannot be looked at", base.path, survey.unknown,
                            "install what is missing here, and look again"});
  if (!survey.walk || !survey.walk->last || survey.walk->end < manifest.end) return;
  const WalkAnswer& walk = *survey.walk;
  Window window;
  window.base = shown(base);
  window.from_at = "lsn:" + show_lsn(std::min(manifest.end, *walk.last));
  window.to_at = "lsn:" + show_lsn(*walk.last);
  // What the walk takes for behind the backup's end: see check_backup_end.
  std::optional<sys::Time> from = before_end ? before_end : first_end;
  if (const auto started = manifest.started(); started && !before_end)
    from = std::min(first_end.value_or(sys::Time::max()), *started + std::chrono::seconds(1));
  // Without a commit since, a position is all that can be named.
  if (from && walk.latest_commit && *walk.latest_commit >= *from) {
    window.from = sys::show_time(*from);
    window.to = sys::show_time(*walk.latest_commit);
  }
  stretches_.push_back({survey.path, manifest.start, walk.end, report_.windows.size()});
  report_.windows.push_back(std::move(window));
  for (WindowReport::Named& one : named) {
    const auto same = [&](const WindowReport::Named& other) { return other.at == one.at; };
    if (std::none_of(report_.named.begin(), report_.named.end(), same))
      report_.named.push_back(std::move(one));
  }
  for (const Deletion& one : deletions.found())
    if (one.before >= manifest.end) deletions_.push_back(one);
}

// The nearest to the moment, in the order of the WAL.
void Windows::tell_deletions() {
  if (report_.around.empty()) return;
  const Moment around = parse_moment(report_.around);
  const auto distance = [&](const Deletion& one) -> std::uint64_t {
    if (around.kind == Moment::Kind::time)
      return static_cast<std::uint64_t>(std::abs((one.time - around.time).count()));
    return one.before > around.lsn ? one.before - around.lsn : around.lsn - one.before;
  };
  std::stable_sort(deletions_.begin(), deletions_.end(),
                   [&](const Deletion& a, const Deletion& b) { return distance(a) < distance(b); });
  if (deletions_.size() > most_deletions) deletions_.resize(most_deletions);
  std::sort(deletions_.begin(), deletions_.end(),
            [](const Deletion& a, const Deletion& b) { return a.before < b.before; });
  for (const Deletion& one : deletions_)
    report_.deletions.push_back({one.what, "lsn:" + show_lsn(one.before), sys::show_time(one.time)});
}

void Windows::tell() {
  if (!report_.around.empty()) {
    const Moment around = parse_moment(report_.around);
    if (around.kind != Moment::Kind::time && around.kind != Moment::Kind::lsn)
      throw Error(ErrorKind::refused, "cannot look around this moment", report_.around,
                  "it is no time and no position", "write a time with its offset, or lsn:X/Y");
  }
  const std::vector<BaseBackup> found = bases();
  for (const BaseBackup& base : found)
    if (whole(base) && !covered(base)) walk(base);
  tell_deletions();
}

}  // namespace

void tell_window(const std::string& folder, bool every_byte, Call& call, WindowReport& report) {
  Windows(folder, every_byte, call, report).tell();
}

}  // namespace relight::postgres
