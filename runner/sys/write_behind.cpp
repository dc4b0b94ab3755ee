#include "runner/sys/write_behind.h"

#include <thread>

#include "runner/sys/files.h"
#include "runner/sys/queue.h"

namespace relight::sys {
namespace {

constexpr std::uint64_t kStretch = 32u << 20;

}  // namespace

struct WriteBehind::State {
  explicit State(std::string synced) : folder(std::move(synced)), stretches(1) {}

  void sync_all() {
    try {
      while (stretches.take()) sync_tree(folder);
    } catch (...) {
      fault = std::current_exception();
      stretches.close();
    }
  }

  const std::string folder;
  Queue<bool> stretches;
  std::uint64_t waiting = 0;
  std::exception_ptr fault;
  std::thread thread;  // from the first stretch on
};

WriteBehind::WriteBehind(const std::string& folder) : state_(std::make_unique<State>(folder)) {}

WriteBehind::~WriteBehind() {
  state_->stretches.close();
  if (state_->thread.joinable()) state_->thread.join();
}

void WriteBehind::wrote(std::uint64_t bytes) {
  state_->waiting += bytes;
  if (state_->waiting < kStretch) return;
  state_->waiting = 0;
  if (!state_->thread.joinable()) state_->thread = std::thread([this] { state_->sync_all(); });
  if (!state_->stretches.put(true)) finish();
}

void WriteBehind::finish() {
  state_->stretches.end();
  if (state_->thread.joinable()) state_->thread.join();
  if (state_->fault) std::rethrow_exception(state_->fault);
}

}  // namespace relight::sys
