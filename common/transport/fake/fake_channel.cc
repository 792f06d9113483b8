#include "common/transport/fake/fake_channel.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "common/base/units.h"
#include "common/transport/fake/fake_state.h"
#include "common/transport/stream/op_rules.h"

namespace pmshelf::transport {

// Requests wait in a queue and are executed one after the other by whoever drives, or by the
// channel's own thread when nobody does.
using wire::Op;

class FakeChannel final : public Channel, public FakeWatcher {
 public:
  FakeChannel(std::shared_ptr<FakeState> state, FakeOptions options)
      : state_(std::move(state)), options_(options), own_thread_([this] { run_own_thread(); }) {
    state_->watch(this);
  }
  ~FakeChannel() override {
    state_->unwatch(this);
    close();
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    own_thread_.join();
  }

  const Capabilities& capabilities() const override { return options_.capabilities; }
  std::string_view path() const override { return "fake"; }
  bool connected() const override {
    const std::lock_guard lock(mutex_);
    return !broken_;
  }

  void read(wire::GrantId grant, uint64_t offset, std::span<std::byte> target, Done done) override {
    const std::vector<wire::Range> range = {{offset, target.size()}};
    submit(Op::kRead, target.size(), std::move(done),
           [this, grant, range, target] { return state_->read(grant, range, target); });
  }
  void write(wire::GrantId grant, uint64_t offset, std::span<const std::byte> source, Durability,
             Done done) override {
    const std::vector<wire::Range> range = {{offset, source.size()}};
    submit(Op::kWrite, source.size(), std::move(done),
           [this, grant, range, source] { return state_->write(grant, range, source); });
  }
  void flush(wire::GrantId grant, uint64_t offset, uint64_t bytes, Done done) override {
    submit(Op::kFlush, 0, std::move(done),
           [this, grant, offset, bytes] { return state_->check_flush(grant, offset, bytes); });
  }
  void atomic_write8(wire::GrantId grant, uint64_t offset, uint64_t value, Done done) override {
    submit(Op::kAtomicWrite8, 0, std::move(done),
           [this, grant, offset, value] { return state_->write8(grant, offset, value); });
  }
  void read_ranges(wire::GrantId grant, std::span<const wire::Range> ranges,
                   std::span<std::byte> target, Done done) override {
    submit(Op::kReadRanges, target.size(), std::move(done),
           [this, grant, list = std::vector(ranges.begin(), ranges.end()), target] {
             return state_->read(grant, list, target);
           });
  }
  void write_ranges(wire::GrantId grant, std::span<const wire::Range> ranges,
                    std::span<const std::byte> source, Durability, Done done) override {
    submit(Op::kWriteRanges, source.size(), std::move(done),
           [this, grant, list = std::vector(ranges.begin(), ranges.end()), source] {
             return state_->write(grant, list, source);
           });
  }
  void transact(const wire::TransactMeta& meta, std::span<const std::byte> source,
                Done done) override {
    submit(Op::kTransact, source.size(), std::move(done),
           [this, meta, source] { return state_->transact(meta, source); });
  }
  void put(uint64_t shelf_handle, const wire::PutMeta& meta, bool if_absent,
           std::span<const std::byte> value, Done done) override {
    submit(Op::kPut, value.size(), std::move(done),
           [this, shelf_handle, name = std::string(meta.name),
            attributes = std::string(meta.attributes), if_absent,
            value] { return state_->put(shelf_handle, name, attributes, if_absent, value); });
  }
  void get(uint64_t shelf_handle, std::string_view name, std::span<std::byte> target,
           GetDone done) override {
    target = target.first(std::min<uint64_t>(target.size(), capabilities().request_bytes_max));
    submit(Op::kGet, 0, std::move(done), [this, shelf_handle, key = std::string(name), target] {
      return state_->get(shelf_handle, key, target);
    });
  }
  void ping(Done done) override {
    submit(Op::kPing, 0, std::move(done), [] { return Status(); });
  }
  Result<MappedRange> map(wire::GrantId grant) override {
    if (!capabilities().map) return Error(Code::kUnsupported, "this path cannot map");
    return state_->map(grant);
  }

  Status drive_until(const std::function<bool()>& finished, uint64_t deadline_ms) override;
  void close() override;
  void on_revoked(wire::GrantId grant) override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct Task {
    Op op = Op::kPing;
    std::function<void()> apply;                    // keeps the outcome
    std::function<void(const Error* lost)> finish;  // tells the caller: the outcome, or this
    std::optional<Error> refused;                   // instead of applying
  };

  template <class AnyDone, class Apply>
  void submit(Op op, uint64_t bytes, AnyDone done, Apply apply);
  void enter_drive_scope() override {
    const std::lock_guard lock(mutex_);
    ++scope_count_;
  }
  void leave_drive_scope() override {
    const std::lock_guard lock(mutex_);
    --scope_count_;
    changed_.notify_all();
  }
  bool is_active() const { return active_ && runner_ == std::this_thread::get_id(); }
  void run_one(Lock& lock);
  void run_own_thread();
  Error lost(const Task& task) const {
    const bool mutates =
        rules_of(task.op).takes_payload || task.op == Op::kAtomicWrite8 || task.op == Op::kFlush;
    return {mutates ? Code::kUnknownOutcome : Code::kUnavailable, "the fake connection broke"};
  }

  const std::shared_ptr<FakeState> state_;
  const FakeOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  uint64_t request_count_ = 0;
  bool broken_ = false, stopping_ = false;
  bool active_ = false;  // a thread executes
  std::thread::id runner_;
  uint32_t scope_count_ = 0, driver_count_ = 0;
  std::thread own_thread_;  // last: it uses all of the above
};

template <class AnyDone, class Apply>
void FakeChannel::submit(Op op, uint64_t bytes, AnyDone done, Apply apply) {
  using Outcome = decltype(apply());
  auto outcome = std::make_shared<std::optional<Outcome>>();
  Task task;
  task.op = op;
  task.apply = [outcome, apply = std::move(apply)] { outcome->emplace(apply()); };
  task.finish = [outcome, done = std::move(done)](const Error* lost) {
    done(lost != nullptr ? Outcome(*lost) : *std::move(*outcome));
  };
  const Lock lock(mutex_);
  if (bytes > capabilities().request_bytes_max) {
    task.refused = Error(Code::kInvalidArgument, "over request_bytes_max");
  } else if (broken_) {
    task.refused = Error(Code::kUnavailable, "the fake connection is broken");
  } else if (tasks_.size() >= capabilities().in_flight_max + capabilities().queued_requests_max) {
    task.refused = Error(Code::kResourceExhausted, "too many requests wait on this connection");
  }
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void FakeChannel::run_one(Lock& lock) {
  Task task = std::move(tasks_.front());
  tasks_.pop_front();
  active_ = true;
  runner_ = std::this_thread::get_id();
  bool applies = !task.refused.has_value();
  if (applies && broken_) {
    task.refused = lost(task);
    applies = false;
  } else if (applies && ++request_count_ == options_.break_at) {
    broken_ = true;
    task.refused = lost(task);
    applies = options_.apply_before_break;
  }
  lock.unlock();
  if (applies) task.apply();
  task.finish(task.refused ? &*task.refused : nullptr);
  task = {};
  lock.lock();
  active_ = false;
  changed_.notify_all();
}

void FakeChannel::run_own_thread() {
  Lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] {
      const bool is_free = driver_count_ == 0 && scope_count_ == 0 && !active_;
      return stopping_ || (is_free && !tasks_.empty());
    });
    if (stopping_) return;
    run_one(lock);
  }
}

Status FakeChannel::drive_until(const std::function<bool()>& finished, uint64_t deadline_ms) {
  constexpr uint64_t kDeadlineMsMax = uint64_t{1} << 40;
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::milliseconds(std::min(deadline_ms, kDeadlineMsMax));
  Lock lock(mutex_);
  if (is_active()) {
    return Error(Code::kInvalidArgument, "drive_until was called from a completion");
  }
  ++driver_count_;
  Status result;
  for (;;) {
    lock.unlock();
    const bool is_finished = finished();
    lock.lock();
    if (is_finished) break;
    if (deadline_ms != 0 && std::chrono::steady_clock::now() >= deadline) {
      result = Error(Code::kDeadlineExceeded, "no answer in time");
      break;
    }
    if (!active_ && !tasks_.empty()) {
      run_one(lock);
    } else if (!active_ && broken_) {
      result = Error(Code::kUnavailable, "the fake connection is broken");
      break;
    } else {
      changed_.wait_for(lock, std::chrono::milliseconds(1));  // `finished` may depend on others
    }
  }
  --driver_count_;
  changed_.notify_all();
  return result;
}

void FakeChannel::close() {
  Lock lock(mutex_);
  broken_ = true;
  if (is_active()) return;  // the queue is run after the completion that called
  while (active_ || !tasks_.empty()) {
    if (active_) {
      changed_.wait(lock);
    } else {
      run_one(lock);
    }
  }
}

void FakeChannel::on_revoked(wire::GrantId grant) {
  Task task;
  task.apply = [] {};
  task.finish = [this, grant](const Error* lost) {
    if (lost == nullptr && on_notice) on_notice(wire::NoticeKind::kRevoked, grant);
  };
  const Lock lock(mutex_);
  if (broken_) return;
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

std::unique_ptr<Channel> make_fake_channel(FakeMemory& memory, FakeOptions options) {
  return std::make_unique<FakeChannel>(memory.state_, options);
}

}  // namespace pmshelf::transport
