// Promises of format.h: what is encoded is decoded; one flipped bit anywhere is never taken.
#include "server/store/format.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/endian.h"

namespace pmshelf::store {
namespace {

using Block = std::array<std::byte, kSuperblockBytes>;

Superblock sample() {
  Superblock s;
  s.clean = true;
  s.uuid = {0x1122334455667788, 0x99aabbccddeeff00};
  s.generation = 7;
  s.epoch = 5;
  s.meta_bytes = kMetadataBytesMin;
  s.data_begin = kDirectoryDataBegin;
  s.data_end = 10 * kExtentBytes;
  s.log_primary = kLogAreaBegin;
  s.log_mirror = kLogAreaBegin + kLogBytesMin;
  s.log_bytes = kLogBytesMin;
  s.log_salt = 42;
  s.log_first_sequence = 3;
  s.log_sealed_sequence = 9;
  s.unsafe_shutdowns = 1;
  s.created_unix_ms = 1'700'000'000'000;
  s.flush_granularity_bytes = 64;
  s.storage_class = 1;
  s.log_first_epoch = 2;
  s.next_shelf = 4;
  s.next_region = 77;
  return s;
}

Block encoded(const Superblock& s) {
  Block block;
  encode_superblock(s, block);
  return block;
}

void reseal(Block& block) {
  store_le<uint32_t>(&block[4092], crc32c(std::span(block).first(4092)));
}

TEST(Superblock, RoundTripsEveryField) {
  const Superblock s = sample();
  const auto decoded = decode_superblock(encoded(s));
  ASSERT_TRUE(decoded.ok()) << decoded.error().to_string();
  EXPECT_EQ(*decoded, s);
}

TEST(Superblock, LiesWhereTheDocumentSays) {
  const Block block = encoded(sample());
  EXPECT_EQ(std::memcmp(block.data(), "PMSHELF1", 8), 0);
  EXPECT_EQ(load_le<uint32_t>(&block[8]), 0x01020304u);
  EXPECT_EQ(load_le<uint16_t>(&block[12]), 1);
  EXPECT_EQ(load_le<uint32_t>(&block[28]), 1u);
  EXPECT_EQ(load_le<uint64_t>(&block[48]), 7u);
  EXPECT_EQ(load_le<uint64_t>(&block[88]), kLogAreaBegin);
  EXPECT_EQ(load_le<uint64_t>(&block[128]), 9u);
  EXPECT_EQ(load_le<uint8_t>(&block[157]), 1);
  EXPECT_EQ(load_le<uint64_t>(&block[176]), 77u);
}

TEST(Superblock, EveryFlippedBitIsRefused) {
  Block block = encoded(sample());
  for (size_t bit = 0; bit < block.size() * 8; ++bit) {
    block[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_FALSE(decode_superblock(block).ok()) << "bit " << bit;
    block[bit / 8] ^= std::byte(1 << bit % 8);
  }
  EXPECT_TRUE(decode_superblock(block).ok());
}

TEST(Superblock, FutureVersionsAreNamedNotGuessed) {
  Block block = encoded(sample());
  store_le<uint16_t>(&block[12], 2);
  reseal(block);
  auto decoded = decode_superblock(block);
  EXPECT_EQ(decoded.code(), Code::kUnsupported);
  EXPECT_NE(decoded.error().message().find("version 2"), std::string::npos);
  EXPECT_NE(decoded.error().message().find("version 1"), std::string::npos);

  block = encoded(sample());
  store_le<uint32_t>(&block[8], 0x04030201);
  reseal(block);
  EXPECT_EQ(decode_superblock(block).code(), Code::kUnsupported);

  block = encoded(sample());
  store_le<uint32_t>(&block[24], 1);
  reseal(block);
  EXPECT_EQ(decode_superblock(block).code(), Code::kUnsupported);
}

TEST(Superblock, HigherMinorAndUnknownCompatBitsAreAccepted) {
  Superblock s = sample();
  s.minor = 9;
  s.compat = 0x80000001;
  s.ro_compat = 4;
  const auto decoded = decode_superblock(encoded(s));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, s);
}

TEST(Superblock, WholeButAbsurdFieldsAreCorrupt) {
  using Change = void (*)(Superblock&);
  const Change changes[] = {
      [](Superblock& s) { s.generation = kCounterMax; },
      [](Superblock& s) { s.epoch = kCounterMax; },
      [](Superblock& s) { s.next_region = kCounterMax; },
      [](Superblock& s) { s.next_region = 0; },
      [](Superblock& s) { s.next_shelf = 0; },
      [](Superblock& s) { s.next_shelf = uint64_t{1} << 32; },
      [](Superblock& s) { s.log_first_sequence = 0; },
      [](Superblock& s) { s.log_sealed_sequence = 1; },
      [](Superblock& s) { s.log_first_epoch = 6; },
      [](Superblock& s) { s.log_primary = 4096; },
      [](Superblock& s) { s.log_mirror = 8192; },
      [](Superblock& s) { s.log_primary += 1; },
      [](Superblock& s) { s.log_mirror += 64; },
      [](Superblock& s) { s.log_bytes = 0; },
      [](Superblock& s) { s.log_bytes += 64; },
      [](Superblock& s) { s.log_mirror = s.log_primary; },
      [](Superblock& s) { s.log_mirror = s.log_primary + kLogAlignmentBytes; },
      [](Superblock& s) { s.log_primary = s.meta_bytes; },
      [](Superblock& s) { s.log_mirror = ~uint64_t{4095}; },
      [](Superblock& s) { std::swap(s.log_primary, s.log_mirror), s.log_bytes *= 2; },
      [](Superblock& s) { s.data_begin += 4096; },
      [](Superblock& s) { s.data_end += 4096; },
      [](Superblock& s) { s.data_begin = 0; },
      [](Superblock& s) { s.data_end = 0; },
      [](Superblock& s) { s.kind = static_cast<StoreKind>(3); },
      [](Superblock& s) { s.kind = StoreKind::kDevice; },
  };
  int index = 0;
  for (const Change change : changes) {
    Superblock s = sample();
    change(s);
    EXPECT_EQ(decode_superblock(encoded(s)).code(), Code::kCorrupt) << "change " << index;
    ++index;
  }
}

TEST(Superblock, ReservedBytesMustBeZero) {
  for (const size_t at : {28u + 3u, 158u, 159u, 184u, 4000u, 4091u}) {
    Block block = encoded(sample());
    block[at] = std::byte{2};
    reseal(block);
    EXPECT_EQ(decode_superblock(block).code(), Code::kCorrupt) << at;
  }
}

TEST(DataHeader, RoundTripsAndRefusesEveryFlippedBit) {
  const Uuid uuid{1, 2};
  Block block;
  encode_data_header(uuid, block);
  ASSERT_TRUE(decode_data_header(block).ok());
  EXPECT_EQ(*decode_data_header(block), uuid);
  for (size_t bit = 0; bit < block.size() * 8; ++bit) {
    block[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_FALSE(decode_data_header(block).ok()) << "bit " << bit;
    block[bit / 8] ^= std::byte(1 << bit % 8);
  }
  block[100] = std::byte{1};
  reseal(block);
  EXPECT_EQ(decode_data_header(block).code(), Code::kCorrupt);
}

std::vector<std::byte> make_record(uint32_t op_bytes, uint64_t sequence, uint64_t epoch,
                                   uint32_t seed) {
  std::vector<std::byte> record(record_bytes(op_bytes));
  for (uint32_t i = 0; i < op_bytes; ++i) record[64 + i] = std::byte(i * 7);
  RecordHeader header;
  header.bytes = record_bytes(op_bytes);
  header.sequence = sequence;
  header.epoch = epoch;
  header.op_count = 3;
  header.op_bytes = op_bytes;
  header.unix_ms = 99;
  encode_record_header(header, seed, record);
  return record;
}

constexpr RecordBounds kAnyBounds{0, UINT64_MAX, 0, UINT64_MAX};

TEST(Record, RoundTripsAtEveryLengthOfOperations) {
  const uint32_t seed = record_crc_seed(5);
  for (uint32_t op_bytes = 0; op_bytes < 300; ++op_bytes) {
    const auto record = make_record(op_bytes, 8, 2, seed);
    EXPECT_EQ(record.size() % 64, 0u);
    const auto header = decode_record(record, seed, {8, 8, 2, 2});
    ASSERT_TRUE(header.has_value()) << op_bytes;
    EXPECT_EQ(header->op_bytes, op_bytes);
    EXPECT_EQ(header->sequence, 8u);
    EXPECT_EQ(header->op_count, 3u);
    EXPECT_EQ(header->unix_ms, 99u);
    EXPECT_FALSE(header->snapshot);
  }
}

TEST(Record, EveryFlippedBitIsRefused) {
  const uint32_t seed = record_crc_seed(5);
  auto record = make_record(150, 8, 2, seed);
  for (size_t bit = 0; bit < record.size() * 8; ++bit) {
    record[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_FALSE(decode_record(record, seed, kAnyBounds).has_value()) << "bit " << bit;
    record[bit / 8] ^= std::byte(1 << bit % 8);
  }
}

TEST(Record, EveryTruncationIsRefused) {
  const uint32_t seed = record_crc_seed(5);
  const auto record = make_record(150, 8, 2, seed);
  for (size_t bytes = 0; bytes < record.size(); ++bytes) {
    EXPECT_FALSE(decode_record(std::span(record).first(bytes), seed, kAnyBounds)) << bytes;
  }
}

TEST(Record, OtherSaltSequenceOrEpochIsRefused) {
  const uint32_t seed = record_crc_seed(5);
  const auto record = make_record(10, 8, 2, seed);
  EXPECT_FALSE(decode_record(record, record_crc_seed(6), kAnyBounds));
  EXPECT_FALSE(decode_record(record, seed, {9, 9, 0, 9}));
  EXPECT_FALSE(decode_record(record, seed, {0, 7, 0, 9}));
  EXPECT_FALSE(decode_record(record, seed, {8, 8, 3, 9}));
  EXPECT_FALSE(decode_record(record, seed, {8, 8, 0, 1}));
  EXPECT_TRUE(decode_record(record, seed, {8, 8, 0, 2}));
}

TEST(Record, WholeButAbsurdHeadersAreRefused) {
  const uint32_t seed = record_crc_seed(5);
  const auto refused = [&](size_t at, uint32_t value) {
    auto record = make_record(100, 8, 2, seed);
    store_le<uint32_t>(&record[at], value);
    store_le<uint32_t>(&record[0], crc32c(std::span(record).subspan(4), seed));
    return !decode_record(record, seed, kAnyBounds).has_value();
  };
  EXPECT_TRUE(refused(4, 128));  // shorter than its operations
  EXPECT_TRUE(refused(4, 0));
  EXPECT_TRUE(refused(4, 0xffffffff));
  EXPECT_TRUE(refused(24, 0));  // no operation
  EXPECT_TRUE(refused(24, kBatchOpsMax + 1));
  EXPECT_TRUE(refused(28, 0xffffffc0));  // overflows
  EXPECT_TRUE(refused(28, 200));
  EXPECT_TRUE(refused(40, 2));  // unknown flag
  EXPECT_TRUE(refused(44, 1));  // reserved
  EXPECT_TRUE(refused(60, 1));
  EXPECT_FALSE(refused(32, 5));  // the clock may say anything
}

}  // namespace
}  // namespace pmshelf::store
