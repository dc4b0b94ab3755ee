#include "runner/sys/digest.h"

#include <doctest/doctest.h>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

using namespace relight::sys;

TEST_CASE("sha-256: known answers, in parts, of a file") {
  const char* abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  CHECK(sha256_hex("abc") == abc);
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 hash;
  hash.add("a");
  hash.add("");
  hash.add("bc");
  CHECK(hash.hex() == abc);

  TempFolder folder;
  const std::string large(1000000, 'a');
  write_file(folder.path() + "/a", large, 0600);
  CHECK(sha256_file(folder.path() + "/a") ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  CHECK_THROWS_AS(sha256_file(folder.path() + "/none"), relight::Error);
}

TEST_CASE("hex and base64, there and back, and what is neither") {
  std::string back = "kept";
  for (const std::string& bytes : {std::string(), std::string("f"), std::string("fo"), std::string("foo"),
                                   std::string("\0\xFF\x80", 3)}) {
    REQUIRE(from_hex(to_hex(bytes), back));
    CHECK(back == bytes);
    REQUIRE(from_base64(to_base64(bytes), back));
    CHECK(back == bytes);
  }
  CHECK(to_hex("\x01\xAB") == "01ab");
  CHECK(to_base64("foob") == "Zm9vYg==");
  REQUIRE(from_hex("01AB", back));
  CHECK(back == "\x01\xAB");
  back = "kept";
  for (const char* bad : {"0", "0g", "01 02"}) CHECK_FALSE(from_hex(bad, back));
  for (const char* bad : {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "Zm9v\n", "====", "Zm=v", "Zm-_"}) {
    CAPTURE(bad);
    CHECK_FALSE(from_base64(bad, back));
  }
  CHECK(back == "kept");
}

TEST_CASE("random bytes differ") {
  CHECK(random_hex(16).size() == 32);
  CHECK(random_hex(16) != random_hex(16));
}

TEST_CASE("pbkdf2: the answer of RFC 7914") {
  CHECK(to_hex(pbkdf2_sha256("passwd", "salt", 1, 64)) ==
        "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca"
        "9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
}

TEST_CASE("aes-256-gcm: NIST's answer, there and back, and every byte counts") {
  std::string sealed, plain;
  // McGrew and Viega, test case 14: a key, a nonce and a block of zeros.
  REQUIRE(from_hex("000000000000000000000000cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
                   sealed));
  REQUIRE(open_aes_256_gcm(std::string(32, '\0'), sealed, "", plain));
  CHECK(plain == std::string(16, '\0'));

  const std::string key = "0123456789abcdef0123456789abcdef";
  for (const std::string& text : {std::string(), std::string("a secret of the vault")}) {
    sealed = seal_aes_256_gcm(key, text, "row 7");
    CHECK(sealed.size() == text.size() + 28);
    REQUIRE(open_aes_256_gcm(key, sealed, "row 7", plain));
    CHECK(plain == text);
    CHECK_FALSE(open_aes_256_gcm(key, sealed, "row 8", plain));
    for (std::size_t i = 0; i < sealed.size(); ++i) {
      std::string other = sealed;
      other[i] = static_cast<char>(other[i] ^ 1);
      CHECK_FALSE(open_aes_256_gcm(key, other, "row 7", plain));
    }
    CHECK_FALSE(open_aes_256_gcm(key, sealed.substr(0, 27), "row 7", plain));
    CHECK_FALSE(open_aes_256_gcm(key.substr(1), sealed, "row 7", plain));
  }
  CHECK(seal_aes_256_gcm(key, "a", "") != seal_aes_256_gcm(key, "a", ""));
  CHECK_THROWS_AS(seal_aes_256_gcm("short", "a", ""), relight::Error);
}
