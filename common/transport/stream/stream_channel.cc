// Submitting: checks, queue, sending.
#include "common/transport/stream/stream_channel.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/check.h"
#include "common/base/endian.h"
#include "common/transport/stream/channel_link.h"
#include "common/transport/stream/op_rules.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::kFrameHeaderBytes;
using wire::Op;

// Within a DriveScope, requests gather up to this much before they are sent.
constexpr size_t kGatheredBytesMax = 256 * 1024;
// Smaller payloads travel in the stream even where there is a ring.
constexpr uint64_t kRingPayloadBytesMin = 16 * 1024;

Error invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

uint16_t durability_flags(Durability durability) {
  return durability == Durability::kVisible ? wire::kFlagVisibleOnly : 0;
}

}  // namespace

Result<std::unique_ptr<Channel>> StreamChannel::make(StreamChannelParts parts) {
  UniqueFd wake_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_fd) {
    return Error(Code::kResourceExhausted, std::string("eventfd: ") + std::strerror(errno));
  }
  return std::unique_ptr<Channel>(
      std::make_unique<StreamChannel>(std::move(parts), std::move(wake_fd)));
}

StreamChannel::StreamChannel(StreamChannelParts parts, UniqueFd wake_fd)
    : capabilities_(parts.capabilities),
      path_(parts.path),
      stream_(std::move(parts.stream)),
      may_wait_(stream_->allow_waiting(kWaitMs)),
      wake_fd_(std::move(wake_fd)),
      ring_(std::move(parts.ring)),
      ring_space_(ring_.bytes()),
      link_(std::make_shared<Link>(this)) {}

StreamChannel::~StreamChannel() {
  link_->cut();
  close();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    background_wake_.notify_all();
  }
  if (background_.joinable()) background_.join();
}

bool StreamChannel::connected() const {
  const std::lock_guard lock(mutex_);
  return !broken_ && !send_failed_;
}

// ---- the operations

StreamChannel::Submission StreamChannel::submission(Op op, wire::GrantId grant,
                                                    AnyDone done) const {
  Submission result;
  result.header.op = op;
  result.header.grant = grant;
  result.done = std::move(done);
  return result;
}

void StreamChannel::read(wire::GrantId grant, uint64_t offset, std::span<std::byte> target,
                         Done done) {
  Submission request = submission(Op::kRead, grant, std::move(done));
  request.header.offset = offset;
  request.header.length = target.size();
  request.target = target;
  submit(std::move(request));
}

void StreamChannel::write(wire::GrantId grant, uint64_t offset, std::span<const std::byte> source,
                          Durability durability, Done done) {
  Submission request = submission(Op::kWrite, grant, std::move(done));
  request.header.offset = offset;
  request.header.length = source.size();
  request.header.flags = durability_flags(durability);
  request.source = source;
  submit(std::move(request));
}

void StreamChannel::flush(wire::GrantId grant, uint64_t offset, uint64_t bytes, Done done) {
  Submission request = submission(Op::kFlush, grant, std::move(done));
  request.header.offset = offset;
  request.header.length = bytes;
  submit(std::move(request));
}

void StreamChannel::atomic_write8(wire::GrantId grant, uint64_t offset, uint64_t value, Done done) {
  Submission request = submission(Op::kAtomicWrite8, grant, std::move(done));
  request.header.offset = offset;
  request.header.length = value;
  submit(std::move(request));
}

// `buffer_bytes` is what the ranges must add up to.
void StreamChannel::submit_ranges(Submission request, std::span<const wire::Range> ranges,
                                  uint64_t buffer_bytes) {
  if (ranges.size() > wire::kFrameRangesMax) {
    return fail(std::move(request.done), invalid("ranges: at most 1024 in a request"));
  }
  uint64_t left_bytes = buffer_bytes;
  bool fits = true;
  for (const wire::Range& range : ranges) {
    fits = fits && range.length <= left_bytes;
    left_bytes -= fits ? range.length : 0;
  }
  if (!fits || left_bytes != 0) {
    return fail(std::move(request.done), invalid("ranges: they do not add up to the buffer"));
  }
  request.meta = wire::encode_ranges(ranges);
  submit(std::move(request));
}

void StreamChannel::read_ranges(wire::GrantId grant, std::span<const wire::Range> ranges,
                                std::span<std::byte> target, Done done) {
  Submission request = submission(Op::kReadRanges, grant, std::move(done));
  request.target = target;
  submit_ranges(std::move(request), ranges, target.size());
}

void StreamChannel::write_ranges(wire::GrantId grant, std::span<const wire::Range> ranges,
                                 std::span<const std::byte> source, Durability durability,
                                 Done done) {
  Submission request = submission(Op::kWriteRanges, grant, std::move(done));
  request.header.flags = durability_flags(durability);
  request.source = source;
  submit_ranges(std::move(request), ranges, source.size());
}

void StreamChannel::transact(const wire::TransactMeta& meta, std::span<const std::byte> source,
                             Done done) {
  Submission request = submission(Op::kTransact, {}, std::move(done));
  if (meta.ranges.size() > wire::kFrameRangesMax) {
    return fail(std::move(request.done), invalid("ranges: at most 1024 in a request"));
  }
  request.meta = wire::encode_transact_meta(meta);
  request.source = source;
  submit(std::move(request));
}

void StreamChannel::put(uint64_t shelf_handle, const wire::PutMeta& meta, bool if_absent,
                        std::span<const std::byte> value, Done done) {
  Submission request = submission(Op::kPut, {0, shelf_handle}, std::move(done));
  if (meta.name.size() > UINT16_MAX || meta.attributes.size() > wire::kFrameMetaBytesMax) {
    return fail(std::move(request.done), invalid("name or attributes: over 64 KiB"));
  }
  request.header.flags = if_absent ? wire::kFlagIfAbsent : 0;
  request.header.length = value.size();
  request.meta = wire::encode_put_meta(meta);
  request.source = value;
  submit(std::move(request));
}

void StreamChannel::get(uint64_t shelf_handle, std::string_view name, std::span<std::byte> target,
                        GetDone done) {
  Submission request = submission(Op::kGet, {0, shelf_handle}, std::move(done));
  request.target = target.first(std::min<uint64_t>(target.size(), capabilities_.request_bytes_max));
  request.header.length = request.target.size();
  request.meta = name;
  submit(std::move(request));
}

void StreamChannel::ping(Done done) { submit(submission(Op::kPing, {}, std::move(done))); }

// ---- submitting

Status StreamChannel::check(const Submission& submission) const {
  const uint64_t bytes = std::max(submission.source.size(), submission.target.size());
  if (bytes > capabilities_.request_bytes_max) {
    return invalid("a request carries at most " + std::to_string(capabilities_.request_bytes_max) +
                   " bytes, not " + std::to_string(bytes));
  }
  // The position in the ring may be added.
  if (submission.meta.size() + sizeof(uint64_t) > wire::kFrameMetaBytesMax) {
    return invalid("names, attributes and ranges of a request: over 64 KiB together");
  }
  return {};
}

void StreamChannel::fail(AnyDone done, Error error) {
  Lock lock(mutex_);
  ready_.push_back({std::move(done), std::move(error), {}, {}});
  after_submit(lock);
}

void StreamChannel::submit(Submission request) {
  if (auto status = check(request); !status.ok()) {
    return fail(std::move(request.done), std::move(status).error());
  }
  Lock lock(mutex_);
  if (broken_ || send_failed_) {
    ready_.push_back(
        {std::move(request.done), Error(Code::kUnavailable, error_.message()), {}, {}});
  } else if (in_flight_count_ < capabilities_.in_flight_max && queued_.empty()) {
    dispatch(std::move(request));
  } else if (queued_.size() < capabilities_.queued_requests_max) {
    queued_.push_back(std::move(request));
  } else {
    ready_.push_back({std::move(request.done),
                      Error(Code::kResourceExhausted, "too many requests wait on this connection"),
                      {},
                      {}});
  }
  after_submit(lock);
}

// Sends now, unless somebody will in a moment: this thread, which is running completions or is
// about to drive.
void StreamChannel::after_submit(Lock&) {
  if (is_completing()) return;
  const bool gathering = scope_count_ > driver_count_ && out_.bytes() < kGatheredBytesMax;
  if (!gathering) send_gathered();
}

// Sends what there is, and sees to it that somebody goes on where the socket takes no more.
void StreamChannel::send_gathered() {
  flush_out();
  if (!ready_.empty() || (!out_.empty() && !reader_polls_out_)) kick();
  wake_background();
}

void StreamChannel::flush_out() {
  if (out_.empty() || send_failed_) return;
  const size_t before_bytes = out_.bytes();
  const IoResult result = out_.flush(*stream_, nullptr);
  sent_bytes_ += before_bytes - out_.bytes();
  complete_sent();
  switch (result.state) {
    case IoResult::State::kMoved:
    case IoResult::State::kWantWrite:
    case IoResult::State::kWantRead:
      return;
    case IoResult::State::kFault:
      error_ = Error(Code::kIo, "the memory to send from cannot be read");
      break;
    case IoResult::State::kEnded:
    case IoResult::State::kFailed:
      error_ = Error(Code::kUnavailable, "connection lost: " + stream_->error_text());
      break;
  }
  // Answers may be on their way still: the reader goes on until the end of the stream.
  send_failed_ = true;
  ::shutdown(stream_->fd(), SHUT_WR);
}

// Moves waiting requests into flight as answers made room.
void StreamChannel::send_next(Lock&) {
  while (!queued_.empty() && in_flight_count_ < capabilities_.in_flight_max && !broken_ &&
         !send_failed_) {
    Submission next = std::move(queued_.front());
    queued_.pop_front();
    dispatch(std::move(next));
  }
}

uint32_t StreamChannel::acquire_slot() {
  if (free_slots_.empty()) {
    pending_.emplace_back();
    free_slots_.push_back(static_cast<uint32_t>(pending_.size() - 1));
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  ++in_flight_count_;
  return slot;
}

// Puts the request into the table and into the send queue.
void StreamChannel::dispatch(Submission request) {
  const uint32_t slot = acquire_slot();
  Pending& pending = pending_[slot];
  pending.active = true;
  ++pending.generation;
  pending.op = request.header.op;
  pending.target = request.target;
  pending.done = std::move(request.done);
  use_ring(request, pending);

  FrameHeader& header = request.header;
  header.tag = uint64_t{pending.generation} << 32 | slot;
  header.payload_bytes = static_cast<uint32_t>(request.source.size());
  header.meta_bytes =
      static_cast<uint32_t>(request.meta.size() + (pending.in_ring ? sizeof(uint64_t) : 0));
  pending.begin_sent = queued_bytes_;
  const size_t before_bytes = out_.bytes();
  std::byte* at = out_.append(kFrameHeaderBytes + header.meta_bytes);
  wire::encode_header(header, std::span<std::byte, kFrameHeaderBytes>(at, kFrameHeaderBytes));
  at += kFrameHeaderBytes;
  if (pending.in_ring) {
    store_le<uint64_t>(at, pending.ring_position);
    at += sizeof(uint64_t);
  }
  std::memcpy(at, request.meta.data(), request.meta.size());
  const auto source = request.source;
  if (!pending.in_ring && !source.empty()) {
    if (source.size() <= kCopiedPayloadBytesMax) {
      std::memcpy(out_.append(source.size()), source.data(), source.size());
    } else {
      out_.append_reference(source, SendQueue::kNoOwner);
    }
  }
  queued_bytes_ += out_.bytes() - before_bytes;
  pending.end_sent = queued_bytes_;
}

// Large payloads go through the ring while it has room.
void StreamChannel::use_ring(Submission& request, Pending& pending) {
  const uint64_t bytes = std::max(request.source.size(), request.target.size());
  pending.in_ring = false;
  if (!ring_.exists() || bytes < kRingPayloadBytesMin) return;
  const auto position = ring_space_.take(bytes);
  if (!position) return;
  pending.in_ring = true;
  pending.ring_position = *position;
  pending.ring_bytes = bytes;
  request.header.flags |= wire::kFlagInRing;
  if (!request.source.empty()) {
    std::memcpy(ring_.data() + *position, request.source.data(), request.source.size());
  }
}

}  // namespace pmshelf::transport
