#include "steps/release/lib/source.h"

#include <sys/stat.h>

#include <set>

#include "runner/sys/archive.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "steps/release/lib/checksums.h"

namespace relight {
namespace {

constexpr const char* sums_name = "SHA256SUMS";
constexpr const char* archive_ends[] = {".tar.zst", ".tar.gz", ".tgz"};

std::map<std::string, std::string> checksums_in(const std::string& folder) {
  const std::string file = folder + "/" + sums_name;
  const auto text = sys::read_file_if_there(file);
  return text ? parse_checksums(*text, file) : std::map<std::string, std::string>();
}

}  // namespace

ReleaseSource::ReleaseSource(const std::string& folder, const std::string& product,
                             const std::string& version)
    : name_(product + "-" + version) {
  if (!sys::is_folder(folder))
    throw Error(ErrorKind::refused, "cannot read the releases", folder, "no such folder", "check `from`");
  const std::string base = folder + "/" + name_;
  std::string tried = base;
  if (sys::is_folder(base)) {
    path_ = base;
    is_folder_ = true;
  }
  for (const char* end : archive_ends) {
    tried += std::string(", ") + end;
    if (path_.empty() && sys::exists(base + end)) path_ = base + end;
  }
  if (path_.empty())
    throw Error(ErrorKind::refused, "no such release", tried, "none of them is there",
                "put the release of exactly this version there");

  const auto sums = checksums_in(folder);
  if (!is_folder_) {
    if (const auto sum = sums.find(sys::name_of_path(path_)); sum != sums.end()) archive_sum_ = sum->second;
  } else {
    for (const auto& [name, sum] : sums)
      if (name.starts_with(name_ + "/")) file_sums_[name.substr(name_.size() + 1)] = sum;
    for (const auto& [name, sum] : checksums_in(path_)) file_sums_[name] = sum;
  }
  if (!sums.empty() && !has_checksums())
    throw Error(ErrorKind::refused, "cannot trust the release", path_,
                "its checksum is missing from " + folder + "/" + sums_name,
                "add it, once you know where the release came from");
}

std::uint64_t ReleaseSource::bytes() const {
  return sys::tree_bytes(path_);
}

void ReleaseSource::compare(const std::string& file, const std::string& sum) const {
  const auto wanted = file_sums_.find(file);
  // The list of sums does not list itself.
  if (file_sums_.empty() || file == sums_name) return;
  if (wanted == file_sums_.end())
    throw Error(ErrorKind::permanent, "cannot trust the release", path_ + "/" + file,
                "its checksum is missing", "fetch the release again");
  if (wanted->second != sum)
    throw Error(ErrorKind::permanent, "the release is damaged", path_ + "/" + file,
                "its SHA-256 is " + sum + ", and should be " + wanted->second, "fetch the release again");
}

void ReleaseSource::verify() const {
  if (archive_sum_) {
    if (const std::string sum = sys::sha256_file(path_); sum != *archive_sum_)
      throw Error(ErrorKind::permanent, "the release is damaged", path_,
                  "its SHA-256 is " + sum + ", and should be " + *archive_sum_, "fetch the release again");
    return;
  }
  if (!is_folder_) {
    sys::ArchiveReader reader(path_);
    sys::ArchiveEntry entry;
    while (reader.next(entry)) continue;
    return;
  }
  std::set<std::string> seen;
  sys::walk(path_, [&](const sys::Entry& entry) {
    if (entry.kind != 'f') return;
    seen.insert(entry.path);
    compare(entry.path, file_sums_.empty() ? "" : sys::sha256_file(path_ + "/" + entry.path));
  });
  for (const auto& [file, sum] : file_sums_)
    if (!seen.contains(file))
      throw Error(ErrorKind::permanent, "the release is damaged", path_ + "/" + file,
                  "it is listed, but not there", "fetch the release again");
}

void ReleaseSource::bring(const std::string& folder, Call& call) const {
  sys::UnpackOptions options;
  options.keep_owners = false;  // a release belongs to who installs it, not to who packed it
  options.stop = [&call] { return call.stop_wanted(); };
  options.progress = [&call](std::uint64_t, std::uint64_t bytes) { call.progress("unpack", bytes, 0); };
  std::set<std::string> seen;
  if (!is_folder_) {
    if (archive_sum_) verify();
    // Archives hold the release's files, or the one folder PRODUCT-VERSION with them.
    options.each = [this](sys::ArchiveEntry& entry) {
      if (entry.path == name_) return false;
      for (std::string* path : {&entry.path, entry.kind == 'h' ? &entry.link : &entry.path})
        if (path->starts_with(name_ + "/")) path->erase(0, name_.size() + 1);
      return true;
    };
    sys::unpack(path_, folder, options);
  } else {
    options.hashed = [&](const sys::ArchiveEntry& entry, const std::string& sum) {
      seen.insert(entry.path);
      compare(entry.path, sum);
    };
    sys::copy_checked(path_, folder, options);
    for (const auto& [file, sum] : file_sums_)
      if (!seen.contains(file))
        throw Error(ErrorKind::permanent, "the release is damaged", path_ + "/" + file,
                    "it is listed, but not there", "fetch the release again");
  }
  failpoint("release.pin:unpacked");
}

}  // namespace relight
