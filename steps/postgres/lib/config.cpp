#include "steps/postgres/lib/config.h"

#include <fmt/core.h>

#include <cctype>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/quieted.h"

namespace relight::postgres {

namespace {

// For a URL: all but what never needs it, and slashes, which a query may hold.
std::string percent(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~' || c == '/';
    safe += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return safe;
}

}  // namespace

std::string debian_config_of(const std::string& data_folder) {
  const std::string name = sys::name_of_path(data_folder), versioned = sys::parent_of(data_folder);
  if (sys::parent_of(versioned) != "/var/lib/postgresql") return "";
  return "/etc/postgresql/" + sys::name_of_path(versioned) + "/" + name;
}

std::string find_config(const std::string& given, const std::string& into) {
  const std::string name = sys::name_of_path(into), version = sys::name_of_path(sys::parent_of(into));
  for (const std::string& folder : {given, given + "/" + name, given + "/" + version + "/" + name})
    if (sys::exists(folder + "/postgresql.conf")) return folder;
  throw Error(ErrorKind::refused, "this is no configuration folder", given, "it holds no postgresql.conf",
              "name the folder that was /etc/postgresql/" + version + "/" + name);
}

std::string setting(const Programs& programs, const std::string& config_file, const std::string& data_folder,
                    const std::string& name) {
  std::vector<std::string> arguments = {"-C", name, "-c", "config_file=" + config_file, "-D"};
  if (data_folder.empty()) {
    arguments.push_back(sys::parent_of(config_file));
  } else {
    arguments.insert(arguments.end(), {data_folder, "-c", "data_directory=" + data_folder});
  }
  std::vector<std::string> places = {sys::parent_of(config_file)};
  if (!data_folder.empty() && data_folder != places[0]) places.push_back(data_folder);
  const sys::Result result = sys::run(programs.command("postgres", arguments, places));
  if (result.ok()) return sys::trim(result.out);
  std::vector<std::string> lines = sys::split(sys::trim(result.err_tail), '\n');
  // "2026-11-21 10:26:00.000 UTC [123] LOG:  syntax error in file ..."
  std::string why = lines.empty() ? "the server does not read it" : lines.front();
  if (const std::size_t text = why.find(":  "); text != std::string::npos) why = why.substr(text + 3);
  throw Error(ErrorKind::permanent, "the server would not take the configuration", config_file, why,
              "mend the file in the backup's copy, then start anew");
}

void check_config(const Programs& programs, const std::string& config_folder, const std::string& data_folder,
                  std::vector<Problem>& problems, std::vector<std::string>& hints) {
  const std::string file = config_folder + "/postgresql.conf";
  try {
    const std::string told = setting(programs, file, "", "data_directory");
    if (sys::absolute(told) != data_folder)
      problems.push_back(
          {"the configuration is of another data directory", file,
           told == config_folder ? "it names no data_directory" : "it says data_directory = '" + told + "'",
           "recover into that folder, or change the line in the backup's copy"});
    for (const char* name : {"primary_conninfo", "restore_command"})
      if (!setting(programs, file, "", name).empty())
        hints.push_back(std::string(name) + " stays set in " + file + ": a later recovery will obey it");
    for (const std::string& line : quieted_by_settings(programs, file, ""))
      hints.push_back(once_started + line);
  } catch (const Error& error) {
    problems.push_back({error.failed, error.on, error.why, error.hint});
  }
}

std::string url_of(const std::string& database, const std::string& socket_folders, const std::string& port,
                   const std::string& role) {
  std::string folder = sys::trim(socket_folders);
  if (!folder.empty() && folder.front() == '"')
    folder = sys::split(folder, '"')[1];
  else
    folder = sys::trim(sys::split(folder, ',').front());
  const std::string host = folder.empty() ? "127.0.0.1" : folder;
  const std::string user = role.empty() ? "" : percent(role) + "@";
  return "postgresql://" + user + "/" + percent(database) + "?host=" + percent(host) + "&port=" + port;
}

std::string first_config(const std::vector<std::string>& folders) {
  for (const std::string& folder : folders)
    if (!folder.empty() && sys::exists(folder + "/postgresql.conf")) return folder + "/postgresql.conf";
  return "";
}

std::string url_by_settings(const std::string& database, const Programs& programs,
                            const std::string& data_folder, const std::vector<std::string>& config_folders,
                            std::optional<std::int64_t> port) {
  std::string sockets = "/var/run/postgresql", own_port = "5432";
  const std::string file = first_config(config_folders);
  if (!file.empty()) {
    sockets = setting(programs, file, data_folder, "unix_socket_directories");
    own_port = setting(programs, file, data_folder, "port");
  }
  return url_of(database, sockets, port ? std::to_string(*port) : own_port);
}

}  // namespace relight::postgres
