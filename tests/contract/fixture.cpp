#include "tests/contract/fixture.h"

#include <doctest/doctest.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/recovery.h"

namespace relight {
namespace {
std::vector<Subject>& list() {
  static std::vector<Subject> all;
  return all;
}
}  // namespace

std::string Fixture::in_memory() {
  work_in_memory();
  return "";
}

const std::vector<Subject>& subjects() {
  return list();
}

Subjects::Subjects(std::initializer_list<Subject> more) {
  list().insert(list().end(), more);
}

void add_neighbours(const std::string& folder) {
  sys::make_folders(folder);
  sys::make_folders(folder + "/folder", 0711);
  sys::write_file(folder + "/folder/.within", "hidden within", 0600);
  sys::write_file(folder + "/.hidden", "hidden", 0600);
  sys::write_file(folder + "/neighbour", "neighbour", 0604, sys::Owner{1234, 1235});
  REQUIRE(setxattr((folder + "/neighbour").c_str(), "user.note", "kept", 4, 0) == 0);
  REQUIRE(link((folder + "/neighbour").c_str(), (folder + "/same").c_str()) == 0);
  REQUIRE(symlink("neighbour", (folder + "/.link").c_str()) == 0);
}

}  // namespace relight
