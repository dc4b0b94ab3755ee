#include "steps/postgres/lib/dump_load.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <thread>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"

namespace relight::postgres {
namespace {

using namespace std::chrono_literals;

constexpr const char* what_failed = "cannot restore the dump";

void check(const sys::Result& result, const DumpLoad& load) {
  if (result.ok()) return;
  std::string why = told_errors(result.err_tail);
  if (why.empty()) why = load.program.name() + " exited with " + std::to_string(result.exit_code);
  if (why.find("invalid command \\restrict") != std::string::npos)
    throw Error(ErrorKind::permanent, what_failed, load.program.name(),
                "this psql cannot be kept from obeying what a dump says to it",
                "update postgresql-client: 13.22, 14.19, 15.14, 16.10, 17.6 or later");
  throw Error(ErrorKind::permanent, what_failed, load.path, why,
              "the current database was not touched; mend the cause, then resume the run");
}

// Writes the dump's lines into a pipe, from a thread of its own, until all are written or nobody reads.
class Feed {
 public:
  Feed(std::string dump, std::string pipe)
      : dump_(std::move(dump)), pipe_(std::move(pipe)), thread_([this] { run(); }) {}
  ~Feed() { end(); }

  void end() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  const PlainContent& content() const { return content_; }
  std::exception_ptr fault() const { return fault_; }

 private:
  struct NobodyReads {};

  void run() {
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    try {
      while (!pipe_fd_) {
        pipe_fd_ = sys::Fd(open(pipe_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));  // ENXIO until psql reads
        if (pipe_fd_) break;
        if (over_) return;
        std::this_thread::sleep_for(10ms);
      }
      fcntl(pipe_fd_.get(), F_SETFL, 0);
      content_ = read_plain_dump(dump_, [this](std::string_view line) { add(line); }, {});
      write_out();
    } catch (const NobodyReads&) {
      // psql has ended, and says why.
    } catch (...) {
      fault_ = std::current_exception();
    }
    pipe_fd_ = sys::Fd();
  }

  void add(std::string_view line) {
    buffer_ += line;
    if (buffer_.size() > (64u << 10)) write_out();
  }

  void write_out() {
    std::string_view rest = buffer_;
    while (!rest.empty()) {
      const ssize_t wrote = write(pipe_fd_.get(), rest.data(), rest.size());
      if (wrote >= 0) {
        rest.remove_prefix(static_cast<std::size_t>(wrote));
      } else if (errno == EPIPE) {
        throw NobodyReads();
      } else if (errno != EINTR) {
        throw system_error(errno, "cannot pass the dump on to psql", dump_);
      }
    }
    buffer_.clear();
  }

  std::string dump_, pipe_, buffer_;
  sys::Fd pipe_fd_;
  PlainContent content_;
  std::exception_ptr fault_;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace

void load_plain(const DumpLoad& load, const DatabaseServer& server, Call& call) {
  const sys::TempFolder folder;
  const std::string pipe = folder.path() + "/" + sys::name_of_path(load.path);
  if (mkfifo(pipe.c_str(), 0600) != 0) throw system_error(errno, "cannot make a pipe", pipe);

  // Restricted, psql obeys no meta-command, whatever the dump holds.
  std::vector<std::string> arguments = {"--no-psqlrc",
                                        "--quiet",
                                        "--set=ON_ERROR_STOP=1",
                                        "--single-transaction",
                                        "--no-password",
                                        "--output=/dev/null",
                                        "--dbname=" + load.database,
                                        "--command=\\restrict " + sys::random_hex(16),
                                        "--file=" + pipe};
  Feed feed(load.path, pipe);
  const sys::Result result =
      call.run_program(load.program.command(std::move(arguments), {folder.path()}, server.environment()));
  feed.end();
  check(result, load);
  if (feed.fault()) std::rethrow_exception(feed.fault());
  if (!feed.content().findings.empty())
    throw Error(ErrorKind::permanent, what_failed, load.path,
                "it was changed while it was read: " + feed.content().findings.front().what,
                "see who writes there");
}

}  // namespace relight::postgres
