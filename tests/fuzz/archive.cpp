// An archive of any kind, unpacked into a folder: nothing beside the folder changes, whatever is in it.
#include <sys/stat.h>

#include "runner/sys/archive.h"
#include "runner/sys/files.h"
#include "runner/sys/tree.h"
#include "tests/fuzz/fuzz.h"

namespace relight {
namespace {

// A folder with what must stay as it is, and the target beside it.
struct Place {
  sys::TempFolder temp;
  std::string target = temp.path() + "/target", beside = temp.path() + "/beside", before;

  Place() {
    sys::make_folders(beside);
    sys::write_file(beside + "/file", "as it was", 0640);
    before = sys::tree_digest(beside);
  }
};

}  // namespace

void fuzz::look(std::string_view bytes) {
  static const Place place;
  const MemoryFile file(bytes);
  sys::make_folders(place.target);
  sys::UnpackOptions options;
  options.each = [](sys::ArchiveEntry& entry) {
    must(!entry.path.starts_with('/') && ("/" + entry.path + "/").find("/../") == std::string::npos,
         "the path of an entry stays below the folder");
    return entry.size <= (16u << 20);  // a hole of exabytes takes its time
  };
  std::uint64_t told = 0;
  options.block = [&](const sys::ArchiveEntry&, std::string_view block) { told += block.size(); };
  takes([&] {
    const sys::Unpacked done = sys::unpack(file.path(), place.target, options);
    must(told >= done.bytes, "every byte is told");
  });
  must(sys::tree_digest(place.beside) == place.before, "nothing beside the folder changes");
  std::size_t names = 0;
  sys::walk(place.temp.path(),
            [&](const sys::Entry& entry) { names += entry.path.find('/') == std::string::npos; });
  must(names == 2, "nothing appears beside the folder");
  sys::remove_tree(place.target);
}

}  // namespace relight
