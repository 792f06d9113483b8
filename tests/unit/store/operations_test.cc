// Promises of operations.h: exact round trips; hostile bytes give an error and nothing else.
#include "server/store/operations.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "common/base/endian.h"

namespace pmshelf::store {
namespace {

constexpr Request kNoRequest{};
const Request kRequest{{1, 2}, 3};

template <class Op>
Operation round_trip(const Request& request, const Op& op, OpBuffer& buffer) {
  buffer.clear();
  append_operation(buffer, request, op);
  EXPECT_EQ(buffer.size() % 8, 0u);
  uint32_t bytes = 0;
  auto decoded = decode_operation(buffer, bytes);
  EXPECT_TRUE(decoded.ok()) << decoded.error().to_string();
  EXPECT_EQ(bytes, buffer.size());
  EXPECT_EQ(decoded->request.id, request.id);
  EXPECT_EQ(decoded->request.digest, request.digest);
  EXPECT_TRUE(std::holds_alternative<Op>(decoded->body));
  return *decoded;
}

ShelfInfo sample_shelf() {
  ShelfInfo info;
  info.id = 9;
  info.name = "träin";
  info.owner = "unix:alice";
  info.acl = {{"token:*", kRead}, {"cert:h", kRead | kWrite | kAdmin}, {"x", 0}};
  info.same_host = SameHostPolicy::kCopy;
  info.capacity_bytes = 64 * kExtentBytes;
  info.created_unix_ms = 17;
  return info;
}

TEST(Operations, RoundTripWithAndWithoutRequest) {
  OpBuffer buffer;
  for (const Request& request : {kNoRequest, kRequest}) {
    const ShelfInfo info = sample_shelf();
    EXPECT_EQ(std::get<ShelfPut>(round_trip(request, ShelfPut{info}, buffer).body).info, info);
    EXPECT_EQ(std::get<ShelfDel>(round_trip(request, ShelfDel{5}, buffer).body).shelf, 5u);

    const std::string attributes = "any bytes";
    const RegionPut put{11, 9, 4096, 100, 128, 77, "weights", attributes};
    const Operation put_op = round_trip(request, put, buffer);
    const auto& put2 = std::get<RegionPut>(put_op.body);
    EXPECT_EQ(put2.region, 11u);
    EXPECT_EQ(put2.shelf, 9u);
    EXPECT_EQ(put2.offset, 4096u);
    EXPECT_EQ(put2.bytes, 100u);
    EXPECT_EQ(put2.footprint_bytes, 128u);
    EXPECT_EQ(put2.modified_unix_ms, 77u);
    EXPECT_EQ(put2.name, "weights");
    EXPECT_EQ(put2.attributes, attributes);

    EXPECT_EQ(std::get<RegionDel>(round_trip(request, RegionDel{5}, buffer).body).region, 5u);
    const Operation rename = round_trip(request, RegionRename{5, 6, true, "n"}, buffer);
    EXPECT_TRUE(std::get<RegionRename>(rename.body).replace);
    EXPECT_EQ(std::get<RegionRename>(rename.body).name, "n");
    const Operation swap = round_trip(request, RegionSwap{5, 6, 7}, buffer);
    EXPECT_EQ(std::get<RegionSwap>(swap.body).b, 6u);
    EXPECT_EQ(std::get<RegionSwap>(swap.body).modified_unix_ms, 7u);
    const Operation resize = round_trip(request, RegionResize{1, 2, 3, 4, 5}, buffer);
    EXPECT_EQ(std::get<RegionResize>(resize.body).footprint_bytes, 4u);
    const Operation change = round_trip(request, RegionAttributes{1, 2, attributes}, buffer);
    EXPECT_EQ(std::get<RegionAttributes>(change.body).attributes, attributes);

    const Redo redo{1, 4096, 30, 99, {{10, 10}, {40, 20}}};
    const Operation redo_op = round_trip(request, redo, buffer);
    const auto& redo2 = std::get<Redo>(redo_op.body);
    EXPECT_EQ(redo2.image_digest, 99u);
    ASSERT_EQ(redo2.ranges.size(), 2u);
    EXPECT_EQ(redo2.ranges[1].offset, 40u);
    EXPECT_EQ(redo2.ranges[1].bytes, 20u);
    EXPECT_EQ(std::get<RedoDone>(round_trip(request, RedoDone{1}, buffer).body).transaction, 1u);
    EXPECT_EQ(std::get<SpaceEnd>(round_trip(request, SpaceEnd{8}, buffer).body).data_end, 8u);
  }
  const Operation kept = round_trip(kRequest, RequestKept{4, 5}, buffer);
  EXPECT_EQ(std::get<RequestKept>(kept.body).result, 4u);
  EXPECT_EQ(std::get<RequestKept>(kept.body).unix_ms, 5u);
}

TEST(Operations, SizesToldBeforehandAreThoseEncoded) {
  OpBuffer buffer;
  append_operation(buffer, kNoRequest, ShelfPut{sample_shelf()});
  EXPECT_EQ(buffer.size(), shelf_put_bytes(sample_shelf()));
  for (uint32_t name = 1; name < 20; ++name) {
    for (uint32_t attributes = 0; attributes < 20; ++attributes) {
      buffer.clear();
      append_operation(
          buffer, kNoRequest,
          RegionPut{1, 1, 0, 0, 0, 0, std::string(name, 'n'), std::string(attributes, 'a')});
      EXPECT_EQ(buffer.size(), region_put_bytes(name, attributes));
    }
  }
  buffer.clear();
  append_operation(buffer, kRequest, RequestKept{});
  EXPECT_EQ(buffer.size(), kRequestKeptBytes);
  buffer.clear();
  append_operation(buffer, kNoRequest, SpaceEnd{});
  EXPECT_EQ(buffer.size(), kSpaceEndBytes);
}

OpBuffer one_of_each() {
  OpBuffer all;
  append_operation(all, kRequest, ShelfPut{sample_shelf()});
  append_operation(all, kNoRequest, ShelfDel{5});
  append_operation(all, kRequest, RegionPut{11, 9, 4096, 100, 128, 77, "weights", "abc"});
  append_operation(all, kNoRequest, RegionDel{5});
  append_operation(all, kNoRequest, RegionRename{5, 6, true, "name"});
  append_operation(all, kNoRequest, RegionSwap{5, 6, 7});
  append_operation(all, kNoRequest, RegionResize{1, 2, 3, 4, 5});
  append_operation(all, kNoRequest, RegionAttributes{1, 2, "zz"});
  append_operation(all, kRequest, Redo{1, 4096, 30, 99, {{10, 10}, {40, 20}}});
  append_operation(all, kNoRequest, RedoDone{1});
  append_operation(all, kNoRequest, SpaceEnd{8});
  append_operation(all, kRequest, RequestKept{4, 5});
  return all;
}

// Decodes until the first error or the end; returns the number of operations.
int decode_all(std::span<const std::byte> bytes) {
  int count = 0;
  while (!bytes.empty()) {
    uint32_t length = 0;
    if (!decode_operation(bytes, length).ok()) break;
    EXPECT_GE(length, 8u);
    bytes = bytes.subspan(length);
    ++count;
  }
  return count;
}

TEST(Operations, AreReadOneAfterTheOther) { EXPECT_EQ(decode_all(one_of_each()), 12); }

TEST(Operations, EveryTruncationIsAnError) {
  const OpBuffer all = one_of_each();
  uint32_t length = 0;
  for (size_t begin = 0; begin < all.size(); begin += length) {
    const auto rest = std::span(all).subspan(begin);
    ASSERT_TRUE(decode_operation(rest, length).ok());
    for (uint32_t bytes = 0; bytes < length; ++bytes) {
      uint32_t ignored = 0;
      EXPECT_EQ(decode_operation(rest.first(bytes), ignored).code(), Code::kCorrupt);
    }
    // A length that is shorter or longer than what the kind needs.
    for (const int change : {-16, -8, 8, 16}) {
      OpBuffer copy(rest.begin(), rest.begin() + length);
      copy.resize(length + 16);
      store_le<uint32_t>(&copy[4], length + change);
      uint32_t ignored = 0;
      EXPECT_FALSE(decode_operation(copy, ignored).ok()) << begin << " " << change;
    }
  }
}

TEST(Operations, RandomDamageIsNeverMoreThanAnError) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const OpBuffer all = one_of_each();
  for (int round = 0; round < 20'000; ++round) {
    OpBuffer copy = all;
    for (int change = 0; change < 3; ++change) {
      copy[random() % copy.size()] = std::byte(random());
    }
    decode_all(copy);
  }
}

struct Bad {
  const char* what;
  OpBuffer bytes;
};

template <class Op>
OpBuffer encode(const Op& op, const Request& request = kNoRequest) {
  OpBuffer buffer;
  append_operation(buffer, request, op);
  return buffer;
}

OpBuffer patched(OpBuffer bytes, size_t at, uint8_t value) {
  bytes[at] = std::byte{value};
  return bytes;
}

TEST(Operations, WhatNoEncoderWritesIsCorrupt) {
  ShelfInfo bad_name = sample_shelf();
  bad_name.name = std::string("a\0b", 3);
  ShelfInfo bad_owner = sample_shelf();
  bad_owner.owner = "\xff";
  ShelfInfo bad_principal = sample_shelf();
  bad_principal.acl[0].principal.clear();
  ShelfInfo bad_rights = sample_shelf();
  bad_rights.acl[0].rights = 8;
  ShelfInfo bad_policy = sample_shelf();
  bad_policy.same_host = static_cast<SameHostPolicy>(4);
  ShelfInfo bad_capacity = sample_shelf();
  bad_capacity.capacity_bytes = 4096;
  ShelfInfo no_id = sample_shelf();
  no_id.id = 0;
  const OpBuffer put = encode(RegionPut{11, 9, 4096, 100, 128, 77, "weights", "abc"});
  const Bad cases[] = {
      {"shelf name", encode(ShelfPut{bad_name})},
      {"shelf owner", encode(ShelfPut{bad_owner})},
      {"principal", encode(ShelfPut{bad_principal})},
      {"rights", encode(ShelfPut{bad_rights})},
      {"policy", encode(ShelfPut{bad_policy})},
      {"capacity", encode(ShelfPut{bad_capacity})},
      {"shelf 0", encode(ShelfPut{no_id})},
      {"kind 0", patched(put, 0, 0)},
      {"kind 13", patched(put, 0, 13)},
      {"flags", patched(put, 1, 2)},
      {"reserved", patched(put, 2, 1)},
      {"empty name", encode(RegionPut{11, 9, 0, 0, 0, 7, "", ""})},
      {"NUL in name", encode(RegionPut{11, 9, 0, 0, 0, 7, std::string_view("a\0b", 3), ""})},
      {"UTF-8", encode(RegionPut{11, 9, 0, 0, 0, 7, "\xc3", ""})},
      {"long name", encode(RegionPut{11, 9, 0, 0, 0, 7, std::string(4097, 'n'), ""})},
      {"long attributes", encode(RegionPut{1, 9, 0, 0, 0, 7, "n", std::string(32769, 'n')})},
      {"attribute CRC", patched(put, 8 + 52, 1)},
      {"padding", patched(put, put.size() - 1, 1)},
      {"rename flags", patched(encode(RegionRename{5, 6, true, "n"}), 8 + 18, 2)},
      {"rename name", encode(RegionRename{5, 6, true, ""})},
      {"long attributes alone", encode(RegionAttributes{5, 6, std::string(32769, 'n')})},
      {"attribute CRC alone", patched(encode(RegionAttributes{5, 6, "n"}), 8 + 20, 1)},
      {"redo without ranges", encode(Redo{1, 4096, 0, 99, {}})},
      {"redo too long", encode(Redo{1, 4096, 29, 99, {{10, 10}, {40, 20}}})},
      {"redo too short", encode(Redo{1, 4096, 31, 99, {{10, 10}, {40, 20}}})},
      {"redo empty range", encode(Redo{1, 4096, 10, 99, {{10, 10}, {40, 0}}})},
      {"redo overflow", encode(Redo{1, 0, 9, 9, {{1, 10}, {4, ~uint64_t{0}}}})},
      {"redo count", patched(encode(Redo{1, 4096, 10, 99, {{10, 10}}}), 8 + 32, 2)},
      {"redo many", encode(Redo{1, 0, kTransactionRangesMax + 1, 9,
                                std::vector<RedoRange>(kTransactionRangesMax + 1, {0, 1})})},
      {"request 0", patched(encode(RegionDel{5}), 1, 1)},
      {"kept without request", encode(RequestKept{4, 5})},
  };
  for (const Bad& bad : cases) {
    uint32_t length = 0;
    EXPECT_EQ(decode_operation(bad.bytes, length).code(), Code::kCorrupt) << bad.what;
  }
  // A request flag on an operation whose body is then cut off, with a zero id.
  OpBuffer zero_id = encode(RegionDel{5}, kRequest);
  std::fill(zero_id.begin() + 8, zero_id.begin() + 24, std::byte{0});
  uint32_t length = 0;
  EXPECT_EQ(decode_operation(zero_id, length).code(), Code::kCorrupt);
}

TEST(ValidateShelfInfo, NamesTheField) {
  EXPECT_TRUE(validate_shelf_info(sample_shelf()).ok());
  ShelfInfo info = sample_shelf();
  info.acl.resize(kAclEntriesMax + 1, {"p", 1});
  EXPECT_NE(validate_shelf_info(info).error().message().find("access list"), std::string::npos);
  info = sample_shelf();
  info.name = std::string(201, 'x');
  EXPECT_NE(validate_shelf_info(info).error().message().find("shelf name"), std::string::npos);
  info = sample_shelf();
  info.owner.clear();
  EXPECT_TRUE(validate_shelf_info(info).ok());
}

}  // namespace
}  // namespace pmshelf::store
