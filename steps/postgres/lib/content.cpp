#include "steps/postgres/lib/content.h"

#include <unistd.h>

#include <charconv>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/cluster.h"
#include "steps/postgres/lib/control.h"
#include "steps/postgres/lib/copy.h"
#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/server.h"
#include "steps/postgres/lib/settings.h"

namespace relight::postgres {

namespace {

// A copy whose tablespaces are copies too: started with the links as they are, it would write into the
// original's.
void copy_cluster(const std::string& data_folder, const std::string& copy) {
  sys::copy_tree(data_folder, copy);
  int number = 0;
  sys::walk(data_folder + "/pg_tblspc", [&](const sys::Entry& entry) {
    if (entry.kind != 'l') return;
    const std::string link = copy + "/pg_tblspc/" + entry.path,
                      space = copy + ".space" + std::to_string(++number);
    sys::copy_tree(entry.link, space);
    sys::remove_file(link);
    if (symlink(space.c_str(), link.c_str()) != 0)
      throw system_error(errno, "cannot link a tablespace", link);
  });
}

// Dumps differ by a random word in their \restrict lines, and by where tablespaces lie.
std::string digest_of_dump(const std::string& file) {
  sys::Sha256 digest;
  for (const std::string& line : sys::split(sys::read_file(file, 1ull << 40), '\n')) {
    const bool counts = line.rfind("\\restrict ", 0) != 0 && line.rfind("\\unrestrict ", 0) != 0 &&
                        line.rfind("CREATE TABLESPACE ", 0) != 0;
    if (counts) digest.add(line + "\n");
  }
  return digest.hex();
}

}  // namespace

std::string copy_digest(const std::string& data_folder, const Call& call) {
  if (!is_up(data_folder)) return sys::tree_digest(data_folder);
  const CopyRecord record = read_copy(data_folder, call);
  const auto programs = programs_for(record.wish, record.decision.major);
  const sys::TempFolder scratch;
  const std::string dump = scratch.path() + "/dump";
  const std::string work = data_folder + "/" + work_folder;
  const sys::Command command = programs->command(
      "pg_dumpall", {"--host=" + work, "--port=5432", "--username=" + record.wish.role, "--file=" + dump},
      {work, scratch.path()});
  sys::output_of(command, "cannot tell what the copy holds");
  return "paused at " + show_lsn(record.decision.target.stop.lsn) + " " + digest_of_dump(dump);
}

std::string content_digest(const std::string& data_folder, Call& call) {
  const ClusterThere there = look_at(data_folder);
  if (there.kind != ClusterThere::Kind::cluster && there.kind != ClusterThere::Kind::empty_cluster)
    return sys::tree_digest(data_folder);
  if (const auto pid = running_server(data_folder))
    throw Error(ErrorKind::permanent, "cannot tell what the cluster holds", data_folder,
                "a server runs on it, pid " + std::to_string(*pid), "stop it first");
  int major = 0;
  std::from_chars(there.version.data(), there.version.data() + there.version.size(), major);
  const auto programs = Programs::find(major);
  if (!programs)
    throw Error(ErrorKind::permanent, "cannot tell what the cluster holds", data_folder,
                "PostgreSQL " + there.version + " is not installed", "install " + package_of(major));

  const sys::TempFolder scratch;
  const std::string copy = scratch.path() + "/copy", work = copy + "/" + work_folder,
                    dump = scratch.path() + "/dump";
  copy_cluster(data_folder, copy);
  sys::make_folders(work, 0700);
  sys::write_file(copy + "/postgresql.auto.conf", "", 0600);
  sys::write_file(work + "/pg_hba.conf", quiet_hba(), 0600);
  sys::write_file(work + "/pg_ident.conf", "", 0600);
  sys::write_file(work + "/postgresql.conf",
                  config_text(quiet_settings(major, read_control(*programs, copy).demands, copy)), 0600);
  QuietServer server(*programs, copy, call);
  server.await("postgres", 0);
  sys::Command command = programs->command(
      "pg_dumpall", {"--host=" + work, "--port=5432", "--username=postgres", "--file=" + dump});
  sys::output_of(command, "cannot tell what the cluster holds");
  server.stop();
  return digest_of_dump(dump);
}

}  // namespace relight::postgres
