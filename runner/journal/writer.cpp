#include "runner/journal/writer.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "runner/journal/record.h"
#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"

namespace relight {
namespace {

// Room on top of what the steps reserve, for the records that belong to no step (interrupted, ended, ...).
constexpr std::uint64_t own_room = 64u << 10;
constexpr std::uint64_t frame_room = 320;  // of a line, around its members

}  // namespace

struct JournalWriter::State {
  struct Waiting {
    std::string members;
    std::function<void()> released;
  };

  std::unique_ptr<JournalFile> file;
  JournalEnd end;
  std::vector<Waiting> waiting;
  std::uint64_t waiting_bytes = 0;
  std::string batch;  // the bytes of a flush; kept for its capacity
  std::uint64_t reserved = 0;
  std::uint64_t syncs = 0;
  std::optional<Error> dead;

  void need_alive() const {
    if (dead) throw *dead;
  }

  // Writes the records as one batch and syncs; `end` moves only when that is done.
  void write(const std::vector<Waiting>& records) {
    JournalEnd next = end;
    ++next.batch;
    batch.clear();
    for (std::size_t i = 0; i < records.size(); ++i) {
      Line line = frame_line(records[i].members, ++next.seq, next.batch, i + 1, records.size(), next.hash);
      next.hash = std::move(line.hash);
      batch += line.text;
      batch += '\n';
    }
    file->append(batch);
    file->sync();
    ++syncs;
    end = std::move(next);
  }

  void die(Error error) {
    dead = std::move(error);
    waiting.clear();
    throw *dead;
  }
};

JournalWriter::JournalWriter(std::unique_ptr<JournalFile> file, JournalEnd end)
    : state_(std::make_unique<State>()) {
  state_->file = std::move(file);
  state_->end = std::move(end);
}

JournalWriter::~JournalWriter() = default;

void JournalWriter::add(const Json& body, std::function<void()> released) {
  state_->need_alive();
  std::string members = make_members(body);
  state_->waiting_bytes += members.size() + frame_room;
  state_->waiting.push_back({std::move(members), std::move(released)});
}

bool JournalWriter::empty() const {
  return state_->waiting.empty();
}

void JournalWriter::flush() {
  state_->need_alive();
  if (state_->waiting.empty()) return;
  std::vector<State::Waiting> records = std::exchange(state_->waiting, {});
  state_->waiting_bytes = 0;
  try {
    state_->write(records);
  } catch (const Error& error) {
    state_->die(error);
  } catch (const std::exception& error) {
    state_->die(Error(ErrorKind::permanent, "cannot write to the journal", "", error.what()));
  }

  std::exception_ptr thrown;
  for (State::Waiting& record : records) try {
      if (record.released) record.released();
    } catch (...) {
      if (!thrown) thrown = std::current_exception();
    }
  if (thrown) std::rethrow_exception(thrown);
}

void JournalWriter::reserve(std::uint64_t bytes) {
  state_->need_alive();
  state_->file->reserve(state_->reserved + bytes + state_->waiting_bytes + own_room);
  state_->reserved += bytes;
}

void JournalWriter::give_back(std::uint64_t bytes) {
  state_->reserved -= std::min(bytes, state_->reserved);
}

std::uint64_t JournalWriter::syncs() const {
  return state_->syncs;
}

}  // namespace relight
