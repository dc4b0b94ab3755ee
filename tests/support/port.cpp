#include "tests/support/port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "runner/sys/files.h"

namespace relight {
namespace {

bool can_listen(int port) {
  sys::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::bind(fd.get(), reinterpret_cast<struct sockaddr*>(&address), sizeof address) == 0 &&
         ::listen(fd.get(), 1) == 0;
}

}  // namespace

int free_port() {
  static std::vector<sys::FileLock> held;
  static int next = 20000 + ::getpid() % 8000;
  const std::string folder = "/tmp/relight-test-ports";
  sys::make_folders(folder, 01777);
  for (int tried = 0; tried < 8000; ++tried) {
    const int port = next++;
    if (next == 28000) next = 20000;
    std::optional<sys::FileLock> lock = sys::FileLock::try_lock(folder + "/" + std::to_string(port));
    if (!lock || !can_listen(port)) continue;
    held.push_back(std::move(*lock));
    return port;
  }
  throw std::runtime_error("no free port between 20000 and 28000");
}

}  // namespace relight
