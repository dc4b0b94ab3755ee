#include "runner/sys/unpack_record.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/text.h"

namespace relight::sys {
namespace {

constexpr const char* kHead = "relight-unpacked 1 ";
constexpr std::size_t kHashSize = 64;
const std::string kReplaced(kHashSize, '0');

std::string boot_id() {
  return trim(read_file_if_there("/proc/sys/kernel/random/boot_id").value_or("unknown"));
}

std::string path_of(const std::string& folder) {
  return folder + "/" + UnpackRecord::name;
}

std::string escaped(const std::string& path) {
  std::string text;
  for (const char c : path) text += c == '\n' ? "\\n" : c == '\\' ? "\\\\" : std::string(1, c);
  return text;
}

std::string unescaped(std::string_view text) {
  std::string path;
  for (std::size_t i = 0; i < text.size(); ++i)
    path += text[i] != '\\' || ++i == text.size() ? text[std::min(i, text.size() - 1)]
            : text[i] == 'n'                      ? '\n'
                                                  : text[i];
  return path;
}

// A number up to the next space; both are taken off the line.
template <class Number>
bool take_off(std::string_view& line, Number& number) {
  const auto [end, fault] = std::from_chars(line.data(), line.data() + line.size(), number);
  const auto size = static_cast<std::size_t>(end - line.data());
  if (fault != std::errc() || size >= line.size() || *end != ' ') return false;
  line.remove_prefix(size + 1);
  return true;
}

// "BOOT IDENTITY" of the first line; nothing: it is no record.
std::optional<std::string_view> head_of(std::string_view text) {
  if (!text.starts_with(kHead) || text.find('\n') == text.npos) return std::nullopt;
  text.remove_prefix(std::string_view(kHead).size());
  return text.substr(0, text.find('\n'));
}

std::string first_line(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  std::string bytes(512, '\0');
  const ssize_t got = fd ? ::read(fd.get(), bytes.data(), bytes.size()) : 0;
  bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return bytes;
}

}  // namespace

bool UnpackRecord::is_of(const std::string& folder, const std::string& identity) {
  const std::string line = first_line(path_of(folder));
  const auto head = head_of(line);
  return head && head->ends_with(" " + identity);
}

void UnpackRecord::remove(const std::string& folder) {
  remove_file(path_of(folder));
}

UnpackRecord::UnpackRecord(std::string folder, const std::string& identity) : folder_(std::move(folder)) {
  const std::string path = path_of(folder_);
  goes_on_ = is_of(folder_, identity);
  if (goes_on_) read(read_file(path, std::uint64_t{4} << 30));
  // Of another boot: what is believed of it is written anew, under this one.
  const int fresh = goes_on_ && same_boot_ ? 0 : O_TRUNC;
  fd_ = Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | fresh, 0600));
  if (!fd_) throw system_error(errno, "cannot record what is unpacked", path);
  if (fresh == 0) return;
  const std::string head = kHead + boot_id() + " " + identity + "\n";
  if (::write(fd_.get(), head.data(), head.size()) != static_cast<ssize_t>(head.size()))
    throw system_error(errno, "cannot record what is unpacked", path);
}

void UnpackRecord::read(const std::string& text) {
  same_boot_ = head_of(text)->starts_with(boot_id() + " ");
  for (std::size_t at = text.find('\n') + 1, end; (end = text.find('\n', at)) != text.npos; at = end + 1) {
    std::string_view line(text.data() + at, end - at);
    if (line.size() < kHashSize + 1 || line[kHashSize] != ' ') continue;  // torn by a power cut
    Done done{std::string(line.substr(0, kHashSize)), 0, 0, false};
    done.twice = done.sha256 == kReplaced;
    line.remove_prefix(kHashSize + 1);
    if (!take_off(line, done.size) || !take_off(line, done.mtime_ns)) continue;
    const auto [one, fresh] = done_.try_emplace(unescaped(line), done);
    if (!fresh) one->second.twice = true;
  }
}

std::optional<std::string> UnpackRecord::take(const ArchiveEntry& entry) {
  const auto found = done_.find(entry.path);
  if (found == done_.end()) return std::nullopt;
  const Done done = found->second;
  if (done.twice) return std::nullopt;
  done_.erase(found);
  if (done.size != entry.size || done.mtime_ns != entry.mtime_ns) return std::nullopt;
  if (!same_boot_) {
    try {
      if (sha256_file(folder_ + "/" + entry.path) != done.sha256) return std::nullopt;
    } catch (const Error&) {
      return std::nullopt;
    }
    add(entry, done.sha256);
  }
  return done.sha256;
}

void UnpackRecord::add(const ArchiveEntry& entry, const std::string& sha256) {
  write(fmt::format("{} {} {} {}\n", sha256, entry.size, entry.mtime_ns, escaped(entry.path)));
}

void UnpackRecord::replaced(const std::string& path) {
  write(fmt::format("{} 0 0 {}\n", kReplaced, escaped(path)));
}

void UnpackRecord::write(const std::string& line) {
  if (whole_ && ::write(fd_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    whole_ = false;
}

}  // namespace relight::sys
