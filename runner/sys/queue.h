// What one thread hands to another, in order, a bounded number at a time.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>

namespace relight::sys {

template <class T>
class Queue {
 public:
  explicit Queue(std::size_t room) : room_(room) {}

  // Waits for room; false: the taker wants no more.
  bool put(T value) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return values_.size() < room_ || closed_; });
    if (closed_) return false;
    values_.push_back(std::move(value));
    changed_.notify_all();
    return true;
  }
  // Nothing more comes; with an error, `take` throws it once all before it is taken.
  void end(std::exception_ptr error = nullptr) {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    error_ = std::move(error);
    changed_.notify_all();
  }
  // Waits for a value; nothing: the end.
  std::optional<T> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !values_.empty() || ended_ || closed_; });
    if (values_.empty() || closed_) {
      if (error_) std::rethrow_exception(error_);
      return std::nullopt;
    }
    T value = std::move(values_.front());
    values_.pop_front();
    changed_.notify_all();
    return value;
  }
  // The taker wants no more: what is held is dropped.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    values_.clear();
    changed_.notify_all();
  }

 private:
  const std::size_t room_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> values_;
  bool ended_ = false, closed_ = false;
  std::exception_ptr error_;
};

}  // namespace relight::sys
