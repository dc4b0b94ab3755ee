// A service under `docker compose`, the plugin, which Debian 12 does not have: apart, for it may be absent.
#include <doctest/doctest.h>

#include "runner/sys/sockets.h"
#include "tests/support/compose_project.h"
#include "tests/support/error.h"

using namespace relight;

TEST_CASE("a service is started, upgraded and brought back by docker compose") {
  if (engine() == nullptr || !use_compose("docker compose")) return;
  const Project project;
  const TestParams start = project.params("service.start"), stop = project.params("service.stop");
  TestCall started("web");
  CHECK(preview("service.start", start).summary == "start service web of " + project.file());
  const Json first = apply("service.start", start, started);
  CHECK(project.version() == "1");
  CHECK(first["identity"].get<std::string>().starts_with("container:"));
  CHECK(alive(sys::process_now(first["pid"])));
  CHECK(apply("service.start", start, started) == first);
  Json checked;
  CHECK(type_named("service.start").make()->check(start, started, checked) == Done::yes);
  CHECK(checked == first);

  // An upgrade.
  project.pin("web:2");
  CHECK(told_error([&] { apply("service.start", start, started); }) ==
        "refused: the service runs as it was: service web of " + project.file() +
            ": it runs web:1, and the file says web:2");
  CHECK(preview("service.stop", stop).problems.empty());
  TestCall stopped("stop"), again("again");
  CHECK(apply("service.stop", stop, stopped)["was_running"] == true);
  CHECK(sys::listeners_on(project.port).empty());
  CHECK(project.containers() == "web:1 exited");
  CHECK(preview("service.stop", stop).verdict == Preview::Verdict::nothing_to_do);
  CHECK(apply("service.start", start, again)["identity"] != first["identity"]);
  CHECK(project.version() == "2");

  // And back, in the order of a rollback.
  type_named("service.start").make()->undo(start, again, nullptr);
  CHECK(project.containers() == "web:2 exited");
  project.pin("web:1");
  type_named("service.stop").make()->undo(stop, stopped, nullptr);
  CHECK(project.version() == "1");
  CHECK(project.containers() == "web:1 running");
}
