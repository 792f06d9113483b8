// From replies to bytes.
#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/media/guard.h"
#include "common/transport/stream/connection.h"
#include "common/transport/stream/limits.h"
#include "common/transport/stream/op_rules.h"
#include "common/transport/stream/request_checks.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::kFrameHeaderBytes;
using wire::Op;

constexpr size_t kErrorTextBytesMax = 1024;
constexpr uint64_t kPageBytes = 4096;

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

// An answer of nothing but a status and a text.
void StreamConnection::append_plain_answer(const FrameHeader& request, Code code,
                                           std::string_view text) {
  FrameHeader header = reply_header(request, {});
  header.status = static_cast<uint16_t>(code);
  header.meta_bytes = static_cast<uint32_t>(text.size());
  append_header(header);
  out_.append_text(text);
}

void StreamConnection::append_error(const FrameHeader& request, const Error& error) {
  append_plain_answer(request, error.code(), shortened(error.message()));
}

}  // namespace pmshelf::transport
