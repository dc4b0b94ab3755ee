#include "runner/engine/attempt.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"

extern char** environ;

namespace relight {

namespace {

constexpr std::size_t tail_bytes = 64u << 10;

struct Pipe {
  sys::Fd read, write;
};

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw system_error(errno, "cannot make a pipe", "a step");
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {sys::Fd(ends[0]), sys::Fd(ends[1])};
}

sys::Fd text_file(const std::string& text) {
  sys::Fd file(memfd_create("stdin", MFD_CLOEXEC));
  if (!file || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      lseek(file.get(), 0, SEEK_SET) != 0)
    throw system_error(errno, "cannot hold the input of a step", "memory");
  return file;
}

// Calls `take` with what has come; closes the descriptor at the end of the stream.
template <class Take>
void read_all(sys::Fd& fd, const Take& take) {
  char chunk[65536];
  while (fd) {
    const ssize_t n = read(fd.get(), chunk, sizeof chunk);
    if (n > 0) {
      take(std::string_view(chunk, static_cast<std::size_t>(n)));
      if (n < static_cast<ssize_t>(sizeof chunk)) return;
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else if (n < 0 && errno == EAGAIN) {
      return;
    } else {
      fd = sys::Fd();
    }
  }
}

}  // namespace

void Attempt::read_output() {
  read_all(output, [&](std::string_view bytes) { log->add(bytes); });
  read_all(program_stdout, [&](std::string_view bytes) {
    log->add(bytes);
    stdout_tail += bytes;
    if (stdout_tail.size() > 2 * tail_bytes) stdout_tail.erase(0, stdout_tail.size() - tail_bytes);
  });
  if (!program_stdout && stdout_tail.size() > tail_bytes)
    stdout_tail.erase(0, stdout_tail.size() - tail_bytes);
}

void spawn_program(Attempt& attempt, sys::Keeper& keeper, const Child& child, const std::string& as,
                   const std::string& tag) {
  Pipe errors = make_pipe(), out = make_pipe();
  sys::Spawn spawn;
  spawn.argv = child.argv;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos) spawn.env[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : child.env) spawn.env[name] = value;
  spawn.cwd = child.cwd.empty() ? "/" : child.cwd;
  spawn.as = as;
  sys::Fd input;
  if (!child.stdin_text.empty()) {
    input = text_file(child.stdin_text);
    spawn.stdin_fd = input.get();
  }
  spawn.output_fd = errors.write.get();
  spawn.stdout_fd = out.write.get();
  spawn.tag = tag;
  attempt.is_program = true;
  attempt.output = std::move(errors.read);
  attempt.program_stdout = std::move(out.read);
  attempt.id = keeper.spawn(spawn);
}

void spawn_worker(Attempt& attempt, sys::Keeper& keeper, const Json& request, const std::string& tag) {
  ChannelPair pair = make_channel();
  Pipe out;
  if (attempt.log) out = make_pipe();
  sys::Spawn spawn;
  spawn.socket = pair.theirs.get();
  spawn.output_fd = out.write.get();
  spawn.tag = tag;
  attempt.channel.emplace(std::move(pair.ours));
  attempt.output = std::move(out.read);
  attempt.id = keeper.spawn(spawn);
  pair.theirs = sys::Fd();  // or a worker that could not be forked would leave us sending for ever
  attempt.channel->send(request);
}

}  // namespace relight
