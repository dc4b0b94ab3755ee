#include "steps/postgres/lib/dump_contents.h"

#include <doctest/doctest.h>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

using namespace relight;
using namespace relight::postgres;

namespace {

std::string member(const std::string& name, const std::string& size) {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  header.replace(124, size.size(), size);
  header.replace(257, 5, "ustar");
  return header;
}

std::string fault_of(const std::string& bytes) {
  const sys::TempFolder folder;
  const std::string path = folder.path() + "/dump";
  sys::write_file(path, bytes, 0600);
  try {
    check_dump_tar(path);
  } catch (const Error& error) {
    CHECK(error.kind == ErrorKind::refused);
    return error.why;
  }
  return "";
}

}  // namespace

TEST_CASE("the list of a dump: its data, its tables, and what is of the database itself") {
  const DumpList list = parse_dump_list(
      ";\n; Archive created at 2026-11-21 10:00:00 UTC\n;     dbname: ember\n;\n"
      "3372; 1262 16384 DATABASE - ember ember\n"
      "3374; 0 0 ACL - DATABASE ember ember\n"
      "215; 1259 16386 TABLE public notes ember\n"
      "3365; 0 16386 TABLE DATA public notes ember\n"
      "3366; 2613 16400 BLOB - 16400 ember\n"
      "3367; 0 0 BLOBS - BLOBS \n"
      "odd;\n; 1\n");
  CHECK(list.made_at == "2026-11-21 10:00:00 UTC");
  CHECK(list.data ==
        std::vector<std::string>{"3365; 0 16386 TABLE DATA public notes ember", "3367; 0 0 BLOBS - BLOBS "});
  CHECK(list.tables == std::vector<std::string>{"3365"});
  CHECK(list.of_database ==
        "3372; 1262 16384 DATABASE - ember ember\n3374; 0 0 ACL - DATABASE ember ember\n");
}

TEST_CASE("a dump in a tar is whole, cut off, or has a size that leads nowhere") {
  const std::string block(512, '\0'), good = member("toc.dat", "00000000005") + "PGDMP" + block.substr(5);
  CHECK(fault_of(good + block + block).empty());
  CHECK(fault_of(good) == "it ends within toc.dat");
  CHECK(fault_of(member("3365.dat", "00000001000") + block) == "it ends within 3365.dat");
  // Sizes of more than 8 GiB are big-endian bytes: these would lead back to the same header, or before it.
  for (const std::string& low : {std::string("\xfe\0", 2), std::string("\xfa\0", 2)})
    CHECK(fault_of(member("toc.dat", std::string("\x80\0\0\0", 4) + std::string(6, '\xff') + low)) ==
          "the header of toc.dat cannot be read");
}
