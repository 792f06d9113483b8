// Receiving and completing: the reader role, and who takes it.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstring>
#include <system_error>
#include <utility>

#include "common/base/check.h"
#include "common/transport/stream/op_rules.h"
#include "common/transport/stream/stream_channel.h"

namespace pmshelf::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using wire::FrameHeader;
using wire::kFrameHeaderBytes;
using wire::Op;

constexpr int kNoTimeout = -1;
constexpr uint64_t kDeadlineMsMax = uint64_t{1} << 40;
// While a grant is mapped and nobody drove for so long, the channel's own thread waits for notices.
constexpr auto kQuiet = milliseconds(50);

constexpr bool is_mutation(Op op) {
  return rules_of(op).takes_payload || op == Op::kAtomicWrite8 || op == Op::kFlush;
}

Error protocol_error(const std::string& what) {
  return {Code::kUnavailable, "the server broke the protocol: " + what};
}

}  // namespace

// ---- roles

bool StreamChannel::has_work() const {
  return in_flight_count_ > 0 || !ready_.empty() || !queued_.empty() ||
         (!out_.empty() && !send_failed_ && !broken_);
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
  if (is_reader()) {
    return Error(Code::kInvalidArgument, "drive_until was called from a completion");
  }
  ++driver_count_;
  if (background_reads_) kick();  // hand over
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
      drive_once(lock, static_cast<int>(std::min<int64_t>(left.count(), INT_MAX)));
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
  if (driver_count_ > 0 || scope_count_ > 0 || stopping_) return;
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
      drive_once(lock, kNoTimeout);
      background_reads_ = false;
      quiet_epoch = epoch_;
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

// Ends the reader's wait.
void StreamChannel::kick() {
  if (reader_polling_) ::eventfd_write(wake_fd_.get(), 1);
}

// ---- one round as the reader

// Sends, waits for something to come, receives it, and runs what is complete.
void StreamChannel::drive_once(Lock& lock, int timeout_ms) {
  reader_active_ = true;
  reader_ = std::this_thread::get_id();
  flush_out();
  if (ready_.empty() && !broken_ && wait_ready(lock, timeout_ms) && !broken_) receive(lock);
  run_completions(lock);
  if (broken_) run_completions(lock);  // one of them may have closed the channel
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

// Payload goes straight into its target, what follows into the buffer.
void StreamChannel::receive(Lock& lock) {
  std::array<iovec, 2> targets;
  size_t count = 0;
  if (payload_left_bytes_ > 0) targets[count++] = {payload_at_, payload_left_bytes_};
  if (in_at_ == in_end_) {
    in_at_ = in_end_ = 0;
  } else if (in_at_ > 0) {
    std::memmove(in_.data(), in_.data() + in_at_, in_end_ - in_at_);
    in_end_ -= std::exchange(in_at_, 0);
  }
  targets[count++] = {in_.data() + in_end_, in_.size() - in_end_};
  const size_t asked_bytes = payload_left_bytes_ + (in_.size() - in_end_);
  lock.unlock();
  const IoResult result = stream_->receive(std::span(targets).first(count));
  lock.lock();
  maybe_more_ = result.state == IoResult::State::kMoved && result.bytes == asked_bytes;
  switch (result.state) {
    case IoResult::State::kMoved: {
      const uint64_t direct_bytes = std::min<uint64_t>(result.bytes, payload_left_bytes_);
      payload_at_ += direct_bytes;
      payload_left_bytes_ -= direct_bytes;
      in_end_ += result.bytes - direct_bytes;
      return parse();
    }
    case IoResult::State::kWantRead:
    case IoResult::State::kWantWrite:  // TLS: what it wants to send goes out with the next send
      return;
    case IoResult::State::kFault:
      return break_with(Error(Code::kIo, "the memory to read into cannot be written"));
    case IoResult::State::kEnded:
      return break_with(Error(Code::kUnavailable, "the server has closed the connection"));
    case IoResult::State::kFailed:
      return break_with(Error(Code::kUnavailable, "connection lost: " + stream_->error_text()));
  }
}

// Also fails what a broken connection will not answer, and sends what answers made room for.
void StreamChannel::run_completions(Lock& lock) {
  if (broken_) fail_all();
  send_next(lock);
  if (ready_.empty() && notices_.empty()) return;
  std::swap(running_, ready_);
  const std::vector<Notice> notices = std::exchange(notices_, {});
  lock.unlock();
  for (Completion& completion : running_) run(std::move(completion));
  running_.clear();
  for (const Notice& notice : notices) {
    if (on_notice) on_notice(notice.kind, notice.grant);
  }
  lock.lock();
  flush_out();
}

void StreamChannel::run(Completion completion) const {
  if (auto* done = std::get_if<Done>(&completion.done)) {
    (*done)(std::move(completion.outcome));
  } else if (auto* get_done = std::get_if<GetDone>(&completion.done)) {
    if (!completion.outcome.ok()) return (*get_done)(completion.outcome.error());
    (*get_done)(std::move(completion.get));
  } else if (auto* map_done = std::get_if<MapDone>(&completion.done)) {
    if (!completion.outcome.ok()) return (*map_done)(completion.outcome.error());
    (*map_done)(std::move(completion.map));
  }
}

// ---- answers

void StreamChannel::parse() {
  while (!broken_) {
    if (receiving_slot_ != kNoSlot) {
      if (!take_payload()) return;
    } else if (!parse_frame()) {
      return;
    }
  }
}

bool StreamChannel::take_payload() {
  const uint64_t part = std::min<uint64_t>(payload_left_bytes_, in_end_ - in_at_);
  if (part > 0) std::memcpy(payload_at_, in_.data() + in_at_, part);
  in_at_ += part;
  payload_at_ += part;
  payload_left_bytes_ -= part;
  if (payload_left_bytes_ > 0) return false;
  end_answer(std::exchange(receiving_slot_, kNoSlot));
  return true;
}

bool StreamChannel::parse_frame() {
  const size_t there_bytes = in_end_ - in_at_;
  if (there_bytes < kFrameHeaderBytes) return false;
  const std::span<const std::byte> bytes(in_.data() + in_at_, there_bytes);
  const auto header = wire::decode_header(bytes.first<kFrameHeaderBytes>());
  if (!header.ok()) {
    break_with(protocol_error(header.error().message()));
    return false;
  }
  if (there_bytes - kFrameHeaderBytes < header->meta_bytes) return false;
  const auto meta = bytes.subspan(kFrameHeaderBytes, header->meta_bytes);
  in_at_ += kFrameHeaderBytes + header->meta_bytes;
  if (auto status = begin_answer(*header, meta); !status.ok()) {
    break_with(std::move(status).error());
    return false;
  }
  return true;
}

Status StreamChannel::begin_answer(const FrameHeader& header, std::span<const std::byte> meta) {
  if (header.op == Op::kNotice && header.flags == 0 && header.payload_bytes == 0) {
    notices_.push_back({static_cast<wire::NoticeKind>(header.offset), header.grant});
    return {};
  }
  const auto slot = static_cast<uint32_t>(header.tag);
  const bool known = slot < pending_.size() && pending_[slot].active && !pending_[slot].answered &&
                     pending_[slot].generation == header.tag >> 32 &&
                     pending_[slot].op == header.op;
  if (!known || (header.flags & wire::kFlagReply) == 0) {
    return protocol_error("an answer to nothing that was asked");
  }
  Pending& pending = pending_[slot];
  if (header.status != 0) {
    if (header.payload_bytes != 0) return protocol_error("an error with a payload");
    const auto code =
        header.status <= kCodeMax ? static_cast<Code>(header.status) : Code::kInternal;
    pending.outcome =
        Error(code, std::string(reinterpret_cast<const char*>(meta.data()), meta.size()));
    end_answer(slot);
    return {};
  }
  pending.outcome = {};
  PMSHELF_TRY(begin_ok_answer(pending, header, meta));
  const bool in_ring = (header.flags & wire::kFlagInRing) != 0;
  if (in_ring && header.payload_bytes > 0) {
    std::memcpy(pending.target.data(), ring_.data() + pending.ring_position, header.payload_bytes);
  } else if (header.payload_bytes > 0) {
    receiving_slot_ = slot;
    payload_at_ = pending.target.data();
    payload_left_bytes_ = header.payload_bytes;
    return {};
  }
  end_answer(slot);
  return {};
}

Status StreamChannel::begin_ok_answer(Pending& pending, const FrameHeader& header,
                                      std::span<const std::byte> meta) {
  const bool in_ring = (header.flags & wire::kFlagInRing) != 0;
  if (in_ring && !pending.in_ring)
    return protocol_error("a payload in a ring that was not offered");
  const bool partial = pending.op == Op::kGet;
  const bool fits = partial ? header.payload_bytes <= pending.target.size()
                            : header.payload_bytes == pending.target.size();
  if (!fits) return protocol_error("a payload of another size than was asked");
  if (pending.op == Op::kGet) {
    PMSHELF_TRY_ASSIGN(const wire::GetMeta get, wire::decode_get_meta(meta));
    pending.get = {get.region_id, get.total_bytes, header.payload_bytes,
                   std::string(get.attributes)};
  }
  if (pending.op == Op::kMap) {
    pending.map = {header.offset, header.length, stream_->take_fd()};
    if (!pending.map.fd) return protocol_error("a mapping without a descriptor");
  }
  return {};
}

// The answer is all there. When its request is still being sent (it was refused early), the source
// is needed until that is over.
void StreamChannel::end_answer(uint32_t slot) {
  pending_[slot].answered = true;
  if (pending_[slot].end_sent <= sent_bytes_) return complete(slot);
  answered_unsent_.push_back(slot);
}

void StreamChannel::complete_sent() {
  std::erase_if(answered_unsent_, [this](uint32_t slot) {
    if (pending_[slot].end_sent > sent_bytes_) return false;
    complete(slot);
    return true;
  });
}

// Takes the request out of the table; its completion is run next.
void StreamChannel::complete(uint32_t slot) {
  Pending& pending = pending_[slot];
  if (pending.in_ring) ring_space_.give_back(pending.ring_position, pending.ring_bytes);
  ready_.push_back({std::move(pending.done), std::move(pending.outcome), std::move(pending.get),
                    std::move(pending.map)});
  pending.active = pending.answered = pending.in_ring = false;
  pending.done = {};
  free_slots_.push_back(slot);
  --in_flight_count_;
}

// ---- the end

void StreamChannel::break_with(Error error) {
  if (broken_) return;
  broken_ = true;
  if (!send_failed_) error_ = std::move(error);
  ::shutdown(stream_->fd(), SHUT_RDWR);
}

Error StreamChannel::lost_error(const Pending& pending) const {
  const bool may_have_happened = is_mutation(pending.op) && pending.begin_sent < sent_bytes_;
  return {may_have_happened ? Code::kUnknownOutcome : Code::kUnavailable, error_.message()};
}

// Everything in flight and in the queue gets its error. By the reader, or without one.
void StreamChannel::fail_all() {
  out_.clear(nullptr);
  answered_unsent_.clear();
  receiving_slot_ = kNoSlot;
  payload_left_bytes_ = 0;
  for (uint32_t slot = 0; slot < pending_.size(); ++slot) {
    Pending& pending = pending_[slot];
    if (!pending.active) continue;
    if (!pending.answered) pending.outcome = lost_error(pending);
    complete(slot);
  }
  for (Submission& request : std::exchange(queued_, {})) {
    ready_.push_back(
        {std::move(request.done), Error(Code::kUnavailable, error_.message()), {}, {}});
  }
}

void StreamChannel::close() {
  Lock lock(mutex_);
  break_with(Error(Code::kUnavailable, "the connection was closed"));
  if (is_reader()) return;  // drive_once goes on from the completion that called
  kick();
  ++waiter_count_;
  changed_.wait(lock, [this] { return !reader_active_; });
  --waiter_count_;
  // Completions run with the reader role, as always.
  reader_active_ = true;
  reader_ = std::this_thread::get_id();
  while (has_work()) run_completions(lock);
  reader_active_ = false;
  ++epoch_;
  changed_.notify_all();
}

}  // namespace pmshelf::transport
