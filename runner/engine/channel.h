// JSON messages over a stream socket between the engine and a worker: four bytes of length, then the text.
#pragma once
#include <deque>
#include <string>

#include "runner/sys/files.h"
#include "runner/sys/json.h"

namespace relight {

class Channel {
 public:
  explicit Channel(sys::Fd socket);
  ~Channel();
  Channel(Channel&&) noexcept;
  Channel& operator=(Channel&&) noexcept;

  int fd() const { return socket_.get(); }
  void send(
      const Json& message);     // waits until it is sent; that the peer is gone is told by receive and take
  bool receive(Json& message);  // waits; false: the peer is gone
  bool take(Json& message);     // what has come, without waiting
  bool closed() const { return closed_; }  // the peer is gone and everything that it sent was taken

 private:
  void read_some(bool wait);
  sys::Fd socket_;
  std::string buffer_;
  bool closed_ = false;
};

struct ChannelPair {
  sys::Fd ours, theirs;
};
ChannelPair make_channel();  // both close-on-exec

}  // namespace relight
