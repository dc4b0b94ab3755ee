#include "runner/journal/record.h"

#include <openssl/evp.h>

#include <array>

#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

constexpr std::string_view before_hash = ",\"hash\":\"";
constexpr std::string_view after_hash = "\"}";
constexpr std::size_t hash_length = 64;
constexpr std::size_t line_end_length = before_hash.size() + hash_length + after_hash.size();

// Fetching the algorithm and making a context cost more than hashing a record.
class Hasher {
 public:
  Hasher() : algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {}
  ~Hasher() {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(algorithm_);
  }
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  std::array<unsigned char, 32> hash(std::string_view bytes) {
    std::array<unsigned char, 32> out;
    if (algorithm_ == nullptr || context_ == nullptr ||
        EVP_DigestInit_ex2(context_, algorithm_, nullptr) != 1 ||
        EVP_DigestUpdate(context_, bytes.data(), bytes.size()) != 1 ||
        EVP_DigestFinal_ex(context_, out.data(), nullptr) != 1)
      throw Error(ErrorKind::permanent, "cannot hash a record of the journal", "", "OpenSSL has no SHA-256",
                  "check the OpenSSL configuration of this host");
    return out;
  }

 private:
  EVP_MD* algorithm_;
  EVP_MD_CTX* context_;
};

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void append_member(std::string& out, const std::string& name, const Json& value) {
  out += ',';
  out += dump(Json(name));
  out += ':';
  out += dump(value);
}

bool is_writers(const std::string& name) {
  return name == "seq" || name == "batch" || name == "of" || name == "prev" || name == "hash";
}

}  // namespace

std::string hash_of(std::string_view bytes) {
  thread_local Hasher hasher;
  static constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(hash_length);
  for (unsigned char byte : hasher.hash(bytes)) {
    hex += digits[byte >> 4];
    hex += digits[byte & 15];
  }
  return hex;
}

std::string make_members(const Json& body) {
  auto kind = body.find("kind");
  if (kind == body.end() || !kind->is_string())
    throw Error(ErrorKind::permanent, "cannot write a record of the journal", "", "it has no kind");
  auto wall = body.find("wall"), boot = body.find("boot");
  std::string out;
  out.reserve(256);
  out += "\"wall\":";
  out += wall != body.end() ? dump(*wall) : '"' + sys::show_time(sys::now()) + '"';
  out += ",\"boot\":";
  out += boot != body.end() ? dump(*boot) : std::to_string(sys::boot_time().count());
  append_member(out, "kind", *kind);
  for (auto member = body.begin(); member != body.end(); ++member) {
    if (member == kind || member == wall || member == boot) continue;
    if (is_writers(member.key()))
      throw Error(ErrorKind::permanent, "cannot write a record of the journal", kind->get<std::string>(),
                  "it has a member named `" + member.key() + "`, which is the writer's own");
    append_member(out, member.key(), *member);
  }
  return out;
}

Line frame_line(std::string_view members, std::uint64_t seq, std::uint64_t batch, std::uint64_t place,
                std::uint64_t length, std::string_view prev) {
  Line line;
  std::string& text = line.text;
  text.reserve(members.size() + 320);
  text += line_start;
  text += std::to_string(seq);
  text += ",\"batch\":";
  text += std::to_string(batch);
  text += ",\"of\":[";
  text += std::to_string(place);
  text += ',';
  text += std::to_string(length);
  text += "],";
  text += members;
  text += ",\"prev\":\"";
  text += prev;
  text += '"';
  line.hash = hash_of(text);
  text += before_hash;
  text += line.hash;
  text += after_hash;
  return line;
}

Line make_line(const Json& body, std::uint64_t seq, std::uint64_t batch, std::uint64_t place,
               std::uint64_t length, const std::string& prev) {
  return frame_line(make_members(body), seq, batch, place, length, prev);
}

std::string_view own_hash(std::string_view line) {
  if (line.size() <= line_end_length) return {};
  std::string_view hashed = line.substr(0, line.size() - line_end_length);
  std::string_view end = line.substr(hashed.size());
  std::string_view hash = end.substr(before_hash.size(), hash_length);
  if (!end.starts_with(before_hash) || !end.ends_with(after_hash) || hash_of(hashed) != hash) return {};
  return hash;
}

}  // namespace relight
