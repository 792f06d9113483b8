// Life of a connection: readiness, sending, time, end. What the bytes mean is in
// connection_frames.cc.
#include "common/transport/stream/connection.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <asio/post.hpp>
#include <chrono>
#include <cstring>

#include "common/transport/stream/limits.h"
#include "common/transport/stream/request_checks.h"

namespace pmshelf::transport {
namespace {

// Steps (receives) in a row before other connections of the thread get their turn.
constexpr int kStepsInARowMax = 32;
// Unsent notices of a peer that does not read; then it is cut off.
constexpr size_t kNoticeBacklogBytesMax = 1024 * 1024;
// The memory pieces that one receive fills.
constexpr size_t kReceivePiecesMax = 64;

uint64_t tick_ms(const StreamLimits& limits) {
  const uint32_t shortest_ms = std::min(limits.hello_timeout_ms, limits.progress_timeout_ms);
  return std::clamp<uint64_t>(shortest_ms / 4, 10, 1000);
}

}  // namespace

StreamConnection::StreamConnection(asio::io_context& io, ConnectionParts parts)
    : io_(io),
      descriptor_(io),
      timer_(io),
      stream_(std::move(parts.stream)),
      peer_(std::move(parts.peer)),
      limits_(parts.limits),
      factory_(std::move(parts.factory)),
      on_closed_(std::move(parts.on_closed)),
      in_(std::make_unique_for_overwrite<std::byte[]>(kReceiveBufferBytes)) {}

// An io_context that is destroyed drops what it still has queued, and so this object may be open.
StreamConnection::~StreamConnection() {
  if (descriptor_.is_open()) descriptor_.release();
}

void StreamConnection::start() {
  asio::post(io_, [self = shared_from_this()] {
    asio::error_code error;
    self->descriptor_.assign(self->stream_->fd(), error);
    if (error) return self->close("cannot wait for the socket: " + error.message());
    self->handler_ = self->factory_(self->peer_, std::make_shared<StreamControl>(self));
    self->factory_ = nullptr;
    self->arm_tick();
    self->pump();
  });
}

void StreamConnection::drain() {
  asio::post(io_, [self = shared_from_this()] {
    if (self->stage_ != Stage::kOpen) return self->close("the daemon is draining");
    self->begin_ending();
    self->pump();
  });
}

void StreamConnection::cut(std::string reason) {
  asio::post(io_, [self = shared_from_this(), reason = std::move(reason)] { self->close(reason); });
}

void StreamConnection::notify(wire::NoticeKind kind, wire::GrantId grant) {
  asio::post(io_, [self = shared_from_this(), kind, grant] {
    if (self->stage_ != Stage::kOpen) return;
    wire::FrameHeader header;
    header.op = wire::Op::kNotice;
    header.offset = static_cast<uint64_t>(kind);
    header.grant = grant;
    self->append_header(header);
    if (self->out_.copied_bytes() > self->limits_.buffered_bytes_max + kNoticeBacklogBytesMax) {
      return self->violation("does not read its notices");
    }
    self->schedule_pump();
  });
}

// ---- readiness

void StreamConnection::pump() {
  if (pumping_) return;
  pumping_ = true;
  int steps_left = kStepsInARowMax;
  while (steps_left > 0 && step()) --steps_left;
  pumping_ = false;
  if (steps_left == 0 && stage_ != Stage::kClosed) schedule_pump();
}

void StreamConnection::schedule_pump() {
  if (pumping_ || pump_scheduled_ || stage_ == Stage::kClosed) return;
  pump_scheduled_ = true;
  asio::post(io_, [self = shared_from_this()] {
    self->pump_scheduled_ = false;
    self->pump();
  });
}

// One round: parse what is there, send what is ready, receive more. True: do it again.
bool StreamConnection::step() {
  if (stage_ == Stage::kTls) return advance_tls();
  parse();
  const bool was_stopped = parsing_stopped();
  flush();
  close_if_finished();
  if (stage_ == Stage::kClosed || ending_) return false;
  if (parsing_stopped() && receiving_ == nullptr) return false;  // a reply or the socket resumes
  if (was_stopped && receiving_ == nullptr) return true;
  if (!readable_) {
    wait_readable();
    return false;
  }
  return receive();
}

bool StreamConnection::advance_tls() {
  const IoResult result = stream_->handshake();
  switch (result.state) {
    case IoResult::State::kMoved:
      stage_ = Stage::kHello;
      send_challenge();
      return true;
    case IoResult::State::kWantRead:
      wait_readable();
      return false;
    case IoResult::State::kWantWrite:
      wait_writable();
      return false;
    case IoResult::State::kEnded:
      close("ended in the TLS handshake");
      return false;
    default:
      violation(stream_->error_text());
      return false;
  }
}

void StreamConnection::wait_readable() {
  if (waiting_readable_) return;
  waiting_readable_ = true;
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [self = shared_from_this()](const asio::error_code& error) {
                           self->waiting_readable_ = false;
                           if (error || self->stage_ == Stage::kClosed) return;
                           self->readable_ = true;
                           self->pump();
                         });
}

void StreamConnection::wait_writable() {
  if (waiting_writable_) return;
  waiting_writable_ = true;
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_write,
                         [self = shared_from_this()](const asio::error_code& error) {
                           self->waiting_writable_ = false;
                           if (error || self->stage_ == Stage::kClosed) return;
                           self->pump();
                         });
}

void StreamConnection::flush() {
  if (stage_ == Stage::kClosed || out_.empty()) return;
  const size_t before_bytes = out_.bytes();
  const IoResult result = out_.flush(*stream_, &sent_);
  sent_bytes_ += before_bytes - out_.bytes();
  if (out_.empty()) ++emptied_count_;
  for (const uint64_t slot : sent_) release(requests_[slot]);
  sent_.clear();
  switch (result.state) {
    case IoResult::State::kMoved:
      return;
    case IoResult::State::kWantWrite:
      return wait_writable();
    case IoResult::State::kWantRead:
      readable_ = false;
      return wait_readable();
    case IoResult::State::kFault:
      // The answer has begun: it cannot become an error any more.
      return violation("pool memory became inaccessible while it was sent");
    case IoResult::State::kEnded:
      return close("ended by the peer");
    case IoResult::State::kFailed:
      return close(stream_->error_text());
  }
}

// Receives once: payload straight into its windows where that is possible, the rest into the
// buffer. True: something moved.
bool StreamConnection::receive() {
  std::array<iovec, kReceivePiecesMax> targets;
  const size_t window_count = window_targets(std::span(targets).first(kReceivePiecesMax - 1));
  const size_t room_bytes = make_receive_room();
  targets[window_count] = {in_.get() + in_end_, room_bytes};
  const auto used = std::span(targets).first(window_count + 1);
  size_t asked_bytes = 0;
  for (const iovec& target : used) asked_bytes += target.iov_len;

  const IoResult result = stream_->receive(used);
  switch (result.state) {
    case IoResult::State::kMoved:
      received_bytes_ += result.bytes;
      if (result.bytes < asked_bytes) readable_ = false;  // the socket was emptied
      in_end_ += result.bytes - advance_windows(result.bytes, window_count > 0);
      return true;
    case IoResult::State::kWantRead:
      readable_ = false;
      return true;
    case IoResult::State::kWantWrite:
      wait_writable();
      return false;
    case IoResult::State::kFault:
      refuse(*receiving_, lost_memory());
      return true;
    case IoResult::State::kEnded:
      close("ended by the peer");
      return false;
    case IoResult::State::kFailed:
      close(stream_->error_text());
      return false;
  }
  return false;
}

size_t StreamConnection::make_receive_room() {
  if (in_at_ == in_end_) {
    in_at_ = in_end_ = 0;
  } else if (in_at_ > 0 && kReceiveBufferBytes - in_end_ < kReceiveBufferBytes / 2) {
    std::memmove(in_.get(), in_.get() + in_at_, in_end_ - in_at_);
    in_end_ -= in_at_;
    in_at_ = 0;
  }
  return kReceiveBufferBytes - in_end_;
}

bool StreamConnection::parsing_stopped() const {
  return in_flight_count_ >= limits_.in_flight_max ||
         out_.copied_bytes() >= limits_.buffered_bytes_max;
}

// ---- time

void StreamConnection::arm_tick() {
  timer_.expires_after(std::chrono::milliseconds(tick_ms(limits_)));
  timer_.async_wait([self = shared_from_this()](const asio::error_code& error) {
    if (error || self->stage_ == Stage::kClosed) return;
    self->on_tick();
  });
}

// Time is counted in ticks, not read from a clock: a daemon that was stopped for a while does not
// blame its peers for it.
void StreamConnection::on_tick() {
  ++tick_count_;
  const uint64_t hello_ticks = limits_.hello_timeout_ms / tick_ms(limits_);
  if (stage_ != Stage::kOpen && !ending_ && tick_count_ >= hello_ticks) {
    return violation("no Hello within " + std::to_string(limits_.hello_timeout_ms) + " ms");
  }
  const bool receiving =
      receiving_ != nullptr || (in_end_ > in_at_ && !parsing_stopped() && !ending_);
  if (is_overdue(receive_progress_, receiving, received_bytes_, frame_count_)) {
    return violation("a frame made no progress for " + std::to_string(limits_.progress_timeout_ms) +
                     " ms");
  }
  if (is_overdue(send_progress_, !out_.empty(), sent_bytes_, emptied_count_)) {
    // Without this the kernel would keep its full buffer for minutes after the close.
    const linger at_once = {.l_onoff = 1, .l_linger = 0};
    ::setsockopt(stream_->fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return violation("took no answers for " + std::to_string(limits_.progress_timeout_ms) + " ms");
  }
  arm_tick();
}

bool StreamConnection::is_overdue(Progress& progress, bool under_way, uint64_t bytes,
                                  uint64_t item) const {
  const bool moved = progress.since_tick == 0 || item != progress.item ||
                     bytes - progress.bytes >= kProgressBytesMin;
  if (!under_way) {
    progress.since_tick = 0;
  } else if (moved) {
    progress = {tick_count_, bytes, item};
  } else {
    const uint64_t ticks = limits_.progress_timeout_ms / tick_ms(limits_);
    return tick_count_ - progress.since_tick >= ticks;
  }
  return false;
}

// ---- end

void StreamConnection::begin_ending() {
  ending_ = true;
  if (receiving_ != nullptr) release(*std::exchange(receiving_, nullptr));
}

void StreamConnection::close_if_finished() {
  if (ending_ && in_flight_count_ == 0 && out_.empty()) close("finished");
}

void StreamConnection::violation(const std::string& what) {
  if (stage_ == Stage::kClosed) return;
  spdlog::warn("data connection from {} closed: {}", peer_.address, what);
  close(what);
}

void StreamConnection::close(const std::string& reason) {
  if (stage_ == Stage::kClosed) return;
  stage_ = Stage::kClosed;
  spdlog::debug("data connection from {} ended: {}", peer_.address, reason);
  timer_.cancel();
  if (descriptor_.is_open()) descriptor_.release();  // ends the waits; stream_ closes the socket
  stream_.reset();
  out_.clear(&sent_);
  for (const uint64_t slot : sent_) release(requests_[slot]);
  sent_.clear();
  if (receiving_ != nullptr) release(*std::exchange(receiving_, nullptr));
  if (handler_ != nullptr) handler_->disconnected();
  std::exchange(on_closed_, nullptr)();
}

}  // namespace pmshelf::transport
