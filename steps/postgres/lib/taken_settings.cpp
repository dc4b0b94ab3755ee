#include "steps/postgres/lib/taken_settings.h"

#include "runner/sys/files.h"
#include "steps/postgres/lib/settings.h"

namespace relight::postgres {
namespace {

bool is_setting(const std::string& name) {
  for (const char* end : {".conf", ".crt", ".key", ".pem", ".crl"})
    if (name.ends_with(end)) return true;
  return false;
}

}  // namespace

void take_settings_over(const std::string& was, const std::string& folder) {
  if (!sys::exists(was + "/PG_VERSION")) return;
  for (const char* name : {"postgresql.conf", "pg_hba.conf", "pg_ident.conf"})
    if (!sys::exists(was + "/" + name)) sys::remove_file(folder + "/" + name);
  for (const std::string& name : sys::names_in(was)) {
    const std::string from = was + "/" + name, to = folder + "/" + name;
    if (name == "postgresql.auto.conf") {
      sys::write_file(to, without_recovery_settings(sys::read_file(from)), 0600);
    } else if (name == "conf.d" || (is_setting(name) && !sys::is_folder(from))) {
      sys::remove_tree(to);
      sys::copy_tree(from, to);
    }
  }
}

}  // namespace relight::postgres
