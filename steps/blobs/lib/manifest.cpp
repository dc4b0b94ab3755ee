#include "steps/blobs/lib/manifest.h"

#include <algorithm>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight::blobs {
namespace {

constexpr std::size_t hash_length = 64;
constexpr std::uint64_t largest_manifest = 1u << 30;
constexpr std::size_t names_shown = 10;

Error fault(const std::string& on, std::size_t line, const std::string& why) {
  return Error(
      ErrorKind::refused, "cannot read the manifest", on + ":" + std::to_string(line), why,
      "write a line a file, as `find . -type f -exec sha256sum {} +` does in the folder of the blobs");
}

bool unescape(std::string_view text, std::string& path) {
  path.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      path += text[i];
      continue;
    }
    if (++i == text.size()) return false;
    switch (text[i]) {
      case '\\':
        path += '\\';
        break;
      case 'n':
        path += '\n';
        break;
      case 'r':
        path += '\r';
        break;
      default:
        return false;
    }
  }
  return true;
}

// "./a//b" is "a/b"; empty: it leaves the folder, or names none of its files.
std::string inside_folder(const std::string& path) {
  if (path.empty() || path.front() == '/' || path.find('\0') != std::string::npos) return "";
  std::vector<std::string> parts;
  for (const std::string& part : sys::split(path, '/')) {
    if (part == "..") return "";
    if (!part.empty() && part != ".") parts.push_back(part);
  }
  return sys::join(parts, "/");
}

}  // namespace

Hashes parse_manifest(std::string_view text, const std::string& on) {
  Hashes manifest;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;

    const bool escaped = line.front() == '\\';
    if (escaped) line.remove_prefix(1);
    std::string hash(line.substr(0, hash_length)), bytes;
    std::transform(hash.begin(), hash.end(), hash.begin(), [](unsigned char c) { return std::tolower(c); });
    if (hash.size() != hash_length || !sys::from_hex(hash, bytes))
      throw fault(on, number, "the line does not begin with a SHA-256 of 64 hex digits");
    line.remove_prefix(hash_length);
    if (line.size() < 3 || line[0] != ' ' || (line[1] != ' ' && line[1] != '*'))
      throw fault(on, number, "two spaces and a path must follow the hash");
    std::string path(line.substr(2));
    if (escaped && !unescape(line.substr(2), path)) throw fault(on, number, "a path with an unknown escape");
    const std::string inside = inside_folder(path);
    if (inside.empty()) throw fault(on, number, "the path " + path + " is not below the folder of the blobs");
    const auto [known, added] = manifest.emplace(inside, hash);
    if (!added && known->second != hash)
      throw fault(on, number, inside + " is listed twice with different hashes");
  }
  return manifest;
}

Hashes read_manifest(const std::string& path) {
  return parse_manifest(sys::read_file(path, largest_manifest), path);
}

std::string manifest_text(const Hashes& files) {
  std::string text;
  for (const auto& [path, hash] : files) {
    std::string name;
    for (const char c : path)
      name += c == '\\' ? "\\\\" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : std::string(1, c);
    text += (name == path ? "" : "\\") + hash + "  " + name + "\n";
  }
  return text;
}

Differences compare(const Hashes& manifest, const Hashes& found) {
  Differences differences;
  auto listed = manifest.begin();
  auto file = found.begin();
  while (listed != manifest.end() || file != found.end()) {
    const int order = listed == manifest.end() ? 1
                      : file == found.end()    ? -1
                                               : listed->first.compare(file->first);
    if (order < 0) {
      differences.missing.push_back((listed++)->first);
    } else if (order > 0) {
      differences.extra.push_back((file++)->first);
    } else {
      if (!file->second.empty() && file->second != listed->second)
        differences.different.push_back(file->first);
      ++listed, ++file;
    }
  }
  return differences;
}

std::string some_of(const std::vector<std::string>& names) {
  if (names.size() <= names_shown) return sys::join(names, ", ");
  return sys::join({names.begin(), names.begin() + names_shown}, ", ") + " and " +
         sys::show_count(names.size() - names_shown) + " more";
}

std::string show(const Differences& differences) {
  std::vector<std::string> parts;
  if (!differences.different.empty()) parts.push_back("different: " + some_of(differences.different));
  if (!differences.missing.empty()) parts.push_back("missing: " + some_of(differences.missing));
  if (!differences.extra.empty()) parts.push_back("not in the manifest: " + some_of(differences.extra));
  return sys::join(parts, "; ");
}

}  // namespace relight::blobs
