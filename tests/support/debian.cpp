#include "tests/support/debian.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>

#include "runner/sys/digest.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

// dpkg syncs again and again, and a test needs no disk that survives a power cut: memory, where its file
// system can bear markers and run scripts.
std::string memory_folder() {
  const char* memory = "/dev/shm";
  struct statvfs system {};
  if (access(memory, W_OK) != 0 || statvfs(memory, &system) != 0 || (system.f_flag & ST_NOEXEC)) return "";
  return lgetxattr(memory, "user.relight", nullptr, 0) >= 0 || errno == ENODATA ? memory : "";
}

std::string run(std::vector<std::string> argv) {
  sys::Command command;
  command.argv = std::move(argv);
  return sys::output_of(command, "test setup");
}

}  // namespace

Debian::Debian() : folder_(memory_folder()), base_(folder_.path()) {
  for (const char* part :
       {"repo", "root/var/lib/dpkg/info", "root/var/lib/dpkg/updates", "root/etc", "root/usr/sbin",
        "state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "log"})
    sys::make_folders(base_ + "/" + part);
  sys::write_file(root() + "/var/lib/dpkg/status", "", 0644);
  sys::write_file(base_ + "/etc/sources.list", "deb [trusted=yes] copy:" + base_ + "/repo ./\n", 0644);
  sys::write_file(base_ + "/apt.conf",
                  "Dir::State \"" + base_ + "/state\";\nDir::State::status \"" + root() +
                      "/var/lib/dpkg/status\";\nDir::Cache \"" + base_ + "/cache\";\nDir::Etc \"" + base_ +
                      "/etc\";\nDir::Log \"" + base_ + "/log\";\nAPT::Sandbox::User \"root\";\n",
                  0644);
  setenv("APT_CONFIG", (base_ + "/apt.conf").c_str(), 1);
  setenv("DPKG_ROOT", root().c_str(), 1);
  setenv("DPKG_ADMINDIR", (root() + "/var/lib/dpkg").c_str(), 1);
  setenv("DPKG_FORCE", "script-chrootless,downgrade,unsafe-io", 1);
}

Debian::~Debian() {
  for (const char* name : {"APT_CONFIG", "DPKG_ROOT", "DPKG_ADMINDIR", "DPKG_FORCE"}) unsetenv(name);
}

void Debian::add(const std::string& name, const std::string& version, const std::string& fields,
                 const std::string& postinst) {
  const std::string tree = base_ + "/build/" + name + "-" + version;
  const std::string control = "Package: " + name + "\nVersion: " + version +
                              "\nArchitecture: all\nMaintainer: test <test@localhost>\nInstalled-Size: 4\n" +
                              fields + "Description: a test\n";
  sys::make_folders(tree + "/DEBIAN");
  sys::make_folders(tree + "/usr/share/" + name);
  sys::write_file(tree + "/usr/share/" + name + "/version", version, 0644);
  sys::write_file(tree + "/DEBIAN/control", control, 0644);
  if (!postinst.empty()) sys::write_file(tree + "/DEBIAN/postinst", "#!/bin/sh\nset -e\n" + postinst, 0755);
  const std::string file = name + "_" + version + ".deb", path = base_ + "/repo/" + file;
  run({"dpkg-deb", "--build", tree, path});
  index_ += control + "Filename: ./" + file + "\nSize: " + std::to_string(sys::read_file(path).size()) +
            "\nSHA256: " + sys::sha256_file(path) + "\n\n";
  publish();
}

void Debian::withdraw(const std::string& name, const std::string& version) {
  const std::size_t at = index_.find("Package: " + name + "\nVersion: " + version + "\n");
  REQUIRE(at != std::string::npos);
  index_.erase(at, index_.find("\n\n", at) + 2 - at);
  sys::remove_file(base_ + "/repo/" + name + "_" + version + ".deb");
  publish();
}

void Debian::update() {
  run({"apt-get", "-q", "update"});
}

void Debian::install(const std::string& what) {
  run({"apt-get", "-y", "-q", "install", what});
}

std::string Debian::there() const {
  std::vector<std::string> lines;
  for (const std::string& line :
       sys::split(run({"dpkg-query", "-W", "-f=${db:Status-Status} ${Package} ${Version}\\n"}), '\n'))
    if (line.starts_with("installed ")) lines.push_back(line.substr(10));
  return sys::join(lines, ", ");
}

// A second later each time: apt takes an index of the same second for the one that it has.
void Debian::publish() {
  const std::string packages = base_ + "/repo/Packages";
  sys::write_file(packages, index_, 0644);
  const timespec at{1'700'000'000 + ++published_, 0}, times[2] = {at, at};
  REQUIRE(utimensat(AT_FDCWD, packages.c_str(), times, 0) == 0);
}

}  // namespace relight
