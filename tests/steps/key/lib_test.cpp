// The parts that the key steps stand on.
#include <doctest/doctest.h>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/key/lib/fingerprint.h"
#include "steps/key/lib/key_bytes.h"
#include "steps/key/lib/sealed.h"
#include "tests/support/error.h"

using namespace relight;

TEST_CASE("a key's text means hex, base64 or raw bytes") {
  const std::string key(32, 'k');
  CHECK(key_bytes(sys::to_hex(key) + "\n", "auto", 32, "KEY") == key);
  CHECK(key_bytes(sys::to_base64(key) + "\n", "auto", 32, "KEY") == key);
  CHECK(key_bytes(key, "auto", 32, "KEY") == key);
  CHECK(key_bytes(key + "\n", "raw", 32, "KEY") == key);
  // 64 hex digits are good base64 too: hex goes first, and a length decides.
  CHECK(key_bytes(sys::to_hex(key), "auto", std::nullopt, "KEY") == key);
  CHECK(key_bytes(sys::to_hex(key), "auto", 48, "KEY").size() == 48);
  CHECK(told_error([&] { key_bytes(sys::to_hex(key), "base64", 32, "KEY"); }) ==
        "refused: not the key that was expected: KEY: it is not 32 bytes in base64");
  CHECK(told_error([&] { key_bytes("\n", "auto", std::nullopt, "KEY"); }) ==
        "refused: not the key that was expected: KEY: it is empty");
  CHECK(told_error([&] { key_bytes("", "auto", 32, "KEY"); }) ==
        "refused: not the key that was expected: KEY: it is empty");
}

TEST_CASE("a fingerprint is compared over the decoded bytes") {
  sys::TempFolder folder;
  const std::string file = folder.path() + "/backup.json", key(32, 'k'), salt = "salt salt salt s";
  const auto write = [&](const Json& fingerprint) {
    sys::write_file(
        file, Json({{"format", "recovery-set/1"}, {"fingerprints", {{"KEY", fingerprint}}}}).dump(), 0600);
  };
  Json good = {{"encoding", "base64"},
               {"algorithm", "pbkdf2-sha256"},
               {"iterations", 1000},
               {"salt", sys::to_hex(salt)},
               {"hash", sys::to_hex(sys::pbkdf2_sha256(key, salt, 1000, 32))}};
  write(good);
  const Fingerprint fingerprint = read_fingerprints(file).at("KEY");
  CHECK(has_fingerprint(sys::to_base64(key), fingerprint));
  CHECK(has_fingerprint(sys::to_base64(key) + "\n", fingerprint));
  CHECK_FALSE(has_fingerprint(sys::to_base64(std::string(32, 'K')), fingerprint));
  CHECK_FALSE(has_fingerprint(sys::to_hex(key), fingerprint));

  const auto fault = [&](const char* field, const Json& value) {
    Json bad = good;
    bad[field] = value;
    write(bad);
    return told_error([&] { read_fingerprints(file); });
  };
  const std::string begin = "refused: cannot read the fingerprints: " + file + ": KEY: ";
  CHECK(fault("algorithm", "md5") == begin + "its algorithm is not pbkdf2-sha256");
  CHECK(fault("hash", "12") == begin + "its hash is not 64 hex digits");
  CHECK(fault("salt", "") == begin + "its salt is not hex");
  CHECK(fault("iterations", 2000000000) == begin + "its count of iterations is out of bounds");
  CHECK(fault("iterations", 4294967297) == begin + "its count of iterations is out of bounds");
  CHECK(fault("iterations", 1e30) == begin + "its count of iterations is out of bounds");
  CHECK(fault("iterations", 0) == begin + "its count of iterations is out of bounds");
  sys::write_file(file, R"({"format": "recovery-set/9"})", 0600);
  CHECK(told_error([&] { read_fingerprints(file); }) ==
        "refused: cannot read the fingerprints: " + file + ": its format is not recovery-set/1");
  sys::write_file(file,
                  R"({"format": "recovery-set/1", "fingerprints": )" + std::string(3'000'000, '[') +
                      std::string(3'000'000, ']') + "}",
                  0600);
  CHECK(told_error([&] { read_fingerprints(file); }) ==
        "refused: cannot read the fingerprints: " + file + ": it is not a JSON object");
  sys::write_file(file, "{", 0600);
  CHECK(told_error([&] { read_fingerprints(file); }).starts_with("refused: cannot read the fingerprints"));
}

TEST_CASE("sealed values are opened as envelopes or directly, by the right key only") {
  const std::string key(32, 'k'), other(32, 'o'), data_key(32, 'd');
  const std::string direct = sys::seal_aes_256_gcm(key, "text", "");
  const std::string envelope =
      std::string(1, 1) + sys::seal_aes_256_gcm(key, data_key, "") + sys::seal_aes_256_gcm(data_key, "", "");
  CHECK(envelope.size() == 89);
  CHECK(opens(key, direct));
  CHECK(opens(key, envelope));
  CHECK_FALSE(opens(other, direct));
  CHECK_FALSE(opens(other, envelope));
  for (const std::size_t at : {std::size_t{1}, std::size_t{20}, std::size_t{50}, envelope.size() - 1}) {
    std::string damaged = envelope;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    CHECK_FALSE(opens(key, damaged));
  }
  CHECK_FALSE(opens(key, ""));
  CHECK_FALSE(opens(key, envelope.substr(0, 88)));
  // A direct value that begins with the envelope's version.
  std::string chance;
  do chance = sys::seal_aes_256_gcm(key, std::string(100, 'x'), "");
  while (chance.front() != 1);
  CHECK(opens(key, chance));

  CHECK(sealed_bytes("\\x00ff") == std::string("\0\xff", 2));
  CHECK(sealed_bytes(sys::to_base64(direct)) == direct);
  CHECK(sealed_bytes("not base64!") == "not base64!");
}
