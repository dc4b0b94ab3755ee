#include "steps/postgres/lib/archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "runner/sys/decode.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "steps/postgres/lib/base.h"

namespace relight::postgres {

namespace {

constexpr const char* hex_digits = "0123456789ABCDEF";

bool is_segment_name(const std::string& name) {
  return name.size() == 24 && name.find_first_not_of(hex_digits) == std::string::npos;
}

// "0000000100000000/0000000100000000000000A4" too.
bool lies_in_archive(const std::string& path) {
  const std::size_t slash = path.find('/');
  return slash == std::string::npos || (slash == 16 && path.find_first_not_of(hex_digits) == slash &&
                                        path.find('/', slash + 1) == path.npos);
}

bool take_suffix(std::string& name, const std::string& suffix) {
  if (name.size() <= suffix.size() || name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0)
    return false;
  name.resize(name.size() - suffix.size());
  return true;
}

// "NAME-0d5e...": as pgBackRest names what it archives, by its SHA-1.
void drop_sha1(std::string& name) {
  constexpr std::size_t size = 41;
  if (name.size() <= size || name[name.size() - size] != '-') return;
  if (name.find_first_not_of("0123456789abcdef", name.size() - size + 1) == std::string::npos)
    name.resize(name.size() - size);
}

// "0000000100000000000000A4.gz.partial" -> the name of the segment, how it is packed, whether it is whole.
bool take_apart(std::string& name, ArchivedFile& file) {
  file.partial = take_suffix(name, ".partial");
  for (const char* packing : {".gz", ".zst", ".lz4", ".bz2"})
    if (take_suffix(name, packing)) file.packing = packing;
  drop_sha1(name);
  if (!file.partial) file.partial = take_suffix(name, ".partial");
  return is_segment_name(name) || (parse_history_name(name) && !file.partial);
}

std::string head_of_file(const std::string& path, std::size_t size) {
  std::string bytes(size, '\0');
  patiently([&] {
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) throw sys::read_error(errno, "cannot read", path);
    const ssize_t got = read(file.get(), bytes.data(), size);
    if (got < 0) throw sys::read_error(errno, "cannot read", path);
    bytes.resize(static_cast<std::size_t>(got));
  });
  return bytes;
}

void write_decoded(const ArchivedFile& file, const std::string& to, const std::function<bool()>& stop) {
  if (file.far != nullptr) {
    const std::string fetched = to + ".fetched";
    file.far->fetch(file.path, fetched, stop);
    ArchivedFile here = file;
    here.far.reset();
    here.path = fetched;
    write_decoded(here, to, stop);
    return sys::remove_file(fetched);
  }
  const auto source = sys::open_decoder(file.path, 1u << 20);
  const sys::Fd target(open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!target) throw system_error(errno, "cannot write", to);
  std::vector<char> block(1u << 20);
  while (const std::size_t got = source->read(block.data(), block.size())) {
    if (stop && stop())
      throw Error(ErrorKind::transient, "cannot read the WAL archive", file.path, "told to stop");
    for (std::size_t done = 0; done < got;) {
      const ssize_t written = write(target.get(), block.data() + done, got - done);
      if (written < 0 && errno != EINTR) throw system_error(errno, "cannot write", to);
      if (written > 0) done += static_cast<std::size_t>(written);
    }
  }
}

// Barman packs and keeps the name: then it has no segment's size, and does not begin as one.
bool packed_unsaid(const ArchivedFile& file) {
  return file.size != 0 && !is_segment_size(file.size) && !parse_segment_header(head_of_file(file.path, 40));
}

// The first `size` bytes, decoded.
std::string head_of(const ArchivedFile& file, std::size_t size) {
  std::optional<sys::TempFolder> scratch;
  std::string path = file.path;
  if (file.far != nullptr) {
    path = scratch.emplace().path() + "/fetched";
    patiently([&] { file.far->fetch(file.path, path, {}); });
  }
  std::string head(size, '\0');
  std::size_t found = 0;
  patiently([&] {
    const auto source = sys::open_decoder(path);
    found = 0;
    while (found < size) {
      const std::size_t got = source->read(head.data() + found, size - found);
      if (got == 0) break;
      found += got;
    }
  });
  head.resize(found);
  return head;
}

}  // namespace

std::string history_text(const ArchivedFile& file) {
  constexpr std::size_t most = 1u << 20;
  return head_of(file, most);
}

WalArchive::WalArchive(const std::vector<std::string>& folders, std::vector<Problem>& problems) {
  for (const std::string& folder : folders) add_folder(folder, problems);
}

void WalArchive::add_folder(const std::string& folder, std::vector<Problem>& problems) {
  const Unreadable fault = unreadable(folder);
  if (!fault.why.empty() || !sys::is_folder(folder)) {
    problems.push_back({"cannot read the WAL archive", folder,
                        fault.why.empty() ? "it is no folder" : fault.why,
                        fault.why.empty() ? "name the folder that holds the segments" : fault.hint});
    return;
  }
  try {
    sys::walk(folder, [&](const sys::Entry& entry) {
      if (entry.kind == 'd' || !lies_in_archive(entry.path)) return;
      ArchivedFile file;
      file.path = folder + "/" + entry.path;
      file.size = entry.size;
      add(sys::name_of_path(entry.path), file, problems);
    });
  } catch (const Error& error) {
    problems.push_back({error.failed, error.on, error.why, "let the step's user read it"});
  }
}

void WalArchive::add(const std::string& given, ArchivedFile file, std::vector<Problem>& problems) {
  std::string name = given;
  if (!take_apart(name, file)) return;
  const bool history = parse_history_name(name).has_value();
  if (file.lies_plain() && !history && packed_unsaid(file)) file.packing = "?";
  const auto there = files_.find(name);
  if (there == files_.end()) {
    files_.emplace(name, std::move(file));
  } else if (history) {
    if (history_text(file) != history_text(there->second))
      problems.push_back({"two archives tell one timeline differently", name,
                          there->second.path + " and " + file.path + " differ",
                          "name only the archive whose timeline is to be recovered"});
  } else if (there->second.partial && !file.partial) {
    there->second = std::move(file);
  }
}

void WalArchive::add_old(const std::string& pg_wal, const std::string& system_identifier,
                         std::vector<Problem>& problems) {
  std::map<std::string, ArchivedFile> segments, histories;
  try {
    for (const std::string& name : sys::names_in(pg_wal)) {
      const std::string path = pg_wal + "/" + name;
      const ArchivedFile file{.path = path, .packing = "", .partial = false, .size = 0, .old = true};
      if (parse_history_name(name)) histories[name] = file;
      if (!is_segment_name(name)) continue;
      const auto header = parse_segment_header(head_of_file(path, 40));
      if (!header || !is_segment_size(header->segment_size)) continue;
      const auto segment = parse_segment(name, header->segment_size);
      if (!segment || !wrong_with_segment(path, *segment, header->segment_size, system_identifier).empty())
        continue;
      segments[name] = file;
    }
    if (segments.empty()) return;
    for (const auto& [name, file] : histories) {
      const auto there = files_.find(name);
      if (there == files_.end()) {
        files_.emplace(name, file);
      } else if (history_text(file) != history_text(there->second)) {
        problems.push_back({"the old server tells one timeline differently", name,
                            there->second.path + " and " + file.path + " differ",
                            "write old_wal = false to leave the old server's WAL out"});
        return;
      }
    }
  } catch (const Error& error) {
    problems.push_back({"cannot read the old server's WAL", pg_wal, error.why,
                        "let the step's user read it, or write old_wal = false"});
    return;
  }
  for (const auto& [name, file] : segments) {
    const auto there = files_.find(name);
    if (there == files_.end() || there->second.partial) files_[name] = file;
  }
}

const ArchivedFile* WalArchive::find(const std::string& name) const {
  const auto found = files_.find(name);
  return found == files_.end() ? nullptr : &found->second;
}

Path WalArchive::path_from(Timeline timeline, Lsn start, Lsn end, std::optional<Timeline> wanted) const {
  Path best = path_without_history(timeline);
  bool wanted_found = !wanted || *wanted == timeline;
  if (const ArchivedFile* own = find(history_name(timeline)); own != nullptr)
    best = parse_history(timeline, history_text(*own), own->path);
  for (const auto& [name, file] : files_) {
    const auto candidate = parse_history_name(name);
    if (!candidate || *candidate <= timeline || (wanted && *wanted != *candidate)) continue;
    const Path path = parse_history(*candidate, history_text(file), file.path);
    if (!leads_on(path, timeline, start, end)) {
      if (wanted)
        throw Error(
            ErrorKind::refused, "this timeline does not lead on from the base backup", name,
            "it left timeline " + std::to_string(timeline) + " before the backup's end, " + show_lsn(end),
            "name an older base backup, or another timeline");
      continue;
    }
    best = path;  // the names are sorted: the newest comes last
    wanted_found = true;
  }
  if (!wanted_found)
    throw Error(ErrorKind::refused, "the timeline is not in the archive", history_name(*wanted),
                "there is no such file",
                "name a timeline that the archive has a history of, or none for the newest");
  return best;
}

std::string SegmentRun::name_of(Lsn lsn) const {
  const std::uint64_t number = number_of(lsn);
  if (number < first || number - first >= names.size()) return missing;
  return names[number - first];
}

SegmentRun run_from(const WalArchive& archive, const Path& path, Lsn start, std::uint64_t segment_size) {
  SegmentRun run;
  run.segment_size = segment_size;
  run.first = start / segment_size;
  std::uint64_t number = run.first;
  for (;; ++number) {
    const Lsn begin = number * segment_size, end = begin + segment_size;
    // As the server chooses: of the timelines that have a part in this segment, the newest that has a file.
    const Stretch* used = nullptr;
    for (const Stretch& stretch : path)
      if (stretch.begin < end && stretch.end > begin && stretch.end > stretch.begin &&
          archive.find(show_segment(stretch.timeline, number, segment_size)) != nullptr)
        used = &stretch;
    const Timeline last = timeline_at(path, end - 1);
    if (used == nullptr) {
      run.missing = show_segment(last, number, segment_size);
      break;
    }
    run.names.push_back(show_segment(used->timeline, number, segment_size));
    run.end = end;
    if (used->timeline != last) {  // the next timeline's own copy of this segment is not there
      run.end = used->end;
      run.missing = show_segment(last, number, segment_size);
      break;
    }
  }
  for (const auto& [name, file] : archive.files()) {
    const auto segment = is_segment_name(name) ? parse_segment(name, segment_size) : std::nullopt;
    if (!segment || segment->number <= number) continue;
    const Lsn begin = segment->number * segment_size;
    for (const Stretch& stretch : path)
      if (stretch.timeline == segment->timeline && stretch.begin < begin + segment_size &&
          stretch.end > begin) {
        run.more_after = true;
        ++run.cut_off;
        run.last_after = std::max(run.last_after, name);
      }
  }
  return run;
}

void patiently(const std::function<void()>& read, const std::function<bool()>& stop) {
  constexpr std::chrono::milliseconds first{100}, last{3200};  // 6 s in all
  for (auto wait = first;; wait *= 2) {
    try {
      return read();
    } catch (const Error& error) {
      if (error.kind != ErrorKind::transient || wait > last || (stop && stop())) throw;
    }
    sys::wait_until(wait, first, {}, [&] { return stop && stop(); });
  }
}

void copy_decoded(const ArchivedFile& file, const std::string& to, const std::function<bool()>& stop) {
  patiently([&] { write_decoded(file, to, stop); }, stop);
}

std::string wrong_with_segment(const std::string& file, const SegmentName& name, std::uint64_t segment_size,
                               const std::string& system_identifier) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) return "it cannot be read";
  if (static_cast<std::uint64_t>(status.st_size) != segment_size)
    return "it has " + std::to_string(status.st_size) + " bytes instead of " + std::to_string(segment_size);
  const auto header = parse_segment_header(head_of_file(file, 40));
  if (!header) return "it does not begin with a WAL page";
  if (header->segment_size != segment_size)
    return "it says that a segment has " + std::to_string(header->segment_size) + " bytes";
  if (header->address != name.number * segment_size)
    return "it holds the WAL at " + show_lsn(header->address);
  if (!system_identifier.empty() && std::to_string(header->system_identifier) != system_identifier)
    return "it is of another cluster: system identifier " + std::to_string(header->system_identifier) +
           " instead of " + system_identifier;
  // A segment at the fork holds pages of the timeline before it.
  if (header->timeline > name.timeline) return "it holds timeline " + std::to_string(header->timeline);
  return "";
}

std::optional<SegmentHeader> header_of(const WalArchive& archive, const std::string& name) {
  const ArchivedFile* const file = archive.find(name);
  if (file == nullptr) return std::nullopt;
  return parse_segment_header(head_of(*file, 40));
}

}  // namespace relight::postgres
