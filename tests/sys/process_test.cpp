#include "runner/sys/process.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/proc.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

using namespace relight;
using namespace relight::sys;
using namespace std::chrono_literals;

namespace {

Command shell(const std::string& script) {
  Command command;
  command.argv = {"/bin/sh", "-c", script};
  return command;
}

Error error_of(const Command& command) {
  try {
    run(command);
  } catch (const Error& error) {
    return error;
  }
  FAIL("it was started");
  std::abort();
}

}  // namespace

TEST_CASE("a program's exit code, output and end of stderr come back") {
  Result result = run(shell("echo out; echo err >&2; exit 7"));
  CHECK(result.exit_code == 7);
  CHECK(result.out == "out\n");
  CHECK(result.err_tail == "err\n");
  CHECK_FALSE(result.ok());
  CHECK(run(shell("kill -TERM $$")).exit_code == 128 + SIGTERM);
}

TEST_CASE("what a program prints goes into a descriptor, which is closed when it has it") {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  const Fd reader(ends[0]);
  Command command = shell("echo out; echo err >&2");
  command.stdout_to = ends[1];
  const Result result = run(command);
  CHECK(result.ok());
  CHECK(result.out == "");
  CHECK(result.err_tail == "err\n");
  char text[16];
  REQUIRE(read(reader.get(), text, sizeof text) == 4);
  CHECK(std::string(text, 4) == "out\n");
  CHECK(read(reader.get(), text, sizeof text) == 0);  // nobody else holds it
  // Closed, too, where there is no such program.
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  const Fd of_none(ends[0]);
  command.argv = {"no-such-program-here"};
  command.stdout_to = ends[1];
  error_of(command);
  CHECK(read(of_none.get(), text, sizeof text) == 0);
}

TEST_CASE("a program that cannot be started is named, with the reason") {
  Command command;
  command.argv = {"no-such-program-here"};
  Error missing = error_of(command);
  CHECK(std::string(missing.what()) == "cannot start: no-such-program-here: not found in PATH");
  CHECK(missing.kind == ErrorKind::permanent);
  CHECK(missing.hint == "install it, or give its full path");
  command.argv = {"/no/such/program"};
  CHECK(std::string(error_of(command).what()) == "cannot start: /no/such/program: No such file or directory");
  command.argv = {"/etc/passwd"};
  CHECK(error_of(command).why == "Permission denied");
  command = shell("true");
  command.cwd = "/no/such/folder";
  CHECK(error_of(command).why == "folder /no/such/folder: No such file or directory");
  command.cwd.clear();
  command.as = "nobody-of-this-name";
  CHECK(std::string(error_of(command).what()) == "no such user: nobody-of-this-name");
}

TEST_CASE("a script whose interpreter is missing says so") {
  TempFolder folder;
  write_file(folder.path() + "/script", "#!/no/such/interpreter\n", 0755);
  Command command;
  command.argv = {folder.path() + "/script"};
  CHECK(error_of(command).hint == "the interpreter that its first line names is missing");
}

TEST_CASE("environment, folder and input are those that were given") {
  Command command = shell("echo \"$A-$B\"; pwd; cat");
  command.env = std::map<std::string, std::string>{{"A", "1"}, {"PATH", "/bin:/usr/bin"}};
  command.extra_env = {{"B", "2"}};
  command.cwd = "/usr";
  command.stdin_text = std::string(300000, 'x');
  CHECK(run(command).out == "1-2\n/usr\n" + command.stdin_text);
  CHECK(run(shell("cat; echo $PATH")).out == std::string(std::getenv("PATH")) + "\n");
}

TEST_CASE("another user: groups, home and a folder that it can be in") {
  Command command = shell("id -un; id -gn; id -Gn | tr ' ' '\\n' | grep -c root; echo $HOME $USER; pwd");
  command.as = "postgres";
  CHECK(run(command).out == "postgres\npostgres\n0\n" + user_named("postgres").home + " postgres\n/\n");
}

TEST_CASE("no descriptor of ours reaches the program, and its signals are as they should be") {
  Fd open_here(dup(0));  // without CLOEXEC
  signal(SIGUSR1, SIG_IGN);
  Result result = run(shell("ls /proc/self/fd | wc -l; grep -E 'SigIgn|SigBlk' /proc/self/status"));
  signal(SIGUSR1, SIG_DFL);
  CHECK(result.out == "4\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_CASE("output of both kinds comes as it is written, and more than the limit ends the program") {
  Command command = shell("echo one; echo two >&2");
  std::string seen;
  command.capture_stdout = false;
  command.on_output = [&](std::string_view bytes) { seen += bytes; };
  CHECK(run(command).out.empty());
  CHECK((seen == "one\ntwo\n" || seen == "two\none\n"));

  Command endless;
  endless.argv = {"/usr/bin/yes"};
  endless.capture_limit = 100000;
  CHECK(error_of(endless).why == "it wrote more than 100 kB");
}

TEST_CASE("a timeout ends the whole group, one that ignores SIGTERM too") {
  TempFolder folder;
  Command command = shell("trap '' TERM; sleep 1000 & echo $! > child; echo $$ > leader; wait; sleep 1000");
  command.cwd = folder.path();
  command.timeout = 300ms;
  Result result = run(command);
  CHECK(result.timed_out);
  CHECK(result.exit_code == 128 + SIGKILL);
  for (const char* name : {"/child", "/leader"})
    CHECK_FALSE(alive(process_now(std::stoi(read_file(folder.path() + name)))));
}

TEST_CASE("stop is asked while the program runs") {
  int asked = 0;
  Command command = shell("sleep 1000");
  command.stop = [&] { return ++asked == 2; };
  Result result = run(command);
  CHECK(result.stopped);
  CHECK(result.exit_code == 128 + SIGTERM);
}

TEST_CASE("what a program leaves in its group is ended; a daemon that holds its output is not waited for") {
  TempFolder folder;
  Command command =
      shell("sleep 1000 & echo $! > in_group; setsid sleep 1000 & echo $! > outside; echo done");
  command.cwd = folder.path();
  CHECK(run(command).out == "done\n");
  CHECK_FALSE(alive(process_now(std::stoi(read_file(folder.path() + "/in_group")))));
  ProcessId outside = process_now(std::stoi(read_file(folder.path() + "/outside")));
  // The shell starts setsid in the group first: it may have been ended before it left.
  if (alive(outside)) CHECK(signal_process(outside, SIGKILL) == 0);
}

TEST_CASE("output_of tells the exit code and what the program said") {
  CHECK(output_of(shell("echo yes"), "cannot ask") == "yes\n");
  try {
    output_of(shell("echo it is broken >&2; exit 3"), "cannot ask");
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.failed == "cannot ask");
    CHECK(error.why == "exit code 3: it is broken");
  }
}

TEST_CASE("a process is known by its pid and its start time") {
  pid_t pid = fork();
  if (pid == 0) {
    for (;;) pause();
  }
  ProcessId child = process_now(pid);
  CHECK(alive(child));
  CHECK_FALSE(alive({pid, "1"}));
  CHECK(signal_process({pid, "1"}, SIGKILL) == ESRCH);
  CHECK(signal_process(child, SIGKILL) == 0);
  siginfo_t info;
  REQUIRE(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
  CHECK_FALSE(alive(child));  // a zombie
  waitpid(pid, nullptr, 0);
  CHECK_FALSE(alive(child));
  CHECK(process_now(pid).start_time.empty());
}

TEST_CASE("proc_env and proc_stat read a name with spaces and parentheses") {
  TempFolder folder;
  copy_tree("/bin/sleep", folder.path() + "/a ) (b");
  pid_t pid = fork();
  if (pid == 0) {
    setenv("RELIGHT_TEST", "va=lue", 1);
    execl((folder.path() + "/a ) (b").c_str(), "sleep", "1000", nullptr);
    _exit(127);
  }
  REQUIRE(wait_until(5s, 5ms, {}, [&] { return proc_env(pid, "RELIGHT_TEST").has_value(); }));
  CHECK(*proc_env(pid, "RELIGHT_TEST") == "va=lue");
  CHECK_FALSE(proc_env(pid, "RELIGHT_TES").has_value());
  CHECK(proc_stat(pid)->parent == getpid());
  CHECK_FALSE(proc_stat(pid)->process.start_time.empty());
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}
