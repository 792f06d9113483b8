// From bytes to completions: what the reader does with an answer.
#include <algorithm>
#include <cstring>
#include <utility>

#include "common/transport/stream/op_rules.h"
#include "common/transport/stream/stream_channel.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::kFrameHeaderBytes;
using wire::Op;

constexpr bool is_mutation(Op op) {
  return rules_of(op).takes_payload || op == Op::kAtomicWrite8 || op == Op::kFlush;
}

Error protocol_error(const std::string& what) {
  return {Code::kUnavailable, "the server broke the protocol: " + what};
}

}  // namespace

// Payload goes straight into its target, what follows into the buffer.
void StreamChannel::receive(Lock& lock, bool waits) {
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
  const auto used = std::span(targets).first(count);
  reader_waits_ = waits;
  lock.unlock();
  const IoResult result = waits ? stream_->receive_waiting(used) : stream_->receive(used);
  lock.lock();
  reader_waits_ = false;
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

}  // namespace pmshelf::transport
