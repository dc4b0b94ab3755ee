// The SHA-256 manifest of a folder of blobs, and written again as sha256sum writes it.
#include "steps/blobs/lib/manifest.h"
#include "tests/fuzz/fuzz.h"

namespace relight {
namespace {

std::string line_of(const std::string& path, const std::string& hash) {
  std::string escaped;
  for (const char c : path)
    escaped += c == '\\' ? "\\\\" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : std::string(1, c);
  return (escaped == path ? "" : "\\") + hash + "  " + escaped + "\n";
}

}  // namespace

void fuzz::look(std::string_view bytes) {
  takes([&] {
    const blobs::Hashes hashes = blobs::parse_manifest(bytes, "fuzz");
    std::string again;
    for (const auto& [path, hash] : hashes) {
      must(!path.empty() && !path.starts_with('/') && ("/" + path + "/").find("/../") == std::string::npos,
           "a path stays below its folder");
      again += line_of(path, hash);
    }
    must(blobs::parse_manifest(again, "fuzz") == hashes, "a manifest is read back as it was");
  });
}

}  // namespace relight
