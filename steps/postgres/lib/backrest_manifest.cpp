#include "steps/postgres/lib/backrest_manifest.h"

#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"

namespace relight::postgres {

namespace {

// A path of the backup: in its data directory the manifest says pg_data/PATH.
std::string path_of(const std::string& name) {
  const std::string data = "pg_data/";
  return name.rfind(data, 0) == 0 ? name.substr(data.size()) : name;
}

void read_line(const std::string& section, const std::string& name, const Json& value,
               BackrestManifest& manifest) {
  if (section == "[target:file]") {
    const std::string checksum = value.value("checksum", "");
    const Json& size = value.at("size");
    if (!size.is_number_unsigned())
      throw Json::type_error::create(302, name + ": its size is no size", &size);
    manifest.files[path_of(name)] = {.size = size.get<std::uint64_t>(),
                                     .algorithm = checksum.empty() ? "" : "SHA1",
                                     .checksum = checksum,
                                     .modified = ""};
  } else if (section == "[backup:target]" && value.contains("tablespace-id")) {
    manifest.tablespaces.push_back(
        {value.at("tablespace-id").get<std::string>(), value.at("path").get<std::string>()});
  }
}

}  // namespace

BackrestManifest parse_backrest_manifest(const std::string& text, const std::string& on) {
  BackrestManifest manifest;
  std::string section;
  try {
    for (const std::string& line : sys::split(text, '\n')) {
      // A name may hold anything, and a value of these sections is always an object.
      const std::size_t equals = line.find("={");
      if (line.starts_with("[") && equals == std::string::npos)
        section = line;
      else if (equals != std::string::npos && (section == "[target:file]" || section == "[backup:target]"))
        read_line(section, line.substr(0, equals), Json::parse(line.substr(equals + 1)), manifest);
    }
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::permanent, "cannot read the backup's manifest", on, error.what(),
                "name another backup of the repository");
  }
  if (!manifest.files.contains("PG_VERSION"))
    throw Error(ErrorKind::permanent, "cannot read the backup's manifest", on, "it names no PG_VERSION",
                "name another backup of the repository");
  return manifest;
}

}  // namespace relight::postgres
