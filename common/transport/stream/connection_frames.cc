// From bytes to requests.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <asio/post.hpp>

#include "common/base/check.h"
#include "common/base/endian.h"
#include "common/base/units.h"
#include "common/media/guard.h"
#include "common/transport/stream/connection.h"
#include "common/transport/stream/op_rules.h"
#include "common/transport/stream/request_checks.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::kFrameHeaderBytes;
using wire::Op;

}  // namespace

// ---- frames

void StreamConnection::parse() {
  while (stage_ != Stage::kClosed && !ending_) {
    if (receiving_ != nullptr) {
      if (!take_payload()) return;
    } else if (parsing_stopped() || !parse_frame()) {
      return;
    }
  }
}

// Takes one header and meta from the buffer. False: not all there, or the connection closed.
bool StreamConnection::parse_frame() {
  const size_t there_bytes = in_end_ - in_at_;
  if (there_bytes < kFrameHeaderBytes) return false;
  const std::span<const std::byte> bytes(in_.get() + in_at_, there_bytes);
  const auto header = wire::decode_header(bytes.first<kFrameHeaderBytes>());
  if (!header.ok()) {
    violation(header.error().message());
    return false;
  }
  if (there_bytes - kFrameHeaderBytes < header->meta_bytes) return false;
  const auto meta = bytes.subspan(kFrameHeaderBytes, header->meta_bytes);
  in_at_ += kFrameHeaderBytes + header->meta_bytes;
  ++frame_count_;
  if (stage_ == Stage::kHello) {
    on_hello_frame(*header, meta);
  } else if (!rules_of(header->op).request || (header->flags & wire::kFlagReply) != 0) {
    violation("op " + std::to_string(static_cast<int>(header->op)) + " is out of place");
  } else {
    on_request(*header, meta);
  }
  return stage_ != Stage::kClosed;
}

// Moves payload from the buffer to its windows, or drops it when the request was refused. False:
// more has to be received.
bool StreamConnection::take_payload() {
  while (payload_left_bytes_ > 0 && in_at_ < in_end_) {
    uint64_t part = std::min<uint64_t>(payload_left_bytes_, in_end_ - in_at_);
    if (receiving_->operation != nullptr) {
      const Window& window = receiving_->operation->windows()[window_index_];
      part = std::min(part, window.bytes - window_at_);
      if (!media::guarded_copy(window.data + window_at_, in_.get() + in_at_, part)) {
        refuse(*receiving_, lost_memory());
        continue;
      }
      advance_windows(part, true);
    } else {
      payload_left_bytes_ -= part;
    }
    in_at_ += part;
  }
  if (payload_left_bytes_ > 0) return false;
  run(*std::exchange(receiving_, nullptr));
  return true;
}

// The rest of the arriving payload's windows, when the kernel can fill them. Their number.
size_t StreamConnection::window_targets(std::span<iovec> targets) const {
  if (receiving_ == nullptr || receiving_->operation == nullptr ||
      !stream_->receives_into_pool_memory()) {
    return 0;
  }
  const auto windows = receiving_->operation->windows();
  size_t count = 0;
  uint64_t skip_bytes = window_at_;
  for (size_t index = window_index_; index < windows.size() && count < targets.size(); ++index) {
    const Window& window = windows[index];
    if (window.bytes > skip_bytes) {
      targets[count++] = {window.data + skip_bytes, window.bytes - skip_bytes};
    }
    skip_bytes = 0;
  }
  return count;
}

// Notes that `bytes` arrived, in the windows first when `direct`; how many of them went there.
uint64_t StreamConnection::advance_windows(uint64_t bytes, bool direct) {
  if (!direct) return 0;
  const auto windows = receiving_->operation->windows();
  uint64_t taken_bytes = 0;
  while (payload_left_bytes_ > 0 && taken_bytes < bytes) {
    const uint64_t part = std::min(bytes - taken_bytes, windows[window_index_].bytes - window_at_);
    taken_bytes += part;
    payload_left_bytes_ -= part;
    window_at_ += part;
    skip_full_windows();
  }
  return taken_bytes;
}

void StreamConnection::skip_full_windows() {
  const auto windows = receiving_->operation->windows();
  while (window_index_ < windows.size() && window_at_ == windows[window_index_].bytes) {
    ++window_index_;
    window_at_ = 0;
  }
}

// ---- handshake

void StreamConnection::send_challenge() {
  const std::string meta = wire::encode_challenge(handler_->challenge());
  FrameHeader header;
  header.op = Op::kChallenge;
  header.meta_bytes = static_cast<uint32_t>(meta.size());
  append_header(header);
  out_.append_text(meta);
}

void StreamConnection::on_hello_frame(const FrameHeader& header, std::span<const std::byte> meta) {
  const bool plain = header.flags == 0 && header.payload_bytes == 0;
  if (plain && header.op == Op::kHello) return on_hello(header, meta);
  const bool may_ask = peer_.local && !token_given_ && meta.empty();
  if (plain && header.op == Op::kPeerToken && may_ask) return on_peer_token(header);
  violation("op " + std::to_string(static_cast<int>(header.op)) + " before Hello");
}

void StreamConnection::on_hello(const FrameHeader& header, std::span<const std::byte> meta) {
  const auto hello = wire::decode_hello(meta);
  if (!hello.ok()) return violation(hello.error().message());
  if (hello->protocol_version != wire::Hello{}.protocol_version) {
    return end_with(header, Error(Code::kUnsupported, "protocol version " +
                                                          std::to_string(hello->protocol_version) +
                                                          " is not spoken here, only 1"));
  }
  const auto answer = handler_->hello(*hello);
  if (!answer.ok()) return end_with(header, answer.error());
  append_plain_answer(header, Code::kOk, wire::encode_hello_reply(*answer));
  stage_ = Stage::kOpen;
}

void StreamConnection::on_peer_token(const FrameHeader& header) {
  token_given_ = true;
  const auto token = handler_->peer_token();
  if (!token.ok()) return end_with(header, token.error());
  append_plain_answer(header, Code::kOk, *token);
}

// Answers with the error, and closes once the answer left.
void StreamConnection::end_with(const FrameHeader& header, const Error& error) {
  spdlog::warn("data connection from {} refused: {}", peer_.address, error.to_string());
  append_error(header, error);
  begin_ending();
}

// ---- requests

void StreamConnection::on_request(const FrameHeader& header, std::span<const std::byte> meta) {
  Request& request = acquire();
  request.header = header;
  if (auto status = admit(request, meta); !status.ok()) refuse(request, std::move(status).error());
  payload_left_bytes_ = in_ring(header) ? 0 : header.payload_bytes;
  if (payload_left_bytes_ == 0) return run(request);
  receiving_ = &request;
  window_index_ = 0;
  window_at_ = 0;
  if (request.operation != nullptr) skip_full_windows();
}

// Asks the handler, after the checks that are the same for all of them.
Status StreamConnection::admit(Request& request, std::span<const std::byte> meta) {
  const FrameHeader& header = request.header;
  const OpRules rules = rules_of(header.op);
  if (rules.local_only && !peer_.local) {
    return Error(Code::kUnsupported, "op: only on a Unix socket");
  }
  if ((header.flags & ~rules.flags) != 0) return invalid("flags: not for this op");
  if (!rules.takes_payload && header.payload_bytes != 0) {
    return invalid("payload_bytes: this op takes none");
  }
  if (in_ring(header)) PMSHELF_TRY(take_ring_position(request, meta));
  if (header.op == Op::kRing && ring_.exists()) {
    return invalid("op: this connection has its ring already");
  }
  PMSHELF_TRY_ASSIGN(request.operation, handler_->begin(header, meta));
  const uint64_t window_bytes = sum_bytes(request.operation->windows());
  if (rules.takes_payload && window_bytes != header.payload_bytes) {
    return invalid("payload_bytes: " + std::to_string(header.payload_bytes) +
                   ", but the request covers " + std::to_string(window_bytes));
  }
  return {};
}

Status StreamConnection::take_ring_position(Request& request, std::span<const std::byte>& meta) {
  if (!ring_.exists()) return invalid("flags: this connection has no ring");
  if (meta.size() < sizeof(uint64_t)) return invalid("meta: the position in the ring is missing");
  request.ring_position = load_le<uint64_t>(meta.data());
  meta = meta.subspan(sizeof(uint64_t));
  if (!range_inside(request.ring_position, request.header.payload_bytes, ring_.bytes())) {
    return Error(Code::kOutOfRange, "meta: position + payload_bytes is beyond the ring");
  }
  return {};
}

// The request is answered with the error; its payload, or the rest of it, is dropped.
void StreamConnection::refuse(Request& request, Error error) {
  request.operation.reset();
  request.reply.status = std::move(error);
}

void StreamConnection::run(Request& request) {
  if (request.operation != nullptr && in_ring(request.header)) {
    if (auto status = empty_ring(request); !status.ok()) refuse(request, std::move(status).error());
  }
  if (request.operation == nullptr) return finish(request);
  request.keep_alive = shared_from_this();
  request.in_run = true;
  // Small enough for std::function to hold without the heap.
  request.operation->run([request = &request](Operation::Reply reply) {
    request->connection->on_done(*request, std::move(reply));
  });
  request.in_run = false;
  if (request.replied) finish(request);
}

// Any thread. The request keeps the connection alive.
void StreamConnection::on_done(Request& request, Operation::Reply reply) {
  if (!io_.get_executor().running_in_this_thread()) {
    // Whoever calls has the only reference to the request now.
    asio::post(
        io_, [self = std::move(request.keep_alive), &request, reply = std::move(reply)]() mutable {
          StreamConnection* const connection = self.get();
          request.keep_alive = std::move(self);
          connection->on_done(request, std::move(reply));
        });
    return;
  }
  PMSHELF_CHECK(!request.replied);
  request.reply = std::move(reply);
  request.replied = true;
  if (request.in_run) return;  // run() goes on with it
  const auto self = request.keep_alive;
  finish(request);
  schedule_pump();
}

StreamConnection::Request& StreamConnection::acquire() {
  if (free_slots_.empty()) {
    requests_.emplace_back();
    requests_.back().connection = this;
    requests_.back().slot = static_cast<uint32_t>(requests_.size() - 1);
    free_slots_.push_back(requests_.back().slot);
  }
  Request& request = requests_[free_slots_.back()];
  free_slots_.pop_back();
  ++in_flight_count_;
  return request;
}

void StreamConnection::release(Request& request) {
  request.operation.reset();
  request.reply = {};
  request.ring_position = 0;
  request.replied = false;
  free_slots_.push_back(request.slot);
  --in_flight_count_;
}

}  // namespace pmshelf::transport
