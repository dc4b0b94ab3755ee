#include "steps/compose/lib/images.h"

#include <doctest/doctest.h>

#include "steps/compose/lib/image.h"
#include "tests/support/error.h"

using namespace relight;

namespace {
const std::string digest = "sha256:" + std::string(64, 'a');

std::string pinned(const std::string& text,
                   const std::map<std::string, std::string>& wanted = {{"app", "1.2.0"}}) {
  return pin_images(text, "x.yml", wanted).text;
}
std::string refusal(const std::string& text,
                    const std::map<std::string, std::string>& wanted = {{"app", "1.2.0"}}) {
  return told_error([&] { pinned(text, wanted); });
}
// A file whose one service has this image, written so.
std::string app(const std::string& image) {
  return "services:\n  app:\n    image: " + image + "\n";
}
}  // namespace

TEST_CASE("the tag's bytes change and nothing else") {
  const char* const forms[][2] = {
      {"vendor/app:1.1.0", "vendor/app:1.2.0"},
      {"vendor/app", "vendor/app:1.2.0"},
      {"'vendor/app:1.1.0'   # pinned", "'vendor/app:1.2.0'   # pinned"},
      {"\"registry.example:5000/vendor/app:1.1.0\"", "\"registry.example:5000/vendor/app:1.2.0\""},
      {"registry.example:5000/vendor/app", "registry.example:5000/vendor/app:1.2.0"},
      {"${REGISTRY:-docker.io}/vendor/app:1.1.0", "${REGISTRY:-docker.io}/vendor/app:1.2.0"},
      {"${A:-x:y}${B}:1.1.0", "${A:-x:y}${B}:1.2.0"},
      {"&app vendor/app:1.1.0", "&app vendor/app:1.2.0"},
  };
  for (const auto& form : forms) CHECK(pinned(app(form[0])) == app(form[1]));
  CHECK(pinned(app("app:1.1.0@" + digest)) == app("app:1.2.0"));
  CHECK(pinned(app("app:1.1.0"), {{"app", "1.2.0@" + digest}}) == app("app:1.2.0@" + digest));
  CHECK(pinned(app("app:1.1.0"), {{"app", digest}}) == app("app@" + digest));
  CHECK(pinned("# h\xC3\xA9\r\nservices: {app: {image: 'a:1'}, db: {image: a:1}}  # both\r\n") ==
        "# h\xC3\xA9\r\nservices: {app: {image: 'a:1.2.0'}, db: {image: a:1}}  # both\r\n");
  const PinnedImages images =
      pin_images("services:\n  b: {image: b}\n  app: {image: a:1}\n", "x.yml", {{"app", "2"}, {"b", "3"}});
  CHECK(images.text == "services:\n  b: {image: b:3}\n  app: {image: a:2}\n");
  CHECK(images.before == std::map<std::string, std::string>{{"app", "1"}, {"b", ""}});
}

TEST_CASE("an image that is merged, aliased or extended is found where it stands") {
  CHECK(pinned("x: &x\n  image: a:1\nservices:\n  app:\n    <<: *x\n") ==
        "x: &x\n  image: a:1.2.0\nservices:\n  app:\n    <<: *x\n");
  CHECK(pinned("x: &x {image: a:1}\ny: &y {image: b:1}\nservices:\n  app:\n    <<: [*y, *x]\n") ==
        "x: &x {image: a:1}\ny: &y {image: b:1.2.0}\nservices:\n  app:\n    <<: [*y, *x]\n");
  CHECK(pinned("services:\n  base: {image: a:1}\n  app:\n    extends: {service: base}\n") ==
        "services:\n  base: {image: a:1.2.0}\n  app:\n    extends: {service: base}\n");
  const std::string shared = "services:\n  app: {image: &i a:1}\n  two: {image: *i}\n";
  CHECK(pinned(shared, {{"app", "2"}, {"two", "2"}}) ==
        "services:\n  app: {image: &i a:2}\n  two: {image: *i}\n");
  CHECK(refusal(shared, {{"app", "2"}, {"two", "3"}}) ==
        "refused: cannot pin the image: two: it shares its image with app, which is to have another tag");
}

TEST_CASE("what cannot be pinned is refused") {
  CHECK(refusal(app("vendor/app:${TAG:-1.1.0}")) ==
        "refused: cannot pin the image: app: a variable holds its tag: vendor/app:${TAG:-1.1.0}");
  for (const char* image :
       {"${IMAGE}", "vendor/$APP", "${A:-app:1.1.0}", "app:1.${MINOR}", "app:1@${DIGEST}"})
    CHECK_MESSAGE(refusal(app(image)).find("a variable holds its tag") != std::string::npos, image);
  CHECK(refusal(app("\"a\\u003A1\"")).find("with escapes (line 3)") != std::string::npos);
  CHECK(refusal("services:\n  app:\n    build: .\n") ==
        "refused: cannot pin the image: app: it has no image in x.yml");
  CHECK(refusal("services:\n  app:\n    extends: {file: base.yml, service: a}\n") ==
        "refused: cannot pin the image: app: its image stands in base.yml, which it extends");
  CHECK(refusal("services:\n  app: {extends: b}\n  b: {extends: app}\n").find("leads nowhere") !=
        std::string::npos);
  CHECK(refusal("services:\n  ap: {image: a}\n") ==
        "refused: no such service: app: x.yml has none of that name");
  CHECK(refusal("a: 1\n") == "refused: the compose file does not parse: x.yml: it has no `services`");
  CHECK(refusal(app("a:1"), {{"app", "latest"}}) ==
        "refused: not a pinned version: app: latest is another image tomorrow");
  for (const std::string tag : {"", "-1", "1 0", "1@sha256:12", "sha256:12", "1:2", "$TAG"})
    CHECK_MESSAGE(refusal(app("a:1"), {{"app", tag}}).find("refused: not a tag: app") == 0, tag);
}
