#include "steps/postgres/lib/survey.h"

#include <unistd.h>

#include <algorithm>

#include "runner/step/switch.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/feeder.h"
#include "steps/postgres/lib/offers.h"
#include "steps/postgres/lib/repository.h"
#include "steps/postgres/lib/server.h"
#include "steps/postgres/lib/start_needs.h"
#include "steps/postgres/lib/timelines.h"

namespace relight::postgres {

namespace {

class Look {
 public:
  Look(const Wish& wish, const SurveyOptions& options) : wish_(wish), options_(options) {}

  Survey whole() {
    look_at_target();
    if (look_at_base()) {
      look_at_tablespaces();
      look_at_config();
      look_at_start();
      count_space();
    }
    return std::move(found_);
  }
  Survey of_backup() {
    look_at_base();
    return std::move(found_);
  }

 private:
  void problem(const Error& error) {
    if (error.kind == ErrorKind::transient) throw Error(error);
    found_.problems.push_back({error.failed, error.on, error.why, error.hint});
  }
  void problem(std::string what, std::string on, std::string why, std::string hint) {
    found_.problems.push_back({std::move(what), std::move(on), std::move(why), std::move(hint)});
  }
  void not_yet(std::string why) {
    if (found_.unknown.empty()) found_.unknown = std::move(why);
  }

  void look_at_target();
  bool look_at_source();
  bool look_at_base();
  bool leads_to_moment(const BaseBackup& base, bool last);
  void tell_choice(const std::vector<BaseBackup>& offers);
  void look_at_programs();
  void look_at_tablespaces();
  void look_at_config();
  void look_at_start();
  void look_at_wal();
  void count_space();
  void look_at_switch(const std::string& target);
  std::string system_identifier();
  void look_for_lost_history(const WalArchive& archive);

  const Wish& wish_;
  const SurveyOptions& options_;
  const sys::TempFolder scratch_;
  bool off_path_ = false;  // the base backup does not lead on to the timeline that is wanted
  Survey found_;
};

void Look::look_at_switch(const std::string& target) {
  const SwitchOutlook outlook = switch_outlook(target);
  if (!outlook.hint.empty()) found_.hints.push_back(outlook.hint);
  if (outlook.obstacle)
    found_.problems.push_back(*outlook.obstacle);
  else
    foresee_writable(target, outlook.folder, "make that folder the user's own, as Debian's packages do",
                     found_.problems);
}

void Look::look_at_target() {
  const std::string& data = wish_.data;
  if (geteuid() == 0 && !wish_.container)
    problem("PostgreSQL does not run as root", data, "this step would run as root",
            "write as = \"postgres\"");
  if (geteuid() != 0 && wish_.container)
    problem("a container's volume is root's to enter", data,
            "this step would run as " + sys::current_user().name, "leave `as` out, and run relight as root");
  std::string served;
  try {
    look_at_switch(data);
    if (const std::string folder = switch_outlook(data).folder; !runs_programs(folder))
      problem("no program runs from this file system", folder,
              "it is mounted noexec, and what hands the WAL to the server is a program beside its data",
              "mount -o remount,exec for the time of the recovery");
    found_.there = look_at(data);
    served = server_on(wish_.data, wish_.container);
  } catch (const Error& error) {
    return problem(error);
  }
  if (!served.empty()) {
    found_.hints.push_back(data + ": " + served + ": stop it in a step before this one, with service.stop");
    not_yet("a server still runs on " + data);
  }
  switch (found_.there.kind) {
    case ClusterThere::Kind::absent:
    case ClusterThere::Kind::empty_folder:
      break;
    case ClusterThere::Kind::empty_cluster:
      found_.hints.push_back("an empty cluster lies at " + data + ": it is exchanged for the recovered one");
      break;
    case ClusterThere::Kind::cluster:
      for (const std::string& folder : found_.there.tablespaces)
        found_.hints.push_back("the old cluster's tablespace at " + folder +
                               " stays there, also when the old is freed");
      if (!wish_.replace)
        problem("a cluster with data is in the way", data, "it holds tables or databases",
                "write replace = true to put it aside, or name another folder");
      break;
    case ClusterThere::Kind::other:
      problem("something else is in the way", data, "it is not empty, and no cluster",
              "move it away yourself, or name another folder");
      break;
  }
}

bool Look::look_at_source() {
  if (const auto wrong = wrong_with_source(wish_)) {
    found_.problems.push_back(*wrong);
    return false;
  }
  const std::string missing = wish_.repository ? missing_tool(*wish_.repository) : "";
  if (missing.empty()) return true;
  not_yet(missing + " is not installed");
  found_.hints.push_back(missing +
                         " is not installed: the repository is looked at when it is; install the package " +
                         missing + " in a step before this one");
  return false;
}

// The newest that ends before the moment, which the WAL tells.
bool Look::look_at_base() {
  try {
    if (!wish_.moment.inclusive &&
        (wish_.moment.kind == Moment::Kind::latest || wish_.moment.kind == Moment::Kind::name))
      problem("this moment cannot be stopped before", wish_.moment.text,
              "only a time, a position or a transaction can", "leave out inclusive = false");
    if (!look_at_source()) return false;
    const std::vector<BaseBackup> offers = offers_of(wish_, found_.hints);
    for (std::size_t i = 0; i < offers.size(); ++i)
      if (leads_to_moment(offers[i], i + 1 == offers.size())) break;
    tell_choice(offers);
    if (found_.base->repository) found_.base->repository->look_into(*found_.base);
    if (!options_.wal_alone)
      check_base(*found_.base, options_.every_byte, found_.problems, found_.hints, options_.stop);
  } catch (const Error& error) {
    problem(error);
    return false;
  }
  return true;
}

// What was found of an older one only counts where this one does not do.
bool Look::leads_to_moment(const BaseBackup& base, bool last) {
  if (!last && surely_too_new(base, wish_.moment)) return false;
  Survey before = found_;
  found_.base = base;
  look_at_programs();
  look_at_wal();
  const bool too_new = off_path_ || (found_.walk && found_.walk->too_new);
  if (last || !too_new) return true;
  off_path_ = false;
  found_ = std::move(before);
  return false;
}

void Look::tell_choice(const std::vector<BaseBackup>& offers) {
  if (offers.size() < 2) return;
  std::string newer, older;
  bool passed = false;
  for (const BaseBackup& one : offers) {
    if (one.path == found_.base->path && one.label == found_.base->label)
      passed = true;
    else
      (passed ? older : newer) += (passed ? older : newer).empty() ? shown(one) : ", " + shown(one);
  }
  found_.hints.push_back(
      "begins with the base backup " + shown(*found_.base) + ", the newest that leads to the moment" +
      (newer.empty() ? "" : "; too new: " + newer) + (older.empty() ? "" : "; older: " + older));
}

void Look::look_at_programs() {
  const int major = found_.base->major;
  if (wish_.version && *wish_.version != major)
    problem(
        "the base backup is of another version", found_.base->path,
        "it was made by PostgreSQL " + std::to_string(major) + ", and the runbook says " +
            std::to_string(*wish_.version),
        "write version = " + std::to_string(major) + ": data directories are read by their own version only");
  found_.programs = programs_for(wish_, major);
  if (wish_.container && !found_.programs)
    return problem("the image is of another version", wish_.container->service,
                   "its image runs no PostgreSQL " + std::to_string(major) + ", of which the base backup is",
                   "pin the image of that version, and make the container anew");
  std::string missing;
  if (!found_.programs) {
    missing = "PostgreSQL " + std::to_string(major);
  } else {
    for (const char* name : {"postgres", "pg_ctl", "pg_controldata", "pg_waldump"})
      if (!found_.programs->has(name)) missing = name;
  }
  if (!missing.empty()) {
    not_yet(missing + " is not installed");
    found_.hints.push_back(missing +
                           " is not installed: the WAL is checked when it is; install the package " +
                           package_of(major) + " in a step before this one");
    if (found_.programs && !found_.programs->has("pg_waldump")) found_.programs.reset();
  }
}

void Look::look_at_tablespaces() {
  std::vector<OldTablespace> old;
  for (const BasePart& part : found_.base->parts)
    if (!part.oid.empty()) old.push_back({part.oid, part.location});
  const auto place = [&](const OldTablespace& one) {
    return wish_.pause ? wish_.data + ".tablespace-" + one.oid : beside_old(one.location, options_.run);
  };
  found_.tablespaces = place_tablespaces(old, wish_.tablespaces, place, found_.problems, found_.hints);
  if (wish_.container)
    for (const OldTablespace& one : old)
      problem("a tablespace cannot be made in a container", one.location,
              "it lies outside the data directory", "recover it by a PostgreSQL of this host");
}

// What the server will need once it is the operator's; a paused copy has settings of its own.
void Look::look_at_start() {
  if (wish_.container && !wish_.pause && !found_.base->manifest.files.contains("postgresql.conf"))
    found_.hints.push_back(
        "the base backup brings no postgresql.conf, its settings lay outside its data directory: " +
        wish_.container->service +
        " starts only with settings of its own, as by `command: postgres -c config_file=FILE`");
  if (!found_.programs || geteuid() == 0) return;
  const BaseBackup& base = *found_.base;
  const bool plain = !base.is_brought() && !base.data().archive;
  try {
    if (plain) {
      const Control control = read_control(*found_.programs, base.path);
      found_.hints.push_back("the cluster has " + shown(control));
      for (Problem& wrong : wrong_with_build(*found_.programs, control, base.path))
        found_.problems.push_back(std::move(wrong));
    }
  } catch (const Error& error) {
    problem(error);
  }
  const std::string folder = !found_.config_from.empty() ? found_.config_from : plain ? base.path : "";
  if (wish_.pause || !sys::exists(folder + "/postgresql.conf")) return;
  const StartNeeds needs = start_needs(*found_.programs, folder + "/postgresql.conf", plain ? base.path : "");
  if (wish_.config.empty())  // else it has been told
    found_.problems.insert(found_.problems.end(), needs.problems.begin(), needs.problems.end());
  for (const Problem& one : needs.may_come) {
    not_yet(one.on + " is not installed");
    found_.hints.push_back(one.what + ": " + one.on + ": " + one.why + ": " + one.hint);
  }
}

void Look::look_at_config() {
  if (wish_.config.empty()) return;
  try {
    if (wish_.config_into.empty())
      throw Error(ErrorKind::refused, "cannot tell where the configuration goes", wish_.data,
                  "it is not named as Debian names its clusters",
                  "write config_into = \"/etc/postgresql/V/NAME\"");
    found_.config_from = find_config(wish_.config, wish_.config_into);
    look_at_switch(wish_.config_into);
    if (found_.programs && geteuid() != 0)
      check_config(*found_.programs, found_.config_from, wish_.data_named, found_.problems, found_.hints);
  } catch (const Error& error) {
    problem(error);
  }
}

std::string Look::system_identifier() {
  const BaseBackup& base = *found_.base;
  if (!base.manifest.system_identifier.empty()) return base.manifest.system_identifier;
  // In a tar it comes last, and from a repository not yet: the first segment, which came with the backup or
  // is named by it, stands for it until then.
  if (base.data().archive || base.is_brought() || !found_.programs) return "";
  return read_control(*found_.programs, base.path).system_identifier;
}

// Without its history a newer timeline would be passed over in silence.
void Look::look_for_lost_history(const WalArchive& archive) {
  if (wish_.timeline) return;
  std::map<Timeline, std::size_t> lost;
  for (const auto& [name, file] : archive.files()) {
    const auto segment = parse_segment(name, found_.segment_size);
    if (segment && segment->timeline > found_.path.back().timeline &&
        archive.find(history_name(segment->timeline)) == nullptr)
      ++lost[segment->timeline];
  }
  for (const auto& [timeline, segments] : lost)
    problem("a timeline's history is missing", history_name(timeline),
            "the archive holds " + sys::show_count(segments) + (segments == 1 ? " segment" : " segments") +
                " of timeline " + std::to_string(timeline) + ", and nothing tells where it began",
            "take the file from another copy of the archive, or write timeline = " +
                std::to_string(found_.path.back().timeline) + " to leave that timeline out");
}

void Look::look_at_wal() {
  try {
    const BaseBackup& base = *found_.base;
    const std::string& scratch = scratch_.path();
    const WalArchive archive = open_archive(wish_, base, scratch, found_.problems);
    const Manifest& manifest = base.manifest;
    if (archive.find(base.label_segment) == nullptr)
      return problem("a WAL segment is missing", base.label_segment, "the base backup begins in it",
                     "name the archive that holds it; without it the backup cannot be made consistent");
    const auto header = header_of(archive, base.label_segment);
    if (!header || !is_segment_size(header->segment_size))
      return problem("a WAL segment is damaged", base.label_segment, "it does not begin with a WAL page",
                     "take it from another copy of the archive");
    found_.segment_size = header->segment_size;
    std::string system = system_identifier();
    off_path_ = true;
    const Path path = archive.path_from(manifest.timeline, manifest.start, manifest.end, wish_.timeline);
    off_path_ = false;
    found_.path = path;
    found_.timelines = timeline_tree(archive, path);
    if (found_.timelines.size() > 1)
      found_.hints.push_back(sys::join(found_.timelines, "\n") +
                             (wish_.timeline ? "" : "\nanother is followed with timeline = N"));
    look_for_lost_history(archive);
    if (!found_.programs) return;
    WalkAnswer answer = walk_wal({.archive = archive,
                                  .programs = *found_.programs,
                                  .moment = wish_.moment,
                                  .path = path,
                                  .start = manifest.start,
                                  .backup_end = manifest.end,
                                  .backup_started = manifest.started(),
                                  .segment_size = found_.segment_size,
                                  .system_identifier = system,
                                  .scratch = scratch,
                                  .stop = options_.stop,
                                  .progress = options_.progress,
                                  .see = options_.see,
                                  .every_record = options_.every_record});
    found_.problems.insert(found_.problems.end(), answer.problems.begin(), answer.problems.end());
    found_.hints.insert(found_.hints.end(), answer.hints.begin(), answer.hints.end());
    found_.target = std::move(answer.target);
    found_.walk = std::move(answer);
  } catch (const Error& error) {
    problem(error);
  }
}

void Look::count_space() {
  // The server keeps about a checkpoint's worth of WAL (max_wal_size, 1 GB) while it replays.
  const std::uint64_t replayed = found_.target ? found_.target->segments.size() * found_.segment_size : 0;
  for (const BasePart& part : found_.base->parts) {
    std::string place = switch_outlook(wish_.data).folder;
    std::uint64_t bytes = found_.base->bytes_of(part);
    for (const NewTablespace& tablespace : found_.tablespaces)
      if (tablespace.oid == part.oid) place = sys::parent_of(tablespace.folder);
    if (part.oid.empty()) bytes += std::min<std::uint64_t>(replayed, 1u << 30) + 2 * found_.segment_size;
    found_.space[place] += bytes;
  }
}

}  // namespace

WalArchive open_archive(const Wish& wish, const BaseBackup& base, const std::string& scratch,
                        std::vector<Problem>& problems) {
  std::vector<std::string> folders = wish.wal;
  if (sys::is_folder(base.wal)) {
    folders.push_back(base.wal);
  } else if (!base.wal.empty()) {
    const std::string unpacked = scratch + "/wal-of-base";
    sys::remove_tree(unpacked);
    sys::make_folders(unpacked, 0700);
    unpack_base_wal(base, unpacked);
    folders.push_back(unpacked);
  }
  WalArchive archive(folders, problems);
  if (base.repository) base.repository->add_wal(base, archive, problems);
  const std::string old = wish.data + "/pg_wal";
  // While a server runs there it writes it, and takes what is archived away.
  if (wish.data.empty() || !wish.old_wal || wish.pause || !sys::is_folder(old) ||
      !server_on(wish.data, wish.container).empty())
    return archive;
  std::string system = base.manifest.system_identifier;
  if (system.empty())
    if (const auto header = header_of(archive, base.label_segment))
      system = std::to_string(header->system_identifier);
  archive.add_old(old, system, problems);
  return archive;
}

Survey survey(const Wish& wish, const SurveyOptions& options) {
  return Look(wish, options).whole();
}

Survey survey_backup(const Wish& wish, const SurveyOptions& options) {
  return Look(wish, options).of_backup();
}

}  // namespace relight::postgres
