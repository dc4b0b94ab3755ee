#include "steps/postgres/lib/manifest.h"

#include <isa-l/crc.h>
#include <openssl/evp.h>

#include <algorithm>
#include <limits>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"

namespace relight::postgres {

std::uint64_t Manifest::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [path, file] : files) sum += file.size;
  return sum;
}

std::optional<sys::Time> Manifest::started() const {
  if (told_start) return told_start;
  const auto label = files.find("backup_label");
  if (label == files.end()) return std::nullopt;
  std::string text = label->second.modified;
  if (text.size() < 4 || text.substr(text.size() - 4) != " GMT") return std::nullopt;
  return sys::parse_time(text.substr(0, text.size() - 4) + "Z");
}

namespace {

Error wrong(const std::string& on, const std::string& why) {
  return Error(ErrorKind::permanent, "cannot read the backup's manifest", on, why,
               "take another base backup: what this one holds can no longer be checked");
}

// The last line holds the SHA-256 of all that stands before it.
void check_itself(const std::string& text, const std::string& on) {
  const std::size_t last = text.rfind("\"Manifest-Checksum\"");
  if (last == std::string::npos) throw wrong(on, "it is cut short");
  const std::size_t quote = text.find('"', last + 19);
  const std::string told = quote == std::string::npos ? "" : text.substr(quote + 1, 64);
  if (sys::sha256_hex(std::string_view(text).substr(0, last)) != told)
    throw wrong(on, "its own checksum does not match");
}

// A whole number that fits: what the JSON class makes of any other is not defined.
template <class Number>
Number count_of(const Json& value, const std::string& on) {
  if (!value.is_number()) throw wrong(on, "a number is missing");
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > std::numeric_limits<Number>::max())
    throw wrong(on, "the number " + value.dump() + " cannot be");
  return value.get<Number>();
}

void read_ranges(const Json& ranges, Manifest& manifest, const std::string& on) {
  if (ranges.empty()) throw wrong(on, "it names no WAL");
  bool first = true;
  for (const Json& range : ranges) {
    const auto start = parse_lsn(range.at("Start-LSN").get<std::string>());
    const auto end = parse_lsn(range.at("End-LSN").get<std::string>());
    if (!start || !end) throw wrong(on, "a WAL position cannot be read");
    if (*end < *start) throw wrong(on, "its WAL ends before it begins");
    if (first || *start < manifest.start) {
      manifest.start = *start;
      manifest.timeline = count_of<Timeline>(range.at("Timeline"), on);
    }
    manifest.end = first ? *end : std::max(manifest.end, *end);
    first = false;
  }
}

}  // namespace

Manifest parse_manifest(const std::string& text, const std::string& on) {
  check_itself(text, on);
  Manifest manifest;
  try {
    const Json json = Json::parse(text);
    const auto version = count_of<std::uint32_t>(json.at("PostgreSQL-Backup-Manifest-Version"), on);
    if (version != 1 && version != 2)
      throw wrong(on, "its format " + std::to_string(version) + " is not known here");
    if (const auto id = json.find("System-Identifier"); id != json.end())
      manifest.system_identifier = std::to_string(count_of<std::uint64_t>(*id, on));
    for (const Json& entry : json.at("Files")) {
      std::string path;
      if (const auto encoded = entry.find("Encoded-Path"); encoded != entry.end()) {
        if (!sys::from_hex(encoded->get<std::string>(), path)) throw wrong(on, "a path cannot be decoded");
      } else {
        path = entry.at("Path").get<std::string>();
      }
      ManifestFile file;
      file.size = count_of<std::uint64_t>(entry.at("Size"), on);
      file.modified = entry.value("Last-Modified", "");
      file.algorithm = entry.value("Checksum-Algorithm", "");
      file.checksum = entry.value("Checksum", "");
      if (!manifest.files.emplace(path, std::move(file)).second)
        throw wrong(on, "it names " + path + " twice");
    }
    read_ranges(json.at("WAL-Ranges"), manifest, on);
  } catch (const Json::exception& error) {
    throw wrong(on, error.what());
  }
  return manifest;
}

bool may_differ(const std::string& path) {
  return path == "postgresql.auto.conf" || path == "recovery.signal" || path == "standby.signal";
}

struct Checksum::State {
  bool crc = false;
  std::uint32_t value = 0xFFFFFFFFu;
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest{nullptr, EVP_MD_CTX_free};
};

Checksum::Checksum(const std::string& algorithm) : state_(std::make_unique<State>()) {
  if (algorithm.empty()) return;
  if (algorithm == "CRC32C") {
    state_->crc = true;
    return;
  }
  const EVP_MD* type = nullptr;
  if (algorithm.rfind("SHA", 0) == 0) type = EVP_get_digestbyname(algorithm.c_str());
  state_->digest.reset(EVP_MD_CTX_new());
  if (type == nullptr || EVP_DigestInit_ex(state_->digest.get(), type, nullptr) != 1)
    throw Error(ErrorKind::permanent, "cannot check the base backup", algorithm,
                "this checksum algorithm is not known here");
}
Checksum::~Checksum() = default;
Checksum::Checksum(Checksum&&) noexcept = default;

void Checksum::add(std::string_view bytes) {
  if (state_->digest) EVP_DigestUpdate(state_->digest.get(), bytes.data(), bytes.size());
  while (state_->crc && !bytes.empty()) {
    const std::size_t part = std::min<std::size_t>(bytes.size(), 1u << 30);
    // The library's parameter is not const, but it only reads.
    auto* begin = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
    state_->value = crc32_iscsi(begin, static_cast<int>(part), state_->value);
    bytes.remove_prefix(part);
  }
}

std::string Checksum::hex() {
  if (state_->crc) {
    // As PostgreSQL stores it: the bytes in memory order.
    const std::uint32_t value = state_->value ^ 0xFFFFFFFFu;
    return sys::to_hex(std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
  }
  if (!state_->digest) return "";
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->digest.get(), bytes, &size);
  return sys::to_hex(std::string_view(reinterpret_cast<const char*>(bytes), size));
}

}  // namespace relight::postgres
