#include "steps/blobs/lib/set_part.h"

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"
#include "steps/blobs/lib/source.h"

namespace relight::blobs {
namespace {

void verify_one(const RecoverySet& set, const Json& blobs, bool every_byte, Call& call, SetReport& report) {
  if (!blobs.is_object() || !blobs.value("archive", Json()).is_string()) return;
  Source source;
  source.path = set.folder + "/" + blobs["archive"].get<std::string>();
  if (!sys::exists(source.path))
    throw Error(ErrorKind::refused, "the blobs are missing", source.path, "backup.json names them",
                "use another copy of the backup");
  const Json manifest = blobs.value("manifest", Json());
  if (manifest.is_string()) source.manifest = set.folder + "/" + manifest.get<std::string>();
  const Content content = look(source, every_byte, [&](const Content&) { call.stop_here_if_wanted(); });
  std::string found = sys::show_count(content.files.size()) +
                      (content.files.size() == 1 ? " file, " : " files, ") + sys::show_size(content.bytes);
  if (source.manifest.empty()) {
    report.hints.push_back(
        source.path + " has no manifest: nothing proves that its files are the ones that were backed up");
  } else {
    const Differences differences = compare(read_manifest(source.manifest), content.files);
    if (differences.any())
      report.problems.push_back({"the blobs are not those of their manifest", source.path, show(differences),
                                 "use another copy of the backup"});
    found += every_byte ? ", every hash as in the manifest" : ", every name as in the manifest";
  }
  report.parts.push_back({"blobs", found});
}

}  // namespace

void verify_part(const RecoverySet& set, bool every_byte, Call& call, SetReport& report) {
  const Json blobs = set.json.value("blobs", Json());
  if (blobs.is_array())
    for (const Json& one : blobs) verify_one(set, one, every_byte, call, report);
  else
    verify_one(set, blobs, every_byte, call, report);
}

}  // namespace relight::blobs
