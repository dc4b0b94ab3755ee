#include "runner/engine/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"

namespace relight {

Channel::Channel(sys::Fd socket) : socket_(std::move(socket)) {}
Channel::~Channel() = default;
Channel::Channel(Channel&&) noexcept = default;
Channel& Channel::operator=(Channel&&) noexcept = default;

void Channel::send(const Json& message) {
  const std::string text = message.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string bytes(4, '\0');
  const auto length = static_cast<std::uint32_t>(text.size());
  std::memcpy(bytes.data(), &length, 4);
  bytes += text;
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = ::send(fd(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      pollfd wait{fd(), POLLOUT, 0};
      poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return;  // the peer is gone: its end is told by receive() and by the keeper
    }
  }
}

void Channel::read_some(bool wait) {
  char chunk[65536];
  for (;;) {
    const ssize_t n = recv(fd(), chunk, sizeof chunk, wait ? 0 : MSG_DONTWAIT);
    if (n > 0) {
      buffer_.append(chunk, static_cast<std::size_t>(n));
      return;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    closed_ = true;
    return;
  }
}

bool Channel::take(Json& message) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (buffer_.size() >= 4) {
      std::uint32_t length;
      std::memcpy(&length, buffer_.data(), 4);
      if (buffer_.size() >= 4 + std::size_t{length}) {
        message = Json::parse(buffer_.begin() + 4, buffer_.begin() + 4 + length);
        buffer_.erase(0, 4 + std::size_t{length});
        return true;
      }
    }
    if (closed_) return false;
    const std::size_t before = buffer_.size();
    read_some(false);
    if (buffer_.size() > before) attempt = -1;
  }
  return false;
}

bool Channel::receive(Json& message) {
  while (!take(message)) {
    if (closed_) return false;
    read_some(true);
  }
  return true;
}

ChannelPair make_channel() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    throw system_error(errno, "cannot make a socket", "a worker");
  return {sys::Fd(pair[0]), sys::Fd(pair[1])};
}

}  // namespace relight
