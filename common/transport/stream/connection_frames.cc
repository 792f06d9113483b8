// From bytes to requests, and from replies to bytes.
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "common/base/check.h"
#include "common/base/endian.h"
#include "common/base/units.h"
#include "common/media/guard.h"
#include "common/transport/stream/connection.h"
#include "common/transport/stream/limits.h"
#include "common/transport/stream/op_rules.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::kFrameHeaderBytes;
using wire::Op;

constexpr size_t kErrorTextBytesMax = 1024;
constexpr uint64_t kPageBytes = 4096;

Error invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

Error lost_memory() { return {Code::kIo, "the region's memory became inaccessible"}; }

uint64_t sum_bytes(std::span<const Window> windows) {
  uint64_t total_bytes = 0;
  for (const Window& window : windows) total_bytes += window.bytes;
  return total_bytes;
}

bool in_ring(const FrameHeader& header) { return (header.flags & wire::kFlagInRing) != 0; }

// Touches every page, so that a file that was truncated shows before its answer has begun.
bool is_accessible(const Window& window) {
  return media::guarded([&] {
    const volatile std::byte* data = window.data;
    for (uint64_t at = 0; at < window.bytes; at += kPageBytes) static_cast<void>(data[at]);
    if (window.bytes > 0) static_cast<void>(data[window.bytes - 1]);
  });
}

// At most kErrorTextBytesMax, cut between characters of UTF-8.
std::string_view shortened(std::string_view text) {
  if (text.size() <= kErrorTextBytesMax) return text;
  size_t bytes = kErrorTextBytesMax;
  while (bytes > 0 && (static_cast<uint8_t>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

FrameHeader reply_header(const FrameHeader& request, const FrameHeader& reply) {
  FrameHeader header = reply;
  header.op = request.op;
  header.tag = request.tag;
  header.status = 0;
  header.flags = wire::kFlagReply;
  header.meta_bytes = header.payload_bytes = 0;
  return header;
}

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
  const std::string text = wire::encode_hello_reply(*answer);
  FrameHeader reply = reply_header(header, {});
  reply.meta_bytes = static_cast<uint32_t>(text.size());
  append_header(reply);
  out_.append_text(text);
  stage_ = Stage::kOpen;
}

void StreamConnection::on_peer_token(const FrameHeader& header) {
  token_given_ = true;
  const auto token = handler_->peer_token();
  if (!token.ok()) return end_with(header, token.error());
  FrameHeader reply = reply_header(header, {});
  reply.meta_bytes = static_cast<uint32_t>(token->size());
  append_header(reply);
  out_.append_text(*token);
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

// ---- answers

void StreamConnection::finish(Request& request) {
  const auto self = std::move(request.keep_alive);  // may be the last
  if (stage_ == Stage::kClosed) return release(request);
  if (request.reply.status.ok() && request.header.op == Op::kRing) {
    request.reply.status = make_ring(request);
  }
  if (request.reply.status.ok()) {
    const auto sent = append_answer(request);
    if (sent.ok() && *sent == Answer::kReferenced) return;  // released when it left
    if (!sent.ok()) request.reply.status = sent.error();
  }
  if (!request.reply.status.ok()) append_error(request.header, request.reply.status.error());
  release(request);
}

Status StreamConnection::make_ring(Request& request) {
  if (ring_.exists()) return invalid("op: this connection has its ring already");
  PMSHELF_TRY_ASSIGN(ring_, SharedRing::create(request.header.length));
  request.reply.fd = ring_.fd();
  return {};
}

// Puts the answer into the send queue. On an error nothing was put there.
Result<StreamConnection::Answer> StreamConnection::append_answer(Request& request) {
  const Operation::Reply& reply = request.reply;
  FrameHeader header = reply_header(request.header, reply.header);
  if (reply.meta.size() > wire::kFrameMetaBytesMax) {
    return Error(Code::kInternal, "the answer's meta is over the limit");
  }
  header.meta_bytes = static_cast<uint32_t>(reply.meta.size());
  const bool gives = rules_of(request.header.op).gives_payload;
  const uint64_t payload_bytes = gives ? sum_bytes(request.operation->windows()) : 0;
  if (payload_bytes > wire::kFramePayloadBytesMax) {
    return Error(Code::kInternal, "the answer's payload is over the limit");
  }
  header.payload_bytes = static_cast<uint32_t>(payload_bytes);
  if (payload_bytes == 0) {
    if (reply.fd >= 0) PMSHELF_TRY(append_descriptor(reply.fd));
    append_header(header);
    out_.append_text(reply.meta);
    return Answer::kCopied;
  }
  if (in_ring(request.header)) {
    PMSHELF_TRY(fill_ring(request, payload_bytes));
    header.flags |= wire::kFlagInRing;
    append_header(header);
    out_.append_text(reply.meta);
    return Answer::kCopied;
  }
  if (payload_bytes <= kCopiedPayloadBytesMax) return append_copied(request, header);
  return append_referenced(request, header);
}

Result<StreamConnection::Answer> StreamConnection::append_copied(const Request& request,
                                                                 const FrameHeader& header) {
  const std::string& meta = request.reply.meta;
  const size_t frame_bytes = kFrameHeaderBytes + meta.size() + header.payload_bytes;
  std::byte* at = out_.append(frame_bytes);
  wire::encode_header(header, std::span<std::byte, kFrameHeaderBytes>(at, kFrameHeaderBytes));
  at += kFrameHeaderBytes;
  std::memcpy(at, meta.data(), meta.size());
  at += meta.size();
  for (const Window& window : request.operation->windows()) {
    if (!media::guarded_copy(at, window.data, window.bytes)) {
      out_.take_back(frame_bytes);
      return lost_memory();
    }
    at += window.bytes;
  }
  return Answer::kCopied;
}

Result<StreamConnection::Answer> StreamConnection::append_referenced(const Request& request,
                                                                     const FrameHeader& header) {
  const auto windows = request.operation->windows();
  size_t last = 0;
  for (size_t i = 0; i < windows.size(); ++i) {
    if (!is_accessible(windows[i])) return lost_memory();
    if (windows[i].bytes > 0) last = i;
  }
  append_header(header);
  out_.append_text(request.reply.meta);
  for (size_t i = 0; i <= last; ++i) {
    if (windows[i].bytes == 0) continue;
    out_.append_reference({windows[i].data, windows[i].bytes},
                          i == last ? request.slot : SendQueue::kNoOwner);
  }
  return Answer::kReferenced;
}

Status StreamConnection::fill_ring(const Request& request, uint64_t payload_bytes) {
  if (!range_inside(request.ring_position, payload_bytes, ring_.bytes())) {
    return Error(Code::kOutOfRange, "meta: position + length is beyond the ring");
  }
  std::byte* at = ring_.data() + request.ring_position;
  for (const Window& window : request.operation->windows()) {
    if (!media::guarded_copy(at, window.data, window.bytes)) return lost_memory();
    at += window.bytes;
  }
  return {};
}

// Moves a request's payload from the ring to its windows.
Status StreamConnection::empty_ring(const Request& request) {
  if (!rules_of(request.header.op).takes_payload) return {};
  const std::byte* at = ring_.data() + request.ring_position;
  for (const Window& window : request.operation->windows()) {
    if (!media::guarded_copy(window.data, at, window.bytes)) return lost_memory();
    at += window.bytes;
  }
  return {};
}

// A copy of the descriptor travels with the next byte that is appended.
Status StreamConnection::append_descriptor(int fd) {
  PMSHELF_CHECK(peer_.local);
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) {
    return Error(Code::kResourceExhausted,
                 std::string("descriptor to pass: ") + std::strerror(errno));
  }
  out_.append_fd(std::move(copy));
  return {};
}

void StreamConnection::append_header(const FrameHeader& header) {
  std::byte* at = out_.append(kFrameHeaderBytes);
  wire::encode_header(header, std::span<std::byte, kFrameHeaderBytes>(at, kFrameHeaderBytes));
}

void StreamConnection::append_error(const FrameHeader& request, const Error& error) {
  const std::string_view text = shortened(error.message());
  FrameHeader header = reply_header(request, {});
  header.status = static_cast<uint16_t>(error.code());
  header.meta_bytes = static_cast<uint32_t>(text.size());
  append_header(header);
  out_.append_text(text);
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
