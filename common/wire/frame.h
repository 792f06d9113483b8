// Data-plane frames: one 64-byte header, then `meta_bytes`, then `payload_bytes`
// (docs/protocol.md, "Data plane").
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pmshelf/result.h"

namespace pmshelf::wire {

inline constexpr uint16_t kFrameMagic = 0x5350;  // bytes 'P' 'S'
inline constexpr uint8_t kFrameVersion = 1;
inline constexpr uint32_t kFrameHeaderBytes = 64;
inline constexpr uint32_t kFrameMetaBytesMax = 64 * 1024;
inline constexpr uint32_t kFramePayloadBytesMax = 8 * 1024 * 1024;
inline constexpr uint32_t kFrameRangesMax = 1024;

enum class Op : uint8_t {
  kChallenge = 1,  // server -> client, first frame: meta = Challenge
  kHello = 2,      // meta = Hello; answer meta = HelloReply
  kPing = 3,
  kRead = 4,          // grant, offset, length -> payload
  kWrite = 5,         // grant, offset, payload; durable when answered unless kFlagVisibleOnly
  kFlush = 6,         // grant, offset, length
  kAtomicWrite8 = 7,  // grant, offset (multiple of 8), length = the value; durable when answered
  kReadRanges = 8,    // grant, meta = ranges -> payload, concatenated
  kWriteRanges = 9,   // grant, meta = ranges, payload concatenated; as kWrite
  kPut = 10,          // grant.low = shelf handle; meta = PutMeta; payload = the whole value
  kGet = 11,          // grant.low = shelf handle; meta = name -> meta = GetMeta, payload
  kTransact = 12,     // meta = transaction ranges; payload concatenated; all or nothing, durable
  // Same-host stream only:
  kMap = 13,        // grant -> offset, length in the file whose descriptor travels with the answer
  kUnmap = 14,      // grant: the client holds no address of it any more
  kRing = 15,       // length = bytes -> descriptor of a sealed memfd; payloads may then sit in it
  kPeerToken = 16,  // before kHello: -> meta = one-time bearer token for Sessions.Open
  kNotice = 17,     // server -> client, unasked, tag 0: offset = NoticeKind, grant
};
inline constexpr uint8_t kOpMax = 17;

// Bits of `flags`.
inline constexpr uint16_t kFlagReply = 1;        // this frame answers `tag`
inline constexpr uint16_t kFlagVisibleOnly = 2;  // write: answer when visible, do not flush
inline constexpr uint16_t kFlagInRing =
    4;  // payload is in the memfd ring: meta starts with u64 position
inline constexpr uint16_t kFlagIfAbsent = 8;  // put: kAlreadyExists when the name is taken
inline constexpr uint16_t kFlagsKnown = 15;

enum class NoticeKind : uint8_t {
  kRevoked = 1,   // stop using the grant; unmap and answer with kUnmap if it was mapped
  kDraining = 2,  // the daemon is about to end: finish and leave
};

// 128-bit name of a grant, unguessable; or {0, handle} for shelf operations.
struct GrantId {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const GrantId&) const = default;
};

// Byte table in docs/protocol.md. status is a pmshelf::Code; a reply with status != 0 carries the
// message as meta (UTF-8).
struct FrameHeader {
  Op op = Op::kPing;
  uint16_t status = 0;
  uint16_t flags = 0;
  uint64_t tag = 0;
  GrantId grant;
  uint64_t offset = 0;
  uint64_t length = 0;
  uint32_t meta_bytes = 0;
  uint32_t payload_bytes = 0;
  bool operator==(const FrameHeader&) const = default;
};

// Writes exactly kFrameHeaderBytes, header CRC included.
void encode_header(const FrameHeader& header, std::span<std::byte, kFrameHeaderBytes> out);
// kInvalidArgument (the message names the field): magic, version, CRC, unknown op, reserved bits,
// meta or payload over the limits. Such a stream cannot be resynchronised: close it.
Result<FrameHeader> decode_header(std::span<const std::byte, kFrameHeaderBytes> bytes);

struct Range {
  uint64_t offset = 0;
  uint64_t length = 0;
  bool operator==(const Range&) const = default;
};
struct GrantRange {
  GrantId grant;
  Range range;
  bool operator==(const GrantRange&) const = default;
};

// Meta encodings. Every decoder checks counts, lengths, overflow of sums and trailing bytes, and
// returns kInvalidArgument naming the field; none allocates more than the meta's own size x 4.
std::string encode_ranges(std::span<const Range> ranges);
Result<std::vector<Range>> decode_ranges(std::span<const std::byte> meta);
struct TransactMeta {
  uint64_t request_high = 0, request_low = 0;
  std::vector<GrantRange> ranges;
};
std::string encode_transact_meta(const TransactMeta& meta);
Result<TransactMeta> decode_transact_meta(std::span<const std::byte> meta);

struct PutMeta {
  uint64_t request_high = 0, request_low = 0;
  std::string_view name;        // views into the frame
  std::string_view attributes;  // encoded attributes (docs/format.md), may be empty
};
std::string encode_put_meta(const PutMeta& meta);
Result<PutMeta> decode_put_meta(std::span<const std::byte> meta);

struct GetMeta {
  uint64_t region_id = 0;
  uint64_t total_bytes = 0;  // length of the value; payload is its first part, up to the limit
  std::string_view attributes;
};
std::string encode_get_meta(const GetMeta& meta);
Result<GetMeta> decode_get_meta(std::span<const std::byte> meta);

}  // namespace pmshelf::wire
