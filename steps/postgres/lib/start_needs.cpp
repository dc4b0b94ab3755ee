#include "steps/postgres/lib/start_needs.h"

#include <fmt/core.h>

#include <algorithm>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/config.h"

namespace relight::postgres {

namespace {

constexpr const char* would_not_start = "the recovered server would not start";

// A list as the server reads it: names with commas between them, in double quotes or not.
std::vector<std::string> listed(const std::string& text) {
  std::vector<std::string> names;
  for (std::string name : sys::split(text, ',')) {
    name = sys::trim(name);
    name.erase(std::remove(name.begin(), name.end(), '"'), name.end());
    if (!name.empty()) names.push_back(name);
  }
  return names;
}

// A library is named by its path, or looked for in the folders of dynamic_library_path.
bool is_there(const std::string& library, const std::vector<std::string>& folders) {
  const auto any = [](const std::string& path) { return sys::exists(path) || sys::exists(path + ".so"); };
  if (library.find('/') != std::string::npos) return any(library);
  return std::any_of(folders.begin(), folders.end(),
                     [&](const std::string& folder) { return any(folder + "/" + library); });
}

}  // namespace

StartNeeds start_needs(const Programs& programs, const std::string& config_file,
                       const std::string& data_folder) {
  StartNeeds needs;
  try {
    const auto told = [&](const char* name) { return setting(programs, config_file, data_folder, name); };
    const std::string own = sys::parent_of(sys::parent_of(programs.path("postgres"))) + "/lib";
    const auto placed = [&](std::string path) {
      constexpr std::string_view libdir = "$libdir";
      return path.starts_with(libdir) ? own + path.substr(libdir.size()) : path;
    };
    std::vector<std::string> folders;
    for (const std::string& folder : sys::split(told("dynamic_library_path"), ':'))
      folders.push_back(placed(folder));
    for (const char* name : {"shared_preload_libraries", "session_preload_libraries"})
      for (const std::string& library : listed(told(name)))
        if (programs.of_image() && !programs.image_has(library))
          needs.problems.push_back({would_not_start, library,
                                    std::string(name) + " names it, and the image has it not",
                                    "pin an image that has it, or take it out of " + config_file});
        else if (!programs.of_image() && !is_there(placed(library), folders))
          needs.may_come.push_back(
              {would_not_start, library, std::string(name) + " names it, and it is not installed in " + own,
               "install its package in a step before this one, as postgresql-" +
                   std::to_string(programs.major()) + "-" + library + ", or take it out of " + config_file});
  } catch (const Error& error) {
    needs.problems.push_back({error.failed, error.on, error.why, error.hint});
  }
  return needs;
}

std::vector<Problem> wrong_with_build(const Programs& programs, const Control& control,
                                      const std::string& on) {
  const sys::TempFolder scratch;
  const std::string none = scratch.path() + "/postgresql.conf";
  sys::write_file(none, "", 0600);
  const std::string here = setting(programs, none, "", "block_size");
  if (here == std::to_string(control.block_size)) return {};
  return {{would_not_start, on,
           fmt::format("the cluster has blocks of {} bytes, and the server here is built for {}",
                       control.block_size, here),
           "install a PostgreSQL that is built as the old one was"}};
}

std::string shown(const Control& control) {
  const Demands& demands = control.demands;
  return fmt::format(
      "blocks of {} bytes, {}, max_connections {}, max_worker_processes {}, max_locks_per_transaction {}",
      control.block_size, control.checksums ? "page checksums" : "no page checksums", demands.max_connections,
      demands.max_worker_processes, demands.max_locks_per_transaction);
}

}  // namespace relight::postgres
