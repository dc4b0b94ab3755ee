#include "steps/postgres/lib/programs.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "runner/step/in_image.h"
#include "runner/sys/text.h"

namespace relight::postgres {

std::string package_of(int major) {
  return "postgresql-" + std::to_string(major);
}

std::optional<Programs> Programs::find(int major) {
  const std::string version = std::to_string(major);
  const std::string debian = "/usr/lib/postgresql/" + version + "/bin";
  if (sys::exists(debian + "/postgres")) return Programs(major, debian);
  const std::string found = sys::find_program("postgres");
  if (found.empty()) return std::nullopt;
  sys::Command command;
  command.argv = {found, "--version"};
  const sys::Result told = sys::run(command);
  // "postgres (PostgreSQL) 15.20 (Debian ...)"
  if (told.out.find(") " + version + ".") == std::string::npos) return std::nullopt;
  return Programs(major, sys::parent_of(found));
}

namespace {

constexpr const char* list_all =
    R"(postgres --version || exit
p=$(command -v postgres)
for f in ${p%/*}/* ${p%/bin/*}/lib/*.so ${p%/bin/*}/lib/postgresql/*.so \
  ${p%/bin/*}/share/postgresql/extension/*.control /usr/share/postgresql/*/extension/*.control; do
  echo ${f##*/}
done)";

// What postgres says of its version, and the names of the programs, libraries and extensions that are there,
// a line each. An image never changes.
std::string told_by(const Programs::Image& image) {
  static std::mutex mutex;
  static std::map<std::string, std::string> known;
  const std::lock_guard lock(mutex);
  std::string& told = known[image.id];
  if (!told.empty()) return told;
  sys::Command command;
  command.argv = {"/bin/sh", "-c", list_all};
  const sys::Result result =
      sys::run(in_image(std::move(command), {.image = image.id, .user = image.owner}, *image.call));
  return told = result.out;
}

}  // namespace

std::optional<Programs> Programs::in(Image image, int major) {
  const std::string told = told_by(image);
  // "postgres (PostgreSQL) 15.20 (Debian ...)", "postgres (PostgreSQL) 17beta1"
  const std::size_t at = told.find("(PostgreSQL) ");
  const int its = at == std::string::npos ? 0 : std::atoi(told.c_str() + told.find(' ', at));
  if (its == 0 || (major != 0 && its != major)) return std::nullopt;
  Programs programs(its, "");
  for (const std::string& line : sys::split(told, '\n')) programs.there_.insert(line);
  programs.image_ = std::move(image);
  return programs;
}

std::string Programs::path(const std::string& name) const {
  return folder_ + "/" + name;
}

bool Programs::has(const std::string& name) const {
  return image_ ? there_.contains(name) : access(path(name).c_str(), X_OK) == 0;
}

bool Programs::image_has(const std::string& name) const {
  constexpr std::string_view own_folder = "$libdir/";
  const std::string file = name.starts_with(own_folder) ? name.substr(own_folder.size()) : name;
  return file.find('/') != std::string::npos || there_.contains(file) || there_.contains(file + ".so");
}

ClientProgram Programs::client(const std::string& name) const {
  return image_ ? ClientProgram::of_image(name, image_->id, *image_->call) : ClientProgram::at(path(name));
}

sys::Command Programs::command(const std::string& name, const std::vector<std::string>& arguments,
                               std::vector<std::string> places) const {
  return service(name, arguments, std::move(places), "", {});
}

sys::Command Programs::service(const std::string& name, const std::vector<std::string>& arguments,
                               std::vector<std::string> places, const std::string& label,
                               const std::map<std::string, std::string>& env) const {
  sys::Command command;
  command.argv.push_back(image_ ? name : path(name));
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.extra_env = env;
  command.extra_env.insert({{"LC_ALL", "C"}, {"TZ", "UTC"}});
  if (!image_) return command;
  const bool serves = name == "postgres" || name == "initdb";
  std::vector<std::string> reads;
  for (const std::string& folder : image_->reads)
    if (!serves && sys::exists(folder) && std::find(places.begin(), places.end(), folder) == places.end() &&
        std::find(reads.begin(), reads.end(), folder) == reads.end())
      reads.push_back(folder);
  return in_image(std::move(command),
                  {.image = image_->id,
                   .user = serves ? image_->owner : sys::Owner{geteuid(), getegid()},
                   .places = std::move(places),
                   .reads = std::move(reads),
                   .host_pids = serves,  // it is told by the number in its postmaster.pid
                   .label = label},
                  *image_->call);
}

}  // namespace relight::postgres
