#include "common/wire/frame.h"

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/endian.h"
#include "common/base/units.h"
#include "common/wire/writer.h"

namespace pmshelf::wire {
namespace {

constexpr size_t kCrcAt = 60;
constexpr size_t kRangesHeaderBytes = 8;
constexpr size_t kRangeBytes = 16;
constexpr size_t kTransactHeaderBytes = 24;
constexpr size_t kGrantRangeBytes = 32;
constexpr size_t kPutHeaderBytes = 24;
constexpr size_t kGetHeaderBytes = 16;
static_assert(kTransactHeaderBytes + kFrameRangesMax * kGrantRangeBytes <= kFrameMetaBytesMax);
static_assert(kCrcAt + sizeof(uint32_t) == kFrameHeaderBytes);

Error invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

std::string_view view_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Range load_range(const std::byte* at) { return {load_le<uint64_t>(at), load_le<uint64_t>(at + 8)}; }

// The count of a list whose header ends with `count u32, reserved u32`.
Result<uint32_t> decode_count(std::span<const std::byte> meta, size_t header_bytes,
                              size_t entry_bytes) {
  if (meta.size() < header_bytes) return invalid("ranges: meta is too short");
  const auto count = load_le<uint32_t>(meta.data() + header_bytes - 8);
  if (load_le<uint32_t>(meta.data() + header_bytes - 4) != 0) {
    return invalid("ranges: reserved bits are set");
  }
  if (count > kFrameRangesMax) {
    return invalid("ranges: count " + std::to_string(count) + " is over " +
                   std::to_string(kFrameRangesMax));
  }
  if (meta.size() != header_bytes + count * entry_bytes) {
    return invalid("ranges: meta_bytes does not match count");
  }
  return count;
}

// Adds a range to the payload total; refuses what no frame could carry.
Status add_range(const Range& range, uint64_t* total_bytes) {
  if (range.offset + range.length < range.offset) {
    return invalid("ranges: offset + length overflows");
  }
  if (!range_inside(*total_bytes, range.length, kFramePayloadBytesMax)) {
    return invalid("ranges: lengths add up to more than " + std::to_string(kFramePayloadBytesMax) +
                   " bytes");
  }
  *total_bytes += range.length;
  return {};
}

Status check_header_fields(const FrameHeader& header, std::span<const std::byte> bytes) {
  const auto op = load_le<uint8_t>(bytes.data() + 3);
  if (op == 0 || op > kOpMax) return invalid("op: " + std::to_string(op) + " is unknown");
  if ((header.flags & ~kFlagsKnown) != 0) return invalid("flags: reserved bits are set");
  if ((header.flags & kFlagReply) == 0 && header.status != 0) {
    return invalid("status: not zero in a request");
  }
  if (load_le<uint32_t>(bytes.data() + 56) != 0) return invalid("reserved: not zero");
  if (header.meta_bytes > kFrameMetaBytesMax) {
    return invalid("meta_bytes: over " + std::to_string(kFrameMetaBytesMax));
  }
  if (header.payload_bytes > kFramePayloadBytesMax) {
    return invalid("payload_bytes: over " + std::to_string(kFramePayloadBytesMax));
  }
  return {};
}

}  // namespace

void encode_header(const FrameHeader& header, std::span<std::byte, kFrameHeaderBytes> out) {
  std::byte* at = out.data();
  store_le<uint16_t>(at, kFrameMagic);
  store_le<uint8_t>(at + 2, kFrameVersion);
  store_le<uint8_t>(at + 3, static_cast<uint8_t>(header.op));
  store_le<uint16_t>(at + 4, header.status);
  store_le<uint16_t>(at + 6, header.flags);
  store_le<uint64_t>(at + 8, header.tag);
  store_le<uint64_t>(at + 16, header.grant.high);
  store_le<uint64_t>(at + 24, header.grant.low);
  store_le<uint64_t>(at + 32, header.offset);
  store_le<uint64_t>(at + 40, header.length);
  store_le<uint32_t>(at + 48, header.meta_bytes);
  store_le<uint32_t>(at + 52, header.payload_bytes);
  store_le<uint32_t>(at + 56, 0);
  store_le<uint32_t>(at + kCrcAt, crc32c(out.first<kCrcAt>()));
}

Result<FrameHeader> decode_header(std::span<const std::byte, kFrameHeaderBytes> bytes) {
  const std::byte* at = bytes.data();
  if (load_le<uint16_t>(at) != kFrameMagic) return invalid("magic: not a pmshelf frame");
  if (const auto version = load_le<uint8_t>(at + 2); version != kFrameVersion) {
    return invalid("version: " + std::to_string(version) + " is not spoken here, only " +
                   std::to_string(kFrameVersion));
  }
  if (load_le<uint32_t>(at + kCrcAt) != crc32c(bytes.first<kCrcAt>())) {
    return invalid("crc: header is damaged");
  }
  FrameHeader header;
  header.op = static_cast<Op>(load_le<uint8_t>(at + 3));
  header.status = load_le<uint16_t>(at + 4);
  header.flags = load_le<uint16_t>(at + 6);
  header.tag = load_le<uint64_t>(at + 8);
  header.grant = {load_le<uint64_t>(at + 16), load_le<uint64_t>(at + 24)};
  header.offset = load_le<uint64_t>(at + 32);
  header.length = load_le<uint64_t>(at + 40);
  header.meta_bytes = load_le<uint32_t>(at + 48);
  header.payload_bytes = load_le<uint32_t>(at + 52);
  PMSHELF_TRY(check_header_fields(header, bytes));
  return header;
}

std::string encode_ranges(std::span<const Range> ranges) {
  PMSHELF_CHECK(ranges.size() <= kFrameRangesMax);
  Writer out(kRangesHeaderBytes + ranges.size() * kRangeBytes);
  out.put<uint32_t>(static_cast<uint32_t>(ranges.size()));
  out.put<uint32_t>(0);
  for (const Range& range : ranges) {
    out.put<uint64_t>(range.offset);
    out.put<uint64_t>(range.length);
  }
  return std::move(out).take();
}

Result<std::vector<Range>> decode_ranges(std::span<const std::byte> meta) {
  PMSHELF_TRY_ASSIGN(const uint32_t count, decode_count(meta, kRangesHeaderBytes, kRangeBytes));
  std::vector<Range> ranges;
  ranges.reserve(count);
  uint64_t total_bytes = 0;
  for (size_t at = kRangesHeaderBytes; at < meta.size(); at += kRangeBytes) {
    ranges.push_back(load_range(meta.data() + at));
    PMSHELF_TRY(add_range(ranges.back(), &total_bytes));
  }
  return ranges;
}

std::string encode_transact_meta(const TransactMeta& meta) {
  PMSHELF_CHECK(meta.ranges.size() <= kFrameRangesMax);
  Writer out(kTransactHeaderBytes + meta.ranges.size() * kGrantRangeBytes);
  out.put<uint64_t>(meta.request_high);
  out.put<uint64_t>(meta.request_low);
  out.put<uint32_t>(static_cast<uint32_t>(meta.ranges.size()));
  out.put<uint32_t>(0);
  for (const GrantRange& entry : meta.ranges) {
    out.put<uint64_t>(entry.grant.high);
    out.put<uint64_t>(entry.grant.low);
    out.put<uint64_t>(entry.range.offset);
    out.put<uint64_t>(entry.range.length);
  }
  return std::move(out).take();
}

Result<TransactMeta> decode_transact_meta(std::span<const std::byte> meta) {
  PMSHELF_TRY_ASSIGN(const uint32_t count,
                     decode_count(meta, kTransactHeaderBytes, kGrantRangeBytes));
  TransactMeta result;
  result.request_high = load_le<uint64_t>(meta.data());
  result.request_low = load_le<uint64_t>(meta.data() + 8);
  result.ranges.reserve(count);
  uint64_t total_bytes = 0;
  for (size_t at = kTransactHeaderBytes; at < meta.size(); at += kGrantRangeBytes) {
    const std::byte* entry = meta.data() + at;
    const GrantId grant{load_le<uint64_t>(entry), load_le<uint64_t>(entry + 8)};
    result.ranges.push_back({grant, load_range(entry + 16)});
    PMSHELF_TRY(add_range(result.ranges.back().range, &total_bytes));
  }
  return result;
}

std::string encode_put_meta(const PutMeta& meta) {
  PMSHELF_CHECK(meta.name.size() <= UINT16_MAX);
  PMSHELF_CHECK(meta.attributes.size() <= UINT32_MAX);
  Writer out(kPutHeaderBytes + meta.name.size() + meta.attributes.size());
  out.put<uint64_t>(meta.request_high);
  out.put<uint64_t>(meta.request_low);
  out.put<uint16_t>(static_cast<uint16_t>(meta.name.size()));
  out.put<uint16_t>(0);
  out.put<uint32_t>(static_cast<uint32_t>(meta.attributes.size()));
  out.put_text(meta.name);
  out.put_text(meta.attributes);
  return std::move(out).take();
}

Result<PutMeta> decode_put_meta(std::span<const std::byte> meta) {
  if (meta.size() < kPutHeaderBytes) return invalid("put: meta is too short");
  const size_t name_bytes = load_le<uint16_t>(meta.data() + 16);
  const size_t attribute_bytes = load_le<uint32_t>(meta.data() + 20);
  if (load_le<uint16_t>(meta.data() + 18) != 0) return invalid("put: reserved bits are set");
  if (meta.size() != kPutHeaderBytes + name_bytes + attribute_bytes) {
    return invalid("put: meta_bytes does not match name and attribute length");
  }
  PutMeta result;
  result.request_high = load_le<uint64_t>(meta.data());
  result.request_low = load_le<uint64_t>(meta.data() + 8);
  result.name = view_of(meta.subspan(kPutHeaderBytes, name_bytes));
  result.attributes = view_of(meta.subspan(kPutHeaderBytes + name_bytes));
  return result;
}

std::string encode_get_meta(const GetMeta& meta) {
  Writer out(kGetHeaderBytes + meta.attributes.size());
  out.put<uint64_t>(meta.region_id);
  out.put<uint64_t>(meta.total_bytes);
  out.put_text(meta.attributes);
  return std::move(out).take();
}

Result<GetMeta> decode_get_meta(std::span<const std::byte> meta) {
  if (meta.size() < kGetHeaderBytes) return invalid("get: meta is too short");
  GetMeta result;
  result.region_id = load_le<uint64_t>(meta.data());
  result.total_bytes = load_le<uint64_t>(meta.data() + 8);
  result.attributes = view_of(meta.subspan(kGetHeaderBytes));
  return result;
}

}  // namespace pmshelf::wire
