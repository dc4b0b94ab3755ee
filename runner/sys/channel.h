// Messages with descriptors over a stream socket: what a process and its keeper tell each other.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/files.h"

namespace relight::sys {

// A message's body, written and read in the same order.
class MessageWriter {
 public:
  MessageWriter& number(std::int64_t value);
  MessageWriter& text(const std::string& value);
  MessageWriter& texts(const std::vector<std::string>& values);
  MessageWriter& table(const std::map<std::string, std::string>& values);
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class MessageReader {  // every getter throws Error where the message is too short
 public:
  explicit MessageReader(std::string bytes) : bytes_(std::move(bytes)) {}
  std::int64_t number();
  std::string text();
  std::vector<std::string> texts();
  std::map<std::string, std::string> table();

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

struct Message {
  std::string bytes;
  std::vector<Fd> fds;  // close-on-exec
};

class Channel {
 public:
  explicit Channel(Fd socket);  // made non-blocking
  static void pair(Fd& a, Fd& b);

  int fd() const { return socket_.get(); }
  void close() { socket_ = Fd(); }

  void send(const std::string& bytes, const std::vector<int>& fds = {});  // waits for room; throws Error
  void queue(const std::string& bytes);  // never waits; flush() sends what there is room for
  void flush();                          // throws Error
  bool waits_for_room() const { return !out_.empty(); }

  // Takes in what has come, without waiting. False: the other end is gone, and nothing more will come.
  bool take_in();
  std::optional<Message> next();  // of what was taken in

 private:
  void wait_for_room();

  Fd socket_;
  std::string in_, out_;
  std::deque<Fd> fds_;
};

}  // namespace relight::sys
