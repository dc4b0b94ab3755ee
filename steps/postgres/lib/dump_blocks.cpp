#include "steps/postgres/lib/dump_blocks.h"

#include "steps/postgres/lib/dump_file.h"

namespace relight::postgres {

bool reaches_end_of(const std::string& path, const std::string& item) {
  try {
    DumpFile file(path);
    const DumpHead head = file.head();
    if (!head.custom) return false;
    const auto passed = [&] {
      const DumpFile::Block block = file.block();
      file.pass(block);
      return block.number;
    };
    for (const DumpItem& one : file.contents(head))
      if (one.number == item && one.place) {
        file.go_on_to(*one.place);
        return passed() == item;
      }
    // Written into a pipe: all of them are passed.
    std::string last;
    while (!file.at_end()) last = passed();
    return last == item;
  } catch (const NotShown&) {
    return false;
  }
}

}  // namespace relight::postgres
