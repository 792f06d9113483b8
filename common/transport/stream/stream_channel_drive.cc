// The reader role: who takes it, how it waits, and who does the rest meanwhile.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <system_error>
#include <utility>

#include "common/transport/stream/stream_channel.h"

namespace pmshelf::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kNoTimeout = -1;
constexpr uint64_t kDeadlineMsMax = uint64_t{1} << 40;
// While a grant is mapped and nobody drove for so long, the channel's own thread waits for notices.
constexpr auto kQuiet = milliseconds(50);

// Whose completions this thread is running.
thread_local const StreamChannel* completing_channel = nullptr;

}  // namespace

// ---- roles

bool StreamChannel::has_work() const {
  return in_flight_count_ > 0 || !ready_.empty() || !queued_.empty() ||
         (!out_.empty() && !send_failed_ && !broken_);
}

bool StreamChannel::is_completing() const { return completing_channel == this; }

// What comes up while a thread waits in recv(), which only bytes can end.
bool StreamChannel::has_side_work() const {
  const bool unsent = !out_.empty() && !send_failed_ && !broken_;
  return reader_waits_ && (!ready_.empty() || unsent);
}

void StreamChannel::enter_drive_scope() {
  const std::lock_guard lock(mutex_);
  ++scope_count_;
}

void StreamChannel::leave_drive_scope() {
  Lock lock(mutex_);
  --scope_count_;
  after_submit(lock);
}

Status StreamChannel::drive_until(const std::function<bool()>& finished, uint64_t deadline_ms) {
  const auto deadline = steady_clock::now() + milliseconds(std::min(deadline_ms, kDeadlineMsMax));
  Lock lock(mutex_);
  if (is_completing()) {
    return Error(Code::kInvalidArgument, "drive_until was called from a completion");
  }
  ++driver_count_;
  if (background_reads_) kick();        // hand over
  if (reader_active_) send_gathered();  // the reader may wait for long
  Status result;
  for (;;) {
    const uint64_t seen = epoch_;
    lock.unlock();
    const bool is_finished = finished();
    lock.lock();
    if (is_finished) break;
    auto left = milliseconds(kNoTimeout);
    if (deadline_ms != 0) {
      left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
      if (left.count() <= 0) {
        result =
            Error(Code::kDeadlineExceeded, "no answer in " + std::to_string(deadline_ms) + " ms");
        break;
      }
    }
    if (reader_active_) {
      wait_for_reader(lock, seen, left);
    } else if (broken_ && !has_work()) {
      result = error_;
      break;
    } else {
      const auto timeout_ms = static_cast<int>(std::min<int64_t>(left.count(), INT_MAX));
      drive_once(lock, timeout_ms, Driver::kCaller);
    }
  }
  --driver_count_;
  if (waiter_count_ > 0) changed_.notify_all();  // one of them reads now
  wake_background();
  return result;
}

// Until completions ran, the role is free, or `left` (negative: any time) passed.
void StreamChannel::wait_for_reader(Lock& lock, uint64_t seen, std::chrono::milliseconds left) {
  const auto over = [&] { return epoch_ != seen || !reader_active_; };
  ++waiter_count_;
  if (left.count() < 0) {
    changed_.wait(lock, over);
  } else {
    changed_.wait_for(lock, left, over);
  }
  --waiter_count_;
}

// Wakes or starts the channel's own thread when something has to be done and nobody else will.
void StreamChannel::wake_background() {
  const bool is_free = driver_count_ == 0 && scope_count_ == 0;
  if (stopping_ || (!is_free && !has_side_work())) return;
  if (background_.joinable()) {
    if (background_idle_ && has_work()) background_wake_.notify_one();
    return;
  }
  if (!has_work() && (mapped_.empty() || broken_)) return;
  try {
    background_ = std::thread([this] { run_background(); });
  } catch (const std::system_error&) {
    // Without a thread requests are completed when somebody drives.
  }
}

void StreamChannel::run_background() {
  Lock lock(mutex_);
  uint64_t quiet_epoch = epoch_;
  while (!stopping_) {
    const bool is_free = driver_count_ == 0 && scope_count_ == 0 && !reader_active_;
    const bool wants_notices = !mapped_.empty() && !broken_;
    if (is_free && (has_work() || (wants_notices && quiet_epoch == epoch_))) {
      background_reads_ = true;
      drive_once(lock, kNoTimeout, Driver::kOwnThread);
      background_reads_ = false;
      quiet_epoch = epoch_;
      continue;
    }
    if (has_side_work()) {
      do_side_work(lock);
      continue;
    }
    quiet_epoch = epoch_;
    background_idle_ = true;
    if (wants_notices) {
      background_wake_.wait_for(lock, kQuiet);
    } else {
      background_wake_.wait(lock);
    }
    background_idle_ = false;
  }
}

void StreamChannel::do_side_work(Lock& lock) {
  if (!ready_.empty()) return run_ready(lock);
  pollfd waiting = {stream_->fd(), POLLOUT, 0};
  lock.unlock();
  ::poll(&waiting, 1, kWaitMs);
  lock.lock();
  flush_out();
}

// Ends the reader's wait in poll().
void StreamChannel::kick() {
  if (reader_polling_) ::eventfd_write(wake_fd_.get(), 1);
}

// ---- one round as the reader

// Sends, waits for something to come, receives it, and runs what is complete.
void StreamChannel::drive_once(Lock& lock, int timeout_ms, Driver driver) {
  reader_active_ = true;
  flush_out();
  if (ready_.empty() && !broken_) {
    const bool waits = may_wait_ && driver == Driver::kCaller && out_.empty() &&
                       in_flight_count_ > 0 && (timeout_ms < 0 || timeout_ms > kWaitMs);
    if (waits || wait_ready(lock, timeout_ms)) receive(lock, waits);
  }
  for (int i = 0; i < 2; ++i) {  // one of the completions may close the channel
    if (broken_) fail_all();
    send_next(lock);
    run_ready(lock);
  }
  reader_active_ = false;
  ++epoch_;
  if (waiter_count_ > 0) changed_.notify_all();
}

// True: the stream may have bytes for us.
bool StreamChannel::wait_ready(Lock& lock, int timeout_ms) {
  if (maybe_more_) return true;
  reader_polls_out_ = !out_.empty() && !send_failed_;
  const short events = static_cast<short>(POLLIN | (reader_polls_out_ ? POLLOUT : 0));
  std::array<pollfd, 2> fds = {pollfd{stream_->fd(), events, 0}, pollfd{wake_fd_.get(), POLLIN, 0}};
  reader_polling_ = true;
  lock.unlock();
  const int count = ::poll(fds.data(), fds.size(), timeout_ms);
  lock.lock();
  reader_polling_ = reader_polls_out_ = false;
  if (count <= 0) return false;
  if (fds[1].revents != 0) {
    eventfd_t ignored = 0;
    ::eventfd_read(wake_fd_.get(), &ignored);
  }
  if ((fds[0].revents & POLLOUT) != 0) flush_out();
  return (fds[0].revents & ~POLLOUT) != 0;
}

// Runs the completions and notices that are there now, and sends what they submitted.
void StreamChannel::run_ready(Lock& lock) {
  if (ready_.empty() && notices_.empty()) return;
  std::vector<Completion> running = std::exchange(ready_, std::move(spare_));
  const std::vector<Notice> notices = std::exchange(notices_, {});
  ++runner_count_;
  lock.unlock();
  const auto outer = std::exchange(completing_channel, this);
  for (Completion& completion : running) run(std::move(completion));
  running.clear();
  for (const Notice& notice : notices) {
    if (on_notice) on_notice(notice.kind, notice.grant);
  }
  completing_channel = outer;
  lock.lock();
  --runner_count_;
  if (waiter_count_ > 0) changed_.notify_all();
  spare_ = std::move(running);
  flush_out();
}

// ---- the end

void StreamChannel::break_with(Error error) {
  if (broken_) return;
  broken_ = true;
  if (!send_failed_) error_ = std::move(error);
  ::shutdown(stream_->fd(), SHUT_RDWR);
}

void StreamChannel::close() {
  Lock lock(mutex_);
  break_with(Error(Code::kUnavailable, "the connection was closed"));
  if (is_completing()) return wake_background();  // this thread, or the reader, goes on
  kick();
  const auto is_free = [this] { return !reader_active_ && runner_count_ == 0; };
  ++waiter_count_;
  changed_.wait(lock, is_free);
  --waiter_count_;
  reader_active_ = true;
  while (has_work()) {
    fail_all();
    run_ready(lock);
  }
  reader_active_ = false;
  ++epoch_;
  changed_.notify_all();
}

}  // namespace pmshelf::transport
