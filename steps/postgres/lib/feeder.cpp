#include "steps/postgres/lib/feeder.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "steps/postgres/lib/settings.h"

// The program, as it was built (CMakeLists.txt): one file is all there is to install.
extern const char relight_restore_wal[];
extern const char relight_restore_wal_end[];

namespace relight::postgres {

namespace {

constexpr std::size_t ahead = 8;     // segments that are made ready before they are asked for
constexpr std::size_t decoders = 2;  // redo itself takes one processor

}  // namespace

class Feeder::State {
 public:
  State(const WalArchive& archive, const std::vector<Handed>& files, std::uint64_t segment_size,
        const std::string& folder)
      : archive_(archive),
        segment_size_(segment_size),
        ready_(folder + "/" + work_folder + "/ready"),
        wal_(folder + "/pg_wal"),
        work_(open((folder + "/" + work_folder).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    if (!work_) throw system_error(errno, "cannot open", folder + "/" + work_folder);
    for (const Handed& handed : files) {
      if (archive_.find(handed.file) == nullptr) continue;
      place_[handed.as] = items_.size();
      items_.push_back({handed, Made::no, ""});
    }
    sys::remove_tree(ready_);
    sys::make_folders(ready_, 0700);
    sys::make_folders(wal_ + "/archive_status", 0700);
    const std::string program = folder + "/" + work_folder + "/restore-wal";
    sys::remove_file(program);
    sys::write_new_file(program, {relight_restore_wal, relight_restore_wal_end}, 0700);
    listen_in_work();
    for (std::size_t i = 0; i < decoders; ++i) threads_.emplace_back([this] { decode_on(); });
    threads_.emplace_back([this] { answer_on(); });
  }

  ~State() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    const std::uint64_t one = 1;
    if (write(wake_.get(), &one, sizeof one) < 0) shutdown(socket_.get(), SHUT_RDWR);
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  enum class Made { no, being, there, failed };
  struct Item {
    Handed handed;
    Made made;
    std::string why;  // it failed
  };

  // By descriptor: the path of a data directory may be too long for a socket.
  void listen_in_work() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = "/proc/self/fd/" + std::to_string(work_.get()) + "/feed";
    name.copy(address.sun_path, sizeof address.sun_path - 1);
    unlink(name.c_str());
    socket_ = sys::Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    wake_ = sys::Fd(eventfd(0, EFD_CLOEXEC));
    if (!socket_ || !wake_ ||
        bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(socket_.get(), 4) != 0)
      throw system_error(errno, "cannot listen for the server that recovers", ready_);
  }

  // What is asked for first, then the next ones of the row, a bounded number.
  Item* next_to_make() {
    if (asked_ < items_.size() && items_[asked_].made == Made::no) return &items_[asked_];
    const std::size_t end = std::min(items_.size(), next_ + ahead);
    for (std::size_t i = next_; i < end; ++i)
      if (items_[i].made == Made::no) return &items_[i];
    return nullptr;
  }

  void decode_on() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
      Item* const item = next_to_make();
      if (item == nullptr) {
        changed_.wait(lock);
        continue;
      }
      item->made = Made::being;
      lock.unlock();
      const std::string why = make(item->handed);
      lock.lock();
      item->why = why;
      item->made = why.empty() ? Made::there : Made::failed;
      changed_.notify_all();
    }
  }

  // Why it cannot be handed out; empty: it lies in pg_wal. What the restore_command brings the server syncs
  // three times over before it reads it, one segment after the other; what it finds there it only reads. The
  // disk need not see it: after a power cut it is laid anew. Its .done is synced: without, the replay was
  // slower by a tenth.
  std::string make(const Handed& handed) const {
    const std::string part = ready_ + "/" + handed.as + ".part", there = wal_ + "/" + handed.as;
    try {
      const ArchivedFile& file = *archive_.find(handed.file);
      const auto name = parse_segment(handed.file, segment_size_);
      const auto wrong_with = [&](const std::string& path) {
        return name ? wrong_with_segment(path, *name, segment_size_, "") : "it is no segment";
      };
      // A paused copy's own, which may be the last that there is, and must outlive a power cut.
      const bool again = sys::exists(there);
      std::error_code none;
      if (again && file.far == nullptr && std::filesystem::equivalent(file.path, there, none))
        return wrong_with(there);
      copy_decoded(file, part, [this] { return stop_.load(); });
      if (const std::string wrong = wrong_with(part); !wrong.empty()) return wrong;
      const sys::Fd written(open(part.c_str(), O_RDONLY | O_CLOEXEC));
      if (again && (!written || fdatasync(written.get()) != 0))
        return system_error(errno, "cannot sync", part).what();
      // Else the operator's server would archive it once more.
      sys::write_file(wal_ + "/archive_status/" + handed.as + ".done", "", 0600);
      return std::rename(part.c_str(), there.c_str()) == 0 ? ""
                                                           : system_error(errno, "cannot name", there).what();
    } catch (const Error& error) {
      return error.what();
    }
  }

  void answer_on() {
    for (;;) {
      pollfd watched[] = {{socket_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
      if (poll(watched, 2, -1) < 0 && errno != EINTR) return;
      if (stop_) return;
      if ((watched[0].revents & POLLIN) == 0) continue;
      const sys::Fd asker(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!asker) continue;
      char text[256];
      const ssize_t size = recv(asker.get(), text, sizeof text, 0);
      if (size <= 0) continue;
      std::string answer = answer_to(std::string(text, static_cast<std::size_t>(size)));
      answer.resize(std::min<std::size_t>(answer.size(), 1000));
      send(asker.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }

  // "=": it lies in pg_wal; "+": in the folder `ready`; "-": the server may not have it; anything else: why
  // it cannot have it.
  std::string answer_to(const std::string& name) {
    if (parse_history_name(name)) return history(name);
    std::unique_lock lock(mutex_);
    const auto place = place_.find(name);
    if (place == place_.end()) return "-";
    Item& item = items_[place->second];
    // Asked for once more, when the server may have removed it.
    if (item.made == Made::there && !sys::exists(wal_ + "/" + name)) item.made = Made::no;
    asked_ = place->second;
    next_ = place->second + 1;
    changed_.notify_all();
    changed_.wait(lock, [&] { return stop_ || item.made == Made::there || item.made == Made::failed; });
    asked_ = SIZE_MAX;
    if (item.made != Made::there) return item.why.empty() ? "told to stop" : item.why;
    if (++given_ == (items_.size() + 1) / 2) failpoint("postgres.recover:half_fed");
    return "=";
  }

  std::string history(const std::string& name) const {
    const ArchivedFile* const file = archive_.find(name);
    if (file == nullptr) return "-";
    try {
      copy_decoded(*file, ready_ + "/" + name, [this] { return stop_.load(); });
      return "+";
    } catch (const Error& error) {
      return error.what();
    }
  }

  const WalArchive& archive_;
  const std::uint64_t segment_size_;
  const std::string ready_, wal_;
  const sys::Fd work_;
  sys::Fd socket_, wake_;
  std::vector<Item> items_;
  std::unordered_map<std::string, std::size_t> place_;  // by the name under which it is handed out
  std::mutex mutex_;                                    // of what follows, and of the items
  std::condition_variable changed_;
  std::size_t next_ = 0;  // the one after that asked for last
  std::size_t asked_ = SIZE_MAX;
  std::size_t given_ = 0;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

Feeder::Feeder(const WalArchive& archive, const std::vector<Handed>& files, std::uint64_t segment_size,
               const std::string& data_folder)
    : state_(std::make_unique<State>(archive, files, segment_size, data_folder)) {}

Feeder::~Feeder() = default;

bool runs_programs(const std::string& folder) {
  struct statvfs status {};
  return statvfs(folder.c_str(), &status) != 0 || (status.f_flag & ST_NOEXEC) == 0;
}

}  // namespace relight::postgres
