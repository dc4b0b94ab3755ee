#include "runner/sys/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "runner/sys/error.h"

namespace relight::sys {
namespace {

constexpr std::size_t fds_at_most = 16;

// A message: this, then its bytes. Its descriptors travel with the first byte, so that they
// have come when the whole of it has.
struct Header {
  std::uint32_t size;
  std::uint32_t fds;
};

Error broken() {
  return Error(ErrorKind::permanent, "cannot read a message", "", "it is shorter than it says");
}

}  // namespace

MessageWriter& MessageWriter::number(std::int64_t value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  return *this;
}

MessageWriter& MessageWriter::text(const std::string& value) {
  number(static_cast<std::int64_t>(value.size()));
  bytes_ += value;
  return *this;
}

MessageWriter& MessageWriter::texts(const std::vector<std::string>& values) {
  number(static_cast<std::int64_t>(values.size()));
  for (const std::string& value : values) text(value);
  return *this;
}

MessageWriter& MessageWriter::table(const std::map<std::string, std::string>& values) {
  number(static_cast<std::int64_t>(values.size()));
  for (const auto& [name, value] : values) text(name).text(value);
  return *this;
}

std::int64_t MessageReader::number() {
  std::int64_t value;
  if (bytes_.size() - at_ < sizeof value) throw broken();
  std::memcpy(&value, bytes_.data() + at_, sizeof value);
  at_ += sizeof value;
  return value;
}

std::string MessageReader::text() {
  auto size = static_cast<std::size_t>(number());
  if (bytes_.size() - at_ < size) throw broken();
  at_ += size;
  return bytes_.substr(at_ - size, size);
}

std::vector<std::string> MessageReader::texts() {
  std::vector<std::string> values;
  for (auto count = number(); count > 0; --count) values.push_back(text());
  return values;
}

std::map<std::string, std::string> MessageReader::table() {
  std::map<std::string, std::string> values;
  for (auto count = number(); count > 0; --count) {
    std::string name = text();
    values.emplace_hint(values.end(), std::move(name), text());
  }
  return values;
}

Channel::Channel(Fd socket) : socket_(std::move(socket)) {
  fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
}

void Channel::pair(Fd& a, Fd& b) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    throw system_error(errno, "cannot make a socket pair", "");
  a = Fd(ends[0]);
  b = Fd(ends[1]);
}

void Channel::wait_for_room() {
  pollfd watched{socket_.get(), POLLOUT, 0};
  poll(&watched, 1, -1);
}

void Channel::send(const std::string& bytes, const std::vector<int>& fds) {
  while (!out_.empty()) {
    flush();
    if (!out_.empty()) wait_for_room();
  }
  Header header{static_cast<std::uint32_t>(bytes.size()), static_cast<std::uint32_t>(fds.size())};
  iovec parts[2] = {{&header, sizeof header}, {const_cast<char*>(bytes.data()), bytes.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  alignas(cmsghdr) char control[CMSG_SPACE(fds_at_most * sizeof(int))] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent;
  while ((sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL)) < 0) {
    if (errno == EAGAIN) {
      wait_for_room();
    } else if (errno != EINTR) {
      throw system_error(errno, "cannot send a message", "");
    }
  }
  auto left = static_cast<std::size_t>(sent);
  std::string whole(reinterpret_cast<const char*>(&header), left < sizeof header ? sizeof header : 0);
  if (left < sizeof header) {
    out_ = whole.substr(left) + bytes;
  } else if (left - sizeof header < bytes.size()) {
    out_ = bytes.substr(left - sizeof header);
  }
  while (!out_.empty()) {
    wait_for_room();
    flush();
  }
}

void Channel::queue(const std::string& bytes) {
  Header header{static_cast<std::uint32_t>(bytes.size()), 0};
  out_.append(reinterpret_cast<const char*>(&header), sizeof header);
  out_ += bytes;
}

void Channel::flush() {
  while (!out_.empty()) {
    ssize_t sent = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      out_.erase(0, static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      throw system_error(errno, "cannot send a message", "");
    }
  }
}

bool Channel::take_in() {
  for (;;) {
    char bytes[16384];
    alignas(cmsghdr) char control[CMSG_SPACE(fds_at_most * sizeof(int))];
    iovec part{bytes, sizeof bytes};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t got = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (got == 0) return false;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    for (cmsghdr* rights = CMSG_FIRSTHDR(&message); rights != nullptr;
         rights = CMSG_NXTHDR(&message, rights)) {
      if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
      std::size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(rights) + i * sizeof fd, sizeof fd);
        fds_.emplace_back(fd);
      }
    }
    in_.append(bytes, static_cast<std::size_t>(got));
    // Which of its descriptors a message is without, nobody can say.
    if ((message.msg_flags & MSG_CTRUNC) != 0) throw system_error(EMFILE, "cannot take a message", "");
    // Descriptors are used up before others are taken, for a process may have but few. A short read has
    // emptied the socket, as far as now; the next poll tells of more.
    if (static_cast<std::size_t>(got) < sizeof bytes || message.msg_controllen != 0) return true;
  }
}

std::optional<Message> Channel::next() {
  Header header;
  if (in_.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, in_.data(), sizeof header);
  if (in_.size() - sizeof header < header.size || fds_.size() < header.fds) return std::nullopt;
  Message message;
  message.bytes = in_.substr(sizeof header, header.size);
  in_.erase(0, sizeof header + header.size);
  for (std::uint32_t i = 0; i < header.fds; ++i) {
    message.fds.push_back(std::move(fds_.front()));
    fds_.pop_front();
  }
  return message;
}

}  // namespace relight::sys
