// The data plane's bytes: golden vectors (made with an independent program from docs/protocol.md)
// and what every decoder refuses.
#include "common/wire/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/crc32c.h"
#include "common/base/endian.h"
#include "tests/unit/wire/bytes.h"

namespace pmshelf::wire {
namespace {

using testing::HasSubstr;
using HeaderBytes = std::array<std::byte, kFrameHeaderBytes>;

constexpr std::string_view kGoldenWrite =
    "5053010500000200080706050403020118171615141312112827262524232221"
    "38373635343332314847464544434241525100006261000000000000fdefa301";
constexpr std::string_view kGoldenGetReply =
    "5053010b02000100070000000000000000000000000000000900000000000000"
    "00000000000000000000000000000000170000000000000000000000bc2077b0";

FrameHeader golden_write() {
  FrameHeader header;
  header.op = Op::kWrite;
  header.flags = kFlagVisibleOnly;
  header.tag = 0x0102030405060708;
  header.grant = {0x1112131415161718, 0x2122232425262728};
  header.offset = 0x3132333435363738;
  header.length = 0x4142434445464748;
  header.meta_bytes = 0x5152;
  header.payload_bytes = 0x6162;
  return header;
}

HeaderBytes encoded(const FrameHeader& header) {
  HeaderBytes bytes;
  encode_header(header, bytes);
  return bytes;
}

// The header with one field overwritten and the CRC made right again.
template <class T>
HeaderBytes patched(size_t at, T value) {
  HeaderBytes bytes = encoded(golden_write());
  store_le<T>(bytes.data() + at, value);
  store_le<uint32_t>(bytes.data() + 60, crc32c(std::span(bytes).first(60)));
  return bytes;
}

void expect_refused(const HeaderBytes& bytes, std::string_view field) {
  const auto result = decode_header(bytes);
  ASSERT_FALSE(result.ok()) << field;
  EXPECT_EQ(result.code(), Code::kInvalidArgument);
  EXPECT_THAT(result.error().message(), testing::StartsWith(std::string(field)));
}

template <class T>
void expect_invalid(const Result<T>& result, const std::string& field) {
  ASSERT_FALSE(result.ok()) << field;
  EXPECT_EQ(result.code(), Code::kInvalidArgument);
  EXPECT_THAT(result.error().message(), HasSubstr(field));
}

TEST(Frame_Header, MatchesTheGoldenVectors) {
  EXPECT_EQ(to_hex(encoded(golden_write())), kGoldenWrite);
  FrameHeader reply;
  reply.op = Op::kGet;
  reply.flags = kFlagReply;
  reply.status = static_cast<uint16_t>(Code::kNotFound);
  reply.tag = 7;
  reply.grant.low = 9;
  reply.meta_bytes = 23;
  EXPECT_EQ(to_hex(encoded(reply)), kGoldenGetReply);
}

TEST(Frame_Header, DecodesTheGoldenVector) {
  const auto bytes = from_hex(kGoldenWrite);
  const auto header = decode_header(std::span(bytes).first<kFrameHeaderBytes>());
  ASSERT_TRUE(header.ok()) << header.error().to_string();
  EXPECT_EQ(*header, golden_write());
}

TEST(Frame_Header, EveryOpAndFlagSurvivesTheRoundTrip) {
  for (uint8_t op = 1; op <= kOpMax; ++op) {
    for (uint16_t flags = 0; flags <= kFlagsKnown; ++flags) {
      FrameHeader header = golden_write();
      header.op = static_cast<Op>(op);
      header.flags = flags;
      const auto result = decode_header(encoded(header));
      ASSERT_TRUE(result.ok());
      EXPECT_EQ(*result, header);
    }
  }
}

TEST(Frame_Header, RefusesEveryFlippedBit) {
  for (size_t bit = 0; bit < kFrameHeaderBytes * 8; ++bit) {
    HeaderBytes bytes = encoded(golden_write());
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(decode_header(bytes).ok()) << "bit " << bit;
  }
}

TEST(Frame_Header, RefusesForeignMagicVersionAndCrcNamingTheField) {
  expect_refused(patched<uint16_t>(0, 0x5351), "magic");
  expect_refused(patched<uint8_t>(2, 2), "version");
  HeaderBytes bytes = encoded(golden_write());
  bytes[63] ^= std::byte{1};
  expect_refused(bytes, "crc");
}

TEST(Frame_Header, RefusesUnknownOpsAndReservedBitsNamingTheField) {
  expect_refused(patched<uint8_t>(3, 0), "op");
  expect_refused(patched<uint8_t>(3, kOpMax + 1), "op");
  expect_refused(patched<uint8_t>(3, 255), "op");
  for (uint16_t flag = kFlagsKnown + 1; flag != 0; flag = static_cast<uint16_t>(flag << 1)) {
    expect_refused(patched<uint16_t>(6, flag), "flags");
  }
  expect_refused(patched<uint32_t>(56, 1), "reserved");
  expect_refused(patched<uint16_t>(4, 2), "status");  // a status in a request
}

TEST(Frame_Header, LimitsAreInclusive) {
  EXPECT_TRUE(decode_header(patched<uint32_t>(48, kFrameMetaBytesMax)).ok());
  EXPECT_TRUE(decode_header(patched<uint32_t>(52, kFramePayloadBytesMax)).ok());
  expect_refused(patched<uint32_t>(48, kFrameMetaBytesMax + 1), "meta_bytes");
  expect_refused(patched<uint32_t>(52, kFramePayloadBytesMax + 1), "payload_bytes");
  expect_refused(patched<uint32_t>(48, UINT32_MAX), "meta_bytes");
  expect_refused(patched<uint32_t>(52, UINT32_MAX), "payload_bytes");
}

TEST(Frame_Ranges, MatchTheGoldenVector) {
  const std::vector<Range> ranges{{0x10, 0x20}, {0x1122334455667788, 1}};
  const std::string meta = encode_ranges(ranges);
  EXPECT_EQ(to_hex(meta),
            "0200000000000000"
            "10000000000000002000000000000000"
            "88776655443322110100000000000000");
  EXPECT_EQ(*decode_ranges(bytes_of(meta)), ranges);
  EXPECT_EQ(to_hex(encode_ranges({})), "0000000000000000");
  EXPECT_TRUE(decode_ranges(bytes_of(encode_ranges({})))->empty());
}

TEST(Frame_Ranges, RefuseEveryTruncationAndTrailingByte) {
  const std::string meta = encode_ranges(std::vector<Range>{{1, 2}, {3, 4}});
  for (size_t bytes = 0; bytes < meta.size(); ++bytes) {
    expect_invalid(decode_ranges(bytes_of(meta).first(bytes)), "ranges");
  }
  expect_invalid(decode_ranges(bytes_of(meta + '\0')), "meta_bytes");
}

TEST(Frame_Ranges, RefuseCountsOverTheLimitAndReservedBits) {
  const std::vector<Range> most(kFrameRangesMax, Range{0, 1});
  std::string meta = encode_ranges(most);
  EXPECT_EQ(decode_ranges(bytes_of(meta))->size(), kFrameRangesMax);
  meta.append(16, '\0');
  meta[0] = 1;  // 1025
  expect_invalid(decode_ranges(bytes_of(meta)), "count");
  expect_invalid(decode_ranges(from_hex("ffffffff00000000")), "count");
  expect_invalid(decode_ranges(from_hex("0000000001000000")), "reserved");
}

TEST(Frame_Ranges, RefuseOverflowsAndSumsOverAFrame) {
  const auto decode = [](std::vector<Range> ranges) {
    return decode_ranges(bytes_of(encode_ranges(ranges)));
  };
  EXPECT_TRUE(decode({{UINT64_MAX, 0}}).ok());
  expect_invalid(decode({{UINT64_MAX, 1}}), "overflows");
  expect_invalid(decode({{0, UINT64_MAX}}), "add up");
  EXPECT_TRUE(decode({{0, kFramePayloadBytesMax - 1}, {0, 1}}).ok());
  expect_invalid(decode({{0, kFramePayloadBytesMax}, {0, 1}}), "add up");
  expect_invalid(decode({{0, 8}, {8, UINT64_MAX - 8}}), "add up");
}

TEST(Frame_Transact, MatchesTheGoldenVector) {
  TransactMeta meta;
  meta.request_high = 1;
  meta.request_low = 2;
  meta.ranges = {{{3, 4}, {5, 6}}};
  const std::string bytes = encode_transact_meta(meta);
  EXPECT_EQ(to_hex(bytes),
            "01000000000000000200000000000000"
            "0100000000000000"
            "03000000000000000400000000000000"
            "05000000000000000600000000000000");
  const auto decoded = decode_transact_meta(bytes_of(bytes));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->request_high, 1U);
  EXPECT_EQ(decoded->request_low, 2U);
  EXPECT_EQ(decoded->ranges, meta.ranges);
}

TEST(Frame_Transact, RefusesTruncationTrailingBytesAndOverflow) {
  TransactMeta meta;
  meta.ranges = {{{1, 2}, {0, 8}}, {{1, 2}, {8, 8}}};
  const std::string bytes = encode_transact_meta(meta);
  for (size_t length = 0; length < bytes.size(); ++length) {
    expect_invalid(decode_transact_meta(bytes_of(bytes).first(length)), "ranges");
  }
  expect_invalid(decode_transact_meta(bytes_of(bytes + 'x')), "meta_bytes");
  meta.ranges[1].range = {UINT64_MAX, 2};
  expect_invalid(decode_transact_meta(bytes_of(encode_transact_meta(meta))), "overflows");
  meta.ranges[1].range = {0, kFramePayloadBytesMax};
  expect_invalid(decode_transact_meta(bytes_of(encode_transact_meta(meta))), "add up");
}

TEST(Frame_Put, MatchesTheGoldenVector) {
  const PutMeta meta{.request_high = 1, .request_low = 2, .name = "key", .attributes = "abcde"};
  const std::string bytes = encode_put_meta(meta);
  EXPECT_EQ(to_hex(bytes),
            "01000000000000000200000000000000"
            "0300000005000000"
            "6b65796162636465");
  const auto decoded = decode_put_meta(bytes_of(bytes));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->request_high, 1U);
  EXPECT_EQ(decoded->request_low, 2U);
  EXPECT_EQ(decoded->name, "key");
  EXPECT_EQ(decoded->attributes, "abcde");
}

TEST(Frame_Put, RefusesLengthsThatDoNotAddUp) {
  const std::string bytes = encode_put_meta({.name = "key", .attributes = "abcde"});
  for (size_t length = 0; length < bytes.size(); ++length) {
    expect_invalid(decode_put_meta(bytes_of(bytes).first(length)), "put");
  }
  expect_invalid(decode_put_meta(bytes_of(bytes + 'x')), "meta_bytes");
  std::string patched_bytes = bytes;
  patched_bytes[18] = 1;
  expect_invalid(decode_put_meta(bytes_of(patched_bytes)), "reserved");
  patched_bytes = bytes;
  for (size_t at = 20; at < 24; ++at) patched_bytes[at] = '\xff';  // attributes: 2^32-1
  expect_invalid(decode_put_meta(bytes_of(patched_bytes)), "meta_bytes");
}

TEST(Frame_Get, MatchesTheGoldenVectorAndRefusesTruncation) {
  const std::string bytes =
      encode_get_meta({.region_id = 0x11, .total_bytes = 0x22, .attributes = "xy"});
  EXPECT_EQ(to_hex(bytes), "110000000000000022000000000000007879");
  const auto decoded = decode_get_meta(bytes_of(bytes));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->region_id, 0x11U);
  EXPECT_EQ(decoded->total_bytes, 0x22U);
  EXPECT_EQ(decoded->attributes, "xy");
  EXPECT_TRUE(decode_get_meta(bytes_of(bytes).first(16))->attributes.empty());
  for (size_t length = 0; length < 16; ++length) {
    expect_invalid(decode_get_meta(bytes_of(bytes).first(length)), "get");
  }
}

}  // namespace
}  // namespace pmshelf::wire
