#include "tests/matrix/world.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "tests/contract/fixture.h"
#include "tests/support/recovery.h"
#include "tests/support/skip.h"

namespace relight {

bool in_own_mounts() {
  static const std::string why = [] {
    if (geteuid() != 0) return std::string("only root may mount");
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      return std::string("no mounts of its own: ") + std::strerror(errno);
    sys::make_folders("/var/lib/relight");
    if (mount("none", "/var/lib/relight", "tmpfs", 0, "size=64m,mode=0755") != 0)
      return std::string("no file system in memory: ") + std::strerror(errno);
    work_in_memory();
    return std::string();
  }();
  if (!why.empty()) not_run_here(why);
  return why.empty();
}

Outside::Outside() {
  sys::Command command;
  command.cwd = path();
  command.argv = {
      "/bin/bash", "-ec",
      "mkdir -p src/3f src/empty releases/app-1.1.0/bin && cd src\n"
      "echo one >3f/one && echo three >three && head -c 20000 /dev/zero | tr '\\0' x >3f/two\n"
      "ln 3f/one 3f/same && ln -s one 3f/link && touch -h -d 2016-01-02T03:04:05Z 3f 3f/* three empty .\n"
      "find . -type f -exec sha256sum {} + | sed 's, \\./, ,' | sort >../blobs.sha256\n"
      "tar --zstd -cf ../blobs.tar.zst . && cd .. && rm -r src\n"
      "echo 'MASTER=new of the set' >keys && chmod 600 keys\n"
      "printf '#!/bin/sh\\necho 1.1.0\\n' >releases/app-1.1.0/bin/app && echo free "
      ">releases/app-1.1.0/LICENCE"};
  sys::output_of(command, "cannot prepare a test");
  // An effect: told, under a lock that shows whether another of the same step is at work.
  sys::write_file(file("act"), "#!/bin/sh\ncd " + path() + R"sh(
exec 9>>"lock.$1"
flock -n 9 || echo "$1" >>overlaps
echo "$1" >>effects
case "$2" in
fails-once) mkdir tried 2>/dev/null && exit 1 ;;
leaves) # and is at work while the blobs are unpacked beside it
  sleep 600 & (setsid sleep 600 &)
  for i in $(seq 100); do [ -e "$3" ] && break; sleep 0.01; done ;;
creates) # as a program that is worth its name does it
  echo made >"$3.tmp"; sync "$3.tmp"; mv "$3.tmp" "$3"; sync "${3%/*}" ;;
removes) rm -f "$3" "$3.tmp" "${3%/*}/.${3##*/}.tmp"; sync "${3%/*}" ;;
esac
exit 0
)sh",
                  0755);
}

void Outside::forget() const {
  for (const std::string& name : sys::names_in(path()))
    if (name == "effects" || name == "overlaps" || name == "tried" || name.starts_with("lock."))
      sys::remove_tree(file(name));
}

std::map<std::string, int> Outside::effects() const {
  std::map<std::string, int> effects;
  for (const std::string& name : sys::split(sys::read_file_if_there(file("effects")).value_or(""), '\n'))
    if (!name.empty()) ++effects[name];
  return effects;
}

std::string Outside::overlaps() const {
  return sys::read_file_if_there(file("overlaps")).value_or("");
}

const char* const matrix_book = R"(
runbook "matrix" {}
local input = inputs {
  world = { doc = "what is recovered", type = "path" },
  outside = { doc = "what is told", type = "path" },
}
local world, outside = input.world, input.outside

-- A shell step whose effect, and that of its undo, is told outside.
local function act(name, how, fields)
  local all = { command = { outside / "act", name, how, world / "srv/index" },
                undo = { outside / "act", "undo-" .. name, "", world / "srv/index" }, in_doubt = "again" }
  for field, value in pairs(fields or {}) do all[field] = value end
  return shell.run(name)(all)
end

host.directory "folder" { path = world / "srv/a/data", mode = "2750", owner = "1234" }
host.file "config" { into = world / "etc/config", content = "new\n" }
key.restore "keys" { from = secret.file(outside / "keys"), into = world / "etc/env", variables = { "MASTER" } }
act("first", "")

-- Beside each other.
blobs.restore "blobs" { from = outside / "blobs.tar.zst", into = world / "srv/blobs", after = { "first" } }
release.pin "release" {
  product = "app", version = "1.1.0", from = outside / "releases", into = world / "opt/app", after = { "first" },
}
act("notify", "", { in_doubt = "ask", after = { "first" } })
act("flaky", "fails-once", { retry = { attempts = 5, backoff = "1ms" }, after = { "first" } })

act("leaves", "leaves", { command = { outside / "act", "leaves", "leaves", world / "srv/blobs/3f" }, after = { "first" } })

act("never", "", { when = function(o) return o.blobs.files == 0 end })
act("index", "creates", { creates = world / "srv/index",
                          undo = { outside / "act", "undo-index", "removes", world / "srv/index" } })
script "join" {
  in_doubt = "again", outputs = { "size" },
  run = function(ctx)
    ctx.note("into", world / "srv/join")
    ctx.write_file(world / "srv/join", ctx.read_file(world / "etc/config") .. "joined\n", "0640")
    ctx.run { outside / "act", "join" }
    return { size = 7 }
  end,
  undo = function(ctx)
    ctx.run { outside / "act", "undo-join", "removes", world / "srv/join" }
  end,
}
probe.command "probe" { command = { "/bin/grep", "-q", "joined", world / "srv/join" } }
act("last", "")
)";

void make_world(const std::string& folder) {
  const auto at = [&](const std::string& name) { return folder + "/" + name; };
  for (const char* name : {"", "srv", "etc", "opt"}) add_neighbours(at(name));
  sys::write_file(at("etc/config"), "old\n", 0604, sys::Owner{1234, 1235});
  REQUIRE(setxattr(at("etc/config").c_str(), "user.note", "kept", 4, 0) == 0);
  sys::write_file(at("etc/env"), "PORT=1\nMASTER=old\n", 0640, sys::Owner{1234, 1235});
  add_neighbours(at("srv/blobs"));
  sys::make_folders(at("opt/app/releases/1.0.0/bin"));
  sys::write_file(at("opt/app/releases/1.0.0/bin/app"), "#!/bin/sh\necho 1.0.0\n", 0755);
  REQUIRE(symlink("releases/1.0.0", at("opt/app/current").c_str()) == 0);
  make_old(folder);
}

Look look_at_world(const std::string& folder) {
  return look_at(folder, {"srv", "etc", "opt", "opt/app", "opt/app/releases"}, false);
}

}  // namespace relight
