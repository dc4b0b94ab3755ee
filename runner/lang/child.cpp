#include "runner/lang/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "runner/lang/bounds.h"
#include "runner/sys/json_whole.h"

namespace relight::lang {

namespace {

// What the child sends: one of these, then the length of what follows (8 bytes), then CBOR (time_up: the text
// "FILE:LINE", without a length). CBOR, for the bytes of a source need not be UTF-8.
constexpr char result_tag = 'R', faults_tag = 'F', error_tag = 'E', time_up_tag = 'T';
constexpr std::size_t before_cbor = 1 + sizeof(std::uint64_t);
constexpr std::size_t net_over_lua = 512u << 20;
constexpr int out_of_memory = 71;  // the child's exit code

void send(int fd, char tag, const Json& value) {
  std::vector<std::uint8_t> bytes(before_cbor);
  Json::to_cbor(value, bytes);
  bytes[0] = static_cast<std::uint8_t>(tag);
  const std::uint64_t length = bytes.size() - before_cbor;
  std::memcpy(&bytes[1], &length, sizeof length);
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t wrote = write(fd, bytes.data() + sent, bytes.size() - sent);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return;  // the parent is gone, and with it the one who asked
    sent += static_cast<std::size_t>(wrote);
  }
}

[[noreturn]] void be_child_with_memory(int fd, const Limits& limits, const std::function<Json()>& work) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  limit_address_space(limits.memory + net_over_lua);
  arm_cpu_bound(limits.cpu_seconds, fd, time_up_tag);
  char tag = result_tag;
  Json value;
  try {
    value = work();
  } catch (const RunbookError& error) {
    tag = faults_tag;
    value = Json::array();
    for (const RunbookFault& fault : error.faults())
      value.push_back({fault.at.file, fault.at.line, fault.step, fault.what, fault.hint});
  } catch (const Error& error) {
    tag = error_tag;
    value = {name_of(error.kind), error.failed, error.on, error.why, error.hint};
  } catch (const std::exception& error) {
    tag = error_tag;
    const Error told = unforeseen(error, "cannot load the runbook", "");
    value = {name_of(told.kind), told.failed, told.on, told.why, told.hint};
  }
  disarm_cpu_bound();
  send(fd, tag, value);
  _exit(0);  // the parent's buffers are the parent's to flush
}

[[noreturn]] void be_child(int fd, const Limits& limits, const std::function<Json()>& work) {
  try {
    be_child_with_memory(fd, limits, work);
  } catch (const std::exception&) {  // not even for the telling
    _exit(out_of_memory);
  }
}

bool is_whole(const std::string& bytes) {
  if (bytes.size() < before_cbor || bytes[0] == time_up_tag) return false;
  std::uint64_t length;
  std::memcpy(&length, &bytes[1], sizeof length);
  return bytes.size() - before_cbor == length;
}

// To the end of the answer, or to where the child left off.
std::string read_answer(int fd) {
  std::string bytes;
  char buffer[65536];
  while (!is_whole(bytes)) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(errno, "cannot load the runbook", "the evaluating process");
    if (got == 0) return bytes;
    bytes.append(buffer, static_cast<std::size_t>(got));
  }
  return bytes;
}

Place place_in(const std::string& text, const std::string& runbook) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {runbook, 0};
  return {text.substr(0, colon), std::atoi(text.c_str() + colon + 1)};
}

}  // namespace

Child::Child(const Limits& limits, std::string runbook, const std::function<Json()>& work)
    : limits_(limits), runbook_(std::move(runbook)) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw system_error(errno, "cannot load the runbook", runbook_);
  from_ = sys::Fd(ends[0]);
  sys::Fd to(ends[1]);
  pid_ = fork();
  if (pid_ < 0) throw system_error(errno, "cannot load the runbook", runbook_);
  if (pid_ == 0) {
    from_ = sys::Fd();
    be_child(to.release(), limits_, work);
  }
}

Child::~Child() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  end();
}

int Child::end() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

Json Child::answer() {
  const std::string bytes = read_answer(from_.get());
  // Its memory takes a while to be taken down, and nothing needs to wait for that but the destructor.
  if (!is_whole(bytes)) refuse(bytes, end());
  Json value = Json::from_cbor(bytes.begin() + before_cbor, bytes.end());
  if (bytes[0] == faults_tag) {
    std::vector<RunbookFault> faults;
    for (const Json& fault : value)
      faults.push_back({{fault[0], fault[1].get<int>()}, fault[2], fault[3], fault[4], nullptr});
    throw RunbookError(std::move(faults));
  }
  if (bytes[0] == error_tag) throw Error(error_kind_named(value[0]), value[1], value[2], value[3], value[4]);
  return value;
}

void Child::refuse(const std::string& bytes, int status) const {
  if (!bytes.empty() && bytes[0] == time_up_tag)
    throw RunbookError(
        {{place_in(bytes.substr(1), runbook_), "",
          "it has taken " + std::to_string(limits_.cpu_seconds) + " s of processor time without an end",
          "is there a loop that never ends, or a pattern with many stars? what takes work belongs into a "
          "step",
          nullptr}});
  const std::string how = WIFSIGNALED(status)
                              ? std::string("it was ended by signal ") + std::to_string(WTERMSIG(status)) +
                                    " (" + strsignal(WTERMSIG(status)) + ")"
                          : WEXITSTATUS(status) == out_of_memory ? "it ran out of memory"
                                                                 : "it ended without an answer";
  throw Error(ErrorKind::permanent, "cannot load the runbook", runbook_,
              "the process that evaluates it broke off: " + how,
              "does it build texts or tables without an end? else give it more memory (ulimit -v, or the "
              "limit of its unit or container)");
}

Json in_child(const Limits& limits, const std::string& runbook, const std::function<Json()>& work) {
  return Child(limits, runbook, work).answer();
}

}  // namespace relight::lang
