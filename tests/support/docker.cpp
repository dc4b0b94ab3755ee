#include "tests/support/docker.h"

#include <doctest/doctest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/port.h"
#include "tests/support/skip.h"

namespace relight {
namespace {

using namespace std::chrono_literals;

// Where scripts/packages puts the plugin of `docker compose`, which Debian 12 does not have.
constexpr const char* plugin_folder = "/var/cache/relight-tests/docker-compose";

bool own_network() {
  if (unshare(CLONE_NEWNET) != 0) return false;
  const sys::Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  struct ifreq loopback {};
  std::snprintf(loopback.ifr_name, IFNAMSIZ, "lo");
  loopback.ifr_flags = IFF_UP;
  return ioctl(fd.get(), SIOCSIFFLAGS, &loopback) == 0;
}

volatile sig_atomic_t told_to_end = 0;

// The engine's children leave it: they come to a process that is no test, and end with it.
[[noreturn]] void keep(const std::vector<std::string>& argv, const std::string& log) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  setpgid(0, 0);
  const int engine = fork();
  if (engine == 0) {
    std::vector<char*> words;
    for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    if (freopen(log.c_str(), "a", stdout) != nullptr) dup2(1, 2);
    execvp(words[0], words.data());
    _exit(127);
  }
  struct sigaction action {};
  action.sa_handler = [](int) { told_to_end = 1; };
  sigaction(SIGTERM, &action, nullptr);
  for (bool told = false;;) {
    if (told_to_end != 0 && !told) told = kill(engine, SIGTERM) == 0;
    const int ended = waitpid(-1, nullptr, 0);
    if (ended == engine || (ended < 0 && errno == ECHILD)) break;
  }
  for (;;) {
    const std::string mine = "/proc/self/task/" + std::to_string(getpid()) + "/children";
    const auto left = sys::read_file_if_there(mine);
    if (!left || sys::trim(*left).empty()) _exit(0);
    for (const std::string& pid : sys::split(sys::trim(*left), ' ')) kill(std::atoi(pid.c_str()), SIGKILL);
    waitpid(-1, nullptr, 0);
  }
}

std::string cgroup() {
  return "relight-docker-" + std::to_string(getpid());
}

sys::Result run(std::vector<std::string> argv, const std::string& cwd = "") {
  sys::Command command;
  command.argv = std::move(argv);
  command.cwd = cwd;
  return sys::run(command);
}

}  // namespace

DockerEngine* DockerEngine::get() {
  static const pid_t owner = getpid();
  static std::unique_ptr<DockerEngine> engine;
  static std::string why;
  if (!engine && why.empty()) {
    engine.reset(new DockerEngine());
    if (geteuid() != 0) why = "only root may start a Docker engine";
    for (const char* program : {"dockerd", "docker", "busybox", "docker-registry"})
      if (why.empty() && sys::find_program(program).empty())
        why = std::string(program) + " is missing (scripts/packages test)";
    if (why.empty()) why = engine->start();
    if (!why.empty()) engine.reset();
  }
  if (!engine || getpid() != owner) {
    not_run_here(why);
    return nullptr;
  }
  return engine.get();
}

DockerEngine::DockerEngine() = default;

std::string DockerEngine::start() {
  if (!own_network()) return "there is no network of its own to be had";
  const std::string host = "unix://" + folder_.path() + "/socket", log = folder_.path() + "/log";
  setenv("DOCKER_HOST", host.c_str(), 1);
  setenv("DOCKER_CONFIG", folder_.path().c_str(), 1);
  const std::vector<std::string> argv = {"dockerd",
                                         "--data-root",
                                         folder_.path() + "/data",
                                         "--exec-root",
                                         folder_.path() + "/exec",
                                         "--pidfile",
                                         folder_.path() + "/pid",
                                         "--host",
                                         host,
                                         "--bridge",
                                         "none",
                                         "--cgroup-parent",
                                         "/" + cgroup()};
  keeper_ = fork();
  if (keeper_ == 0) keep(argv, log);
  const auto answers = [&] {
    return run({"docker", "version"}).ok() || waitpid(keeper_, nullptr, WNOHANG) != 0;
  };
  sys::wait_until(1min, 50ms, {}, answers);
  if (run({"docker", "version"}).ok()) return "";
  const std::string said = sys::trim(sys::read_file_if_there(log).value_or(""));
  return "the engine does not start: " + said.substr(said.size() > 300 ? said.size() - 300 : 0);
}

DockerEngine::~DockerEngine() {
  if (registry_ > 0) kill(registry_, SIGKILL), waitpid(registry_, nullptr, 0);
  if (keeper_ <= 0) return;
  for (const std::string& id : sys::split(sys::trim(run({"docker", "ps", "-aq"}).out), '\n'))
    if (!id.empty()) run({"docker", "rm", "-fv", id});
  kill(keeper_, SIGTERM);
  waitpid(keeper_, nullptr, 0);
  for (const std::string& mounted : sys::mounts_below(folder_.path())) umount2(mounted.c_str(), MNT_DETACH);
  for (const std::string& controller : sys::names_in("/sys/fs/cgroup"))
    rmdir(("/sys/fs/cgroup/" + controller + "/" + cgroup()).c_str());
  rmdir(("/sys/fs/cgroup/" + cgroup()).c_str());
}

std::string DockerEngine::docker(const std::vector<std::string>& args) const {
  sys::Command command;
  command.argv = {"docker"};
  command.argv.insert(command.argv.end(), args.begin(), args.end());
  return sys::trim(sys::output_of(command, "cannot prepare a test"));
}

void DockerEngine::make_image(const std::string& name, const std::string& folder, const std::string& command,
                              const std::vector<std::string>& changes) const {
  sys::make_folders(folder + "/bin");
  sys::make_folders(folder + "/tmp", 01777);
  sys::Command pack;
  pack.argv = {"sh",
               "-ec",
               "cp -n \"$(command -v busybox)\" \"$1/bin/busybox\" || true; for a in sh cat sleep; do "
               "ln -sf busybox \"$1/bin/$a\"; done; f=$1 n=$2; shift 2; "
               "tar -C \"$f\" -c . | docker import \"$@\" - \"$n\"",
               "-",
               folder,
               name,
               "--change",
               "CMD " + command};
  for (const std::string& change : changes) pack.argv.insert(pack.argv.end(), {"--change", change});
  sys::output_of(pack, "cannot prepare a test");
}

void DockerEngine::make_web(const std::string& name, const std::string& version,
                            const std::string& before) const {
  const sys::TempFolder folder;
  sys::make_folders(folder.path() + "/www");
  sys::write_file(folder.path() + "/www/version", version, 0644);
  // Process 1 of a container is ended by no signal that it does not ask for.
  sys::write_file(folder.path() + "/start",
                  "echo \"web " + version + " starts\"\n" + before +
                      "\nbusybox httpd -p 8080 -h /www\ntrap 'exit 0' TERM\n"
                      "while :; do sleep 3600 & wait $!; done\n",
                  0755);
  make_image(name, folder.path(), "[\"/bin/sh\", \"/start\"]");
}

std::string DockerEngine::registry() {
  if (!registry_address_.empty()) return registry_address_;
  const int port = free_port();
  registry_address_ = "127.0.0.1:" + std::to_string(port);
  sys::write_file(folder_.path() + "/registry.yml",
                  "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: " +
                      folder_.path() + "/registry}}\nhttp: {addr: \"" + registry_address_ + "\"}\n",
                  0644);
  registry_ = fork();
  if (registry_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (freopen((folder_.path() + "/registry.log").c_str(), "a", stdout) != nullptr) dup2(1, 2);
    execlp("docker-registry", "docker-registry", "serve", (folder_.path() + "/registry.yml").c_str(),
           nullptr);
    _exit(127);
  }
  REQUIRE(sys::wait_until(30s, 20ms, {}, [&] {
    return run({"busybox", "wget", "-q", "-O", "-", "http://" + registry_address_ + "/v2/"}).ok();
  }));
  return registry_address_;
}

bool use_compose(const std::string& program) {
  const bool plugin = program == "docker compose";
  static const std::string none = std::getenv("DOCKER_CONFIG") != nullptr ? std::getenv("DOCKER_CONFIG") : "";
  setenv("DOCKER_CONFIG", plugin ? plugin_folder : none.c_str(), 1);
  if (plugin ? run({"docker", "compose", "version"}).ok() : !sys::find_program("docker-compose").empty())
    return true;
  not_run_here("there is no `" + program + "` (scripts/packages test)");
  return false;
}

bool use_any_compose() {
  setenv("DOCKER_CONFIG", plugin_folder, 1);
  return run({"docker", "compose", "version"}).ok() || use_compose("docker-compose");
}

void forget_project(const std::string& project) {
  for (const std::string kind : {"container", "network", "volume"}) {
    std::vector<std::string> list = {"docker", kind,       "ls",
                                     "-q",     "--filter", "label=com.docker.compose.project=" + project};
    if (kind == "container") list.push_back("-a");
    for (const std::string& id : sys::split(sys::trim(run(list).out), '\n'))
      if (!id.empty()) run({"docker", kind, "rm", kind == "network" ? "--" : "-f", id});
  }
}

ComposeBench::ComposeBench(const std::string& text) : project_("bench" + std::to_string(free_port())) {
  write(text);
}

ComposeBench::~ComposeBench() {
  forget_project(project_);
}

void ComposeBench::write(const std::string& text) const {
  sys::write_file(file(), text, 0644);
}

std::string ComposeBench::via(const std::string& service) const {
  return "{\"compose\": {\"file\": \"" + file() + "\", \"project\": \"" + project_ + "\", \"service\": \"" +
         service + "\"}}";
}

}  // namespace relight
