// The manifest of a base backup, of pg_basebackup and of pgBackRest, as it is and with its own checksum made
// to fit.
#include "runner/sys/digest.h"
#include "steps/postgres/lib/backrest_manifest.h"
#include "steps/postgres/lib/manifest.h"
#include "tests/fuzz/fuzz.h"

namespace relight {

void fuzz::look(std::string_view bytes) {
  const std::string text(bytes);
  takes([&] { postgres::parse_manifest(text, "fuzz"); });
  takes([&] { postgres::parse_backrest_manifest(text, "fuzz"); });
  takes([&] {
    const postgres::Manifest manifest = postgres::parse_manifest(
        text + "\"Manifest-Checksum\": \"" + sys::sha256_hex(text) + "\"}\n", "fuzz");
    must(manifest.start <= manifest.end, "its WAL does not end before it begins");
    manifest.bytes();
    manifest.started();
    for (const auto& file : manifest.files) takes([&] { postgres::Checksum(file.second.algorithm).hex(); });
  });
}

}  // namespace relight
