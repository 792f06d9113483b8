// Promises of recovery: torn tails are dropped, damage is repaired from the other copy or refused,
// never served; what was acknowledged is there.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "common/base/crc32c.h"
#include "server/store/log.h"
#include "server/store/operations.h"
#include "server/store/store.h"
#include "tests/unit/store/store_fixture.h"

namespace pmshelf::store {
namespace {

// Where the log's copies lie, and the end of what is written in them.
struct LogView {
  explicit LogView(const StoreBox& box)
      : superblock(box.newest_superblock()), place(LogPlace::of(superblock)) {
    LogScanOptions options;
    options.epoch_max = superblock.epoch;
    const auto scan = scan_log(*box.map, place, options,
                               [&](const RecordHeader& header, auto, uint64_t position) {
                                 positions.push_back(position - kRecordHeaderBytes);
                                 bytes.push_back(header.bytes);
                                 return Status();
                               });
    EXPECT_TRUE(scan.ok());
    end = scan->end;
  }
  Superblock superblock;
  LogPlace place;
  std::vector<uint64_t> positions;
  std::vector<uint32_t> bytes;
  uint64_t end = 0;
};

class RecoveryTest : public testing::Test {
 protected:
  void SetUp() override {
    box = StoreBox::directory(8);
    box.open_with_shelf();
  }
  // `count` regions r0, r1, ..., each in a record of its own, with attributes.
  void make_regions(int count) {
    for (int i = 0; i < count; ++i) {
      box.create("r" + std::to_string(i), 100 + i, encoded_attributes({{"n", std::to_string(i)}}));
      box.sync();
    }
  }
  void expect_regions(int count) {
    EXPECT_EQ(box.store->space(box.shelf).region_count, static_cast<uint64_t>(count));
    for (int i = 0; i < count; ++i) {
      const auto found = box.store->find(box.shelf, "r" + std::to_string(i));
      ASSERT_TRUE(found.ok()) << i;
      EXPECT_EQ(found->bytes, 100u + i);
      EXPECT_EQ(*box.store->attributes(found->id), encoded_attributes({{"n", std::to_string(i)}}));
    }
  }
  // Overwrites [from, to) of the given copies of the log.
  void scribble(const LogView& log, std::initializer_list<int> copies, uint64_t from, uint64_t to,
                char with = '\xa5') {
    const std::string garbage(to - from, with);
    for (const int copy : copies) {
      ASSERT_TRUE(box.map->store(log.place.offsets[copy] + from, bytes_of(garbage)).ok());
    }
  }
  std::string map_image() { return StoreBox::read_at(*box.map, 0, box.map->bytes()); }
  void restore_map(const std::string& image) {
    ASSERT_TRUE(box.map->store(0, bytes_of(image)).ok());
  }

  StoreBox box;
};

TEST_F(RecoveryTest, TornLastRecordOfEveryLengthIsDropped) {
  make_regions(3);
  box.kill();
  const LogView log(box);
  const uint64_t last = log.positions.back();
  const std::string image = map_image();
  const size_t written = image.find_last_not_of('\0', log.place.offsets[0] + log.end - 1) + 1 -
                         log.place.offsets[0] - last;  // padding is zero anyway
  for (uint64_t kept = 0; kept < written; kept += 8) {
    // The record is whole up to `kept`; the rest never reached the media: zeros, in both copies.
    scribble(log, {0, 1}, last + kept, log.end, '\0');
    box.open();
    ASSERT_NE(box.store, nullptr);
    EXPECT_EQ(box.store->recovery().damage, "");
    expect_regions(2);
    box.expect_clean();
    // And it goes on from there.
    box.create("more", 1);
    box.sync();
    box.reopen();
    EXPECT_TRUE(box.store->find(box.shelf, "more").ok());
    box.expect_clean();
    box.kill();
    restore_map(image);
  }
}

TEST_F(RecoveryTest, TornWordsAnywhereInTheLastRecordAreDropped) {
  make_regions(3);
  box.kill();
  const LogView log(box);
  const std::string image = map_image();
  for (uint64_t word = log.positions.back(); word < log.end; word += 8) {
    if (StoreBox::read_at(*box.map, log.place.offsets[0] + word, 8) == std::string(8, '\0'))
      continue;
    scribble(log, {0, 1}, word, word + 8, '\0');
    box.open();
    ASSERT_NE(box.store, nullptr);
    EXPECT_EQ(box.store->recovery().damage, "");
    EXPECT_GT(box.store->recovery().torn_bytes_dropped, 0u);
    expect_regions(2);
    box.expect_clean();
    box.kill();
    restore_map(image);
  }
}

TEST_F(RecoveryTest, RecordWholeInOneCopyIsTakenAndTheOtherRewritten) {
  make_regions(3);
  box.kill();
  const LogView log(box);
  const std::string image = map_image();
  for (const int copy : {0, 1}) {
    for (size_t record = 0; record < log.positions.size(); ++record) {
      scribble(log, {copy}, log.positions[record] + 8, log.positions[record] + 40);
      box.open();
      ASSERT_NE(box.store, nullptr);
      EXPECT_EQ(box.store->recovery().records_repaired, 1u);
      EXPECT_EQ(box.store->recovery().damage, "");
      expect_regions(3);
      box.expect_clean();
      box.kill();
      restore_map(image);
    }
  }
}

TEST_F(RecoveryTest, DifferentRecordsDamagedInDifferentCopiesAreAllTaken) {
  make_regions(6);
  box.kill();
  const LogView log(box);
  for (size_t record = 0; record < log.positions.size(); ++record) {
    scribble(log, {static_cast<int>(record % 2)}, log.positions[record],
             log.positions[record] + 64);
  }
  box.open();
  EXPECT_EQ(box.store->recovery().records_repaired, log.positions.size());
  expect_regions(6);
  box.expect_clean();
}

TEST_F(RecoveryTest, WholeMirrorLostIsRewritten) {
  make_regions(6);
  box.kill();
  const LogView log(box);
  scribble(log, {1}, 0, log.place.bytes);
  box.open();
  EXPECT_FALSE(box.store->recovery().read_only);
  expect_regions(6);
  box.expect_clean();
}

TEST_F(RecoveryTest, DamageBeforeALaterRecordOpensReadOnlyAndSaysSo) {
  make_regions(5);
  box.kill();
  const LogView log(box);
  const std::string image = map_image();
  for (size_t record = 0; record + 1 < log.positions.size(); ++record) {
    scribble(log, {0, 1}, log.positions[record], log.positions[record] + 16);
    const std::string damaged = map_image();
    box.open();
    ASSERT_NE(box.store, nullptr);
    EXPECT_TRUE(box.store->recovery().read_only);
    EXPECT_NE(box.store->recovery().damage.find("damaged in both copies"), std::string::npos);
    EXPECT_EQ(box.store->create(1, "x", 1, "", {}).code(), Code::kReadOnly);
    if (record > 0) expect_regions(static_cast<int>(record) - 1);
    EXPECT_FALSE(box.store->check()->problems.empty());
    EXPECT_TRUE(box.store->close().ok());
    box.kill();
    EXPECT_EQ(map_image(), damaged) << "a damaged store is not written to";
    restore_map(image);
  }
}

TEST_F(RecoveryTest, SealedRecordsThatAreGoneAreDamageNotATornTail) {
  make_regions(2);
  ASSERT_TRUE(box.store->close().ok());
  box.kill();
  const LogView log(box);
  scribble(log, {0, 1}, log.positions.back(), log.end, '\0');
  box.open();
  EXPECT_TRUE(box.store->recovery().read_only);
  EXPECT_NE(box.store->recovery().damage.find("were durable"), std::string::npos);
  expect_regions(1);
}

TEST_F(RecoveryTest, EveryFlippedBitOfASmallStoreIsRepairedOrHarmless) {
  make_regions(2);
  box.kill();
  const LogView log(box);
  const std::string image = map_image();
  std::vector<std::pair<uint64_t, uint64_t>> ranges = {
      {kSuperblockOffsets[0], 192},          {kSuperblockOffsets[0] + 4088, 8},
      {kSuperblockOffsets[1], 192},          {kSuperblockOffsets[1] + 4088, 8},
      {log.place.offsets[0], log.end + 128}, {log.place.offsets[1], log.end + 128}};
  for (const auto& [begin, bytes] : ranges) {
    for (uint64_t bit = 0; bit < bytes * 8; ++bit) {
      box.flip_bit(begin + bit / 8, static_cast<int>(bit % 8));
      box.open();
      ASSERT_NE(box.store, nullptr) << "byte " << begin + bit / 8 << " bit " << bit % 8;
      EXPECT_EQ(box.store->recovery().damage, "");
      expect_regions(2);
      const auto report = box.store->check();
      ASSERT_TRUE(report.ok());
      ASSERT_TRUE(report->problems.empty()) << report->problems.front();
      box.kill();
      ASSERT_TRUE(
          box.map->store(begin, bytes_of(std::string_view(image).substr(begin, bytes))).ok());
      for (const uint64_t offset : kSuperblockOffsets) {
        ASSERT_TRUE(
            box.map->store(offset, bytes_of(std::string_view(image).substr(offset, 4096))).ok());
      }
    }
  }
}

TEST_F(RecoveryTest, EitherSuperblockAloneIsEnoughForEverythingAcknowledged) {
  make_regions(3);
  ASSERT_TRUE(box.store->compact().ok());
  box.create("after", 5);
  box.sync();
  box.kill();
  const std::string image = map_image();
  for (const int copy : {0, 1}) {
    box.flip_bit(kSuperblockOffsets[copy] + 100, 3);
    box.open();
    ASSERT_NE(box.store, nullptr);
    EXPECT_TRUE(box.store->recovery().superblock_was_bad);
    EXPECT_EQ(box.store->recovery().damage, "");
    EXPECT_TRUE(box.store->find(box.shelf, "after").ok());
    EXPECT_EQ(box.store->space(box.shelf).region_count, 4u);
    box.expect_clean();
    box.reopen();
    EXPECT_FALSE(box.store->recovery().superblock_was_bad) << "it was written again";
    box.kill();
    restore_map(image);
  }
}

TEST_F(RecoveryTest, BothSuperblocksBadIsRefusedWithTheCommandThatHelps) {
  box.kill();
  for (const uint64_t offset : kSuperblockOffsets) box.flip_bit(offset + 50, 1);
  const Status opened = box.try_open();
  EXPECT_EQ(opened.code(), Code::kCorrupt);
  EXPECT_NE(opened.error().message().find("pmshelf pool check"), std::string::npos);
}

void rewrite_superblocks(StoreBox& box, const std::function<void(std::span<std::byte>)>& change) {
  for (const uint64_t offset : kSuperblockOffsets) {
    std::array<std::byte, kSuperblockBytes> bytes;
    ASSERT_TRUE(box.map->read(offset, bytes).ok());
    change(bytes);
    store_le<uint32_t>(&bytes[4092], crc32c(std::span(bytes).first(4092)));
    ASSERT_TRUE(box.map->store(offset, bytes).ok());
  }
}

TEST_F(RecoveryTest, FutureVersionsAreRefusedOrReadOnlyByTheirBits) {
  make_regions(2);
  box.kill();
  const std::string image = map_image();
  rewrite_superblocks(box, [](auto bytes) { store_le<uint16_t>(&bytes[12], 2); });
  EXPECT_EQ(box.try_open().code(), Code::kUnsupported);
  restore_map(image);
  rewrite_superblocks(box, [](auto bytes) { store_le<uint32_t>(&bytes[24], 4); });
  EXPECT_EQ(box.try_open().code(), Code::kUnsupported);
  restore_map(image);
  rewrite_superblocks(box, [](auto bytes) { store_le<uint32_t>(&bytes[20], 4); });
  box.open();
  EXPECT_TRUE(box.store->recovery().read_only);
  EXPECT_NE(box.store->recovery().damage.find("ro_compat"), std::string::npos);
  expect_regions(2);
  box.kill();
  restore_map(image);
  rewrite_superblocks(box, [](auto bytes) {
    store_le<uint16_t>(&bytes[14], 3);
    store_le<uint32_t>(&bytes[16], 4);
  });
  box.open();
  EXPECT_FALSE(box.store->recovery().read_only);
  expect_regions(2);
  box.create("x", 1);
  box.sync();
  EXPECT_EQ(box.newest_superblock().minor, 3) << "what is not understood is kept";
  EXPECT_EQ(box.newest_superblock().compat, 4u);
}

TEST_F(RecoveryTest, OneSuperblockOfANewerVersionRefuses) {
  box.kill();
  std::array<std::byte, kSuperblockBytes> bytes;
  ASSERT_TRUE(box.map->read(0, bytes).ok());
  store_le<uint16_t>(&bytes[12], 2);
  store_le<uint32_t>(&bytes[4092], crc32c(std::span(bytes).first(4092)));
  ASSERT_TRUE(box.map->store(0, bytes).ok());
  EXPECT_EQ(box.try_open().code(), Code::kUnsupported);
}

TEST_F(RecoveryTest, SuperblockOlderThanTheLogIsDamageNotLoss) {
  // A superblock whose epoch is below that of acknowledged records.
  make_regions(2);
  box.kill();
  rewrite_superblocks(box, [](auto bytes) {
    store_le<uint64_t>(&bytes[56], 0);   // epoch
    store_le<uint64_t>(&bytes[160], 0);  // first epoch
    store_le<uint64_t>(&bytes[128], 0);  // sealed
  });
  box.open();
  EXPECT_TRUE(box.store->recovery().read_only);
  EXPECT_NE(box.store->recovery().damage, "");
}

TEST_F(RecoveryTest, TruncatedFilesAreNamed) {
  make_regions(2);
  box.kill();
  const std::string image = map_image();
  for (const uint64_t bytes : {box.map->bytes() - 1, uint64_t{4096}, uint64_t{0}}) {
    ASSERT_TRUE(box.map->resize(bytes).ok());
    const Status opened = box.try_open();
    EXPECT_EQ(opened.code(), Code::kCorrupt) << bytes;
    ASSERT_TRUE(box.map->resize(image.size()).ok());
    restore_map(image);
  }
  const uint64_t data_bytes = box.data->bytes();
  for (const uint64_t bytes : {data_bytes - 1, uint64_t{4096}, uint64_t{100}, uint64_t{0}}) {
    const std::string header = StoreBox::read_at(*box.data, 0, 4096);
    ASSERT_TRUE(box.data->resize(bytes).ok());
    const Status opened = box.try_open();
    EXPECT_EQ(opened.code(), Code::kCorrupt) << bytes;
    EXPECT_NE(opened.error().message().find("truncated"), std::string::npos);
    ASSERT_TRUE(box.data->resize(data_bytes).ok());
    ASSERT_TRUE(box.data->store(0, bytes_of(header)).ok());
  }
  box.open();
  expect_regions(2);
}

TEST_F(RecoveryTest, ForeignDataFileIsRefused) {
  box.kill();
  StoreBox other = StoreBox::directory(8);
  std::swap(box.data, other.data);
  EXPECT_EQ(box.try_open().code(), Code::kCorrupt);
  ASSERT_TRUE(box.data->zero(0, 4096).ok());
  EXPECT_EQ(box.try_open().code(), Code::kCorrupt) << "no data header at all";
}

TEST_F(RecoveryTest, KindAndNumberOfMediaMustAgree) {
  box.kill();
  EXPECT_EQ(Store::open(std::make_unique<SharedMedia>(box.map), nullptr, {}, box.clock()).code(),
            Code::kInvalidArgument);
  StoreBox device = StoreBox::device(2);
  EXPECT_EQ(Store::open(std::make_unique<SharedMedia>(device.map),
                        std::make_unique<SharedMedia>(box.data), {}, box.clock())
                .code(),
            Code::kInvalidArgument);
}

TEST_F(RecoveryTest, NotAStoreIsSaidToBeNone) {
  StoreBox empty;
  empty.map = media::make_memory_media(std::vector<std::byte>(kMetadataBytesMin));
  empty.data = box.data;
  const Status opened = empty.try_open();
  EXPECT_EQ(opened.code(), Code::kCorrupt);
  EXPECT_NE(opened.error().message().find("not a store"), std::string::npos);
}

TEST_F(RecoveryTest, ReadOnlyOpenWritesNothing) {
  make_regions(3);
  box.kill();
  const LogView log(box);
  scribble(log, {1}, log.positions[1], log.positions[1] + 32);
  const std::string image = map_image();
  ASSERT_TRUE(box.try_open({.read_only = true}).ok());
  expect_regions(3);
  EXPECT_TRUE(box.store->recovery().read_only);
  EXPECT_EQ(box.store->recovery().records_repaired, 1u);
  EXPECT_FALSE(box.store->check()->problems.empty()) << "the bad copy is still there";
  EXPECT_EQ(box.store->create(box.shelf, "x", 1, "", {}).code(), Code::kReadOnly);
  EXPECT_EQ(box.store->compact().code(), Code::kReadOnly);
  EXPECT_TRUE(box.store->close().ok());
  box.kill();
  EXPECT_EQ(map_image(), image);
}

TEST_F(RecoveryTest, RecoverTwiceIsRecoverOnce) {
  make_regions(4);
  box.kill();
  const LogView log(box);
  scribble(log, {0}, log.positions[2], log.positions[2] + 32);
  scribble(log, {0, 1}, log.end, log.end + 200);
  box.open();
  expect_regions(4);
  EXPECT_EQ(box.store->recovery().torn_bytes_dropped, 256u);
  box.reopen();
  expect_regions(4);
  EXPECT_EQ(box.store->recovery().records_repaired, 0u);
  EXPECT_EQ(box.store->recovery().torn_bytes_dropped, 0u);
  box.expect_clean();
}

TEST_F(RecoveryTest, TwoDifferentValidRecordsAtOnePlaceAreDamage) {
  make_regions(2);
  box.kill();
  const LogView log(box);
  // The same record with another clock, whole, in the mirror only.
  std::vector<std::byte> record(log.bytes.back());
  const uint64_t at = log.positions.back();
  ASSERT_TRUE(box.map->read(log.place.offsets[1] + at, record).ok());
  record[32] ^= std::byte{1};
  store_le<uint32_t>(&record[0],
                     crc32c(std::span(record).subspan(4), record_crc_seed(log.place.salt)));
  ASSERT_TRUE(box.map->store(log.place.offsets[1] + at, record).ok());
  box.open();
  EXPECT_TRUE(box.store->recovery().read_only);
  expect_regions(1);
}

// ---- whole but absurd records

class AbsurdRecordTest : public RecoveryTest {
 protected:
  void SetUp() override {
    RecoveryTest::SetUp();
    make_regions(2);
    box.kill();
    image_ = map_image();
  }

  // Appends a record with these operations, as this version would write it, and opens.
  void open_with(const OpBuffer& operations, uint32_t count, bool snapshot = false) {
    restore_map(image_);
    const LogView log(box);
    std::vector<std::byte> record(kRecordHeaderBytes);
    record.insert(record.end(), operations.begin(), operations.end());
    RecordHeader header;
    header.op_bytes = static_cast<uint32_t>(operations.size());
    header.bytes = record_bytes(header.op_bytes);
    header.sequence = log.superblock.log_first_sequence + log.positions.size();
    header.epoch = log.superblock.epoch;
    header.op_count = count;
    header.snapshot = snapshot;
    record.resize(header.bytes);
    encode_record_header(header, record_crc_seed(log.place.salt), record);
    ASSERT_TRUE(write_record(*box.map, log.place, log.end, record).ok());
    opened_ = box.try_open();
  }

  template <class... Ops>
  void expect_refused(const char* what, const Ops&... ops) {
    OpBuffer operations;
    (append_operation(operations, Request{}, ops), ...);
    open_with(operations, sizeof...(ops));
    ASSERT_TRUE(opened_.ok()) << what;
    EXPECT_TRUE(box.store->recovery().read_only) << what;
    EXPECT_NE(box.store->recovery().damage, "") << what;
    expect_regions(2);  // what was before it
    box.kill();
  }
  template <class... Ops>
  void expect_taken(const Ops&... ops) {
    OpBuffer operations;
    (append_operation(operations, Request{}, ops), ...);
    open_with(operations, sizeof...(ops));
    ASSERT_TRUE(opened_.ok());
    EXPECT_FALSE(box.store->recovery().read_only) << box.store->recovery().damage;
    box.expect_clean();
    box.kill();
  }

  std::string image_;
  Status opened_;
};

RegionPut put(RegionId id, uint64_t offset, uint64_t bytes, uint64_t footprint,
              std::string_view name = "new", ShelfId shelf = 1) {
  return {id, shelf, offset, bytes, footprint, 0, name, ""};
}

TEST_F(AbsurdRecordTest, IsRefusedAndWhatWasBeforeItIsServedReadOnly) {
  const uint64_t free = 5 * kExtentBytes;
  expect_taken(put(3, free, 100, 128));
  expect_refused("no such shelf", put(3, free, 100, 128, "new", 7));
  expect_refused("id of a live region", put(2, free, 100, 128));
  expect_refused("id 0", put(0, free, 100, 128));
  expect_refused("id out of range", put(kCounterMax, free, 100, 128));
  expect_refused("larger than its footprint", put(3, free, 129, 128));
  expect_refused("much larger", put(3, free, ~uint64_t{0}, 128));
  expect_refused("no footprint, yet bytes", put(3, 0, 1, 0));
  expect_refused("overlaps r0", put(3, kExtentBytes, 100, 128));
  expect_refused("before the data space", put(3, 0, 100, 128));
  expect_refused("data header", put(3, 4096, 100, 128));
  expect_refused("behind the data space", put(3, 9 * kExtentBytes, 100, 128));
  expect_refused("run over the end", put(3, 8 * kExtentBytes, 1, 2 * kExtentBytes));
  expect_refused("offset overflow", put(3, ~uint64_t{0} - 4095, 4096, 4096));
  expect_refused("footprint overflow", put(3, free, 1, ~uint64_t{0} - kExtentBytes + 1));
  expect_refused("footprint of no class", put(3, free, 1, 100));
  expect_refused("other class in the extent", put(3, kExtentBytes + 64 * 100, 64, 64));
  expect_refused("erase twice", RegionDel{1}, RegionDel{1});
  expect_refused("erase what is not there", RegionDel{77});
  expect_refused("rename what is not there", RegionRename{77, 0, false, "x"});
  expect_refused("rename to a taken name", RegionRename{1, 0, false, "r1"});
  expect_taken(RegionRename{1, 0, true, "r1"});
  expect_refused("swap with nothing", RegionSwap{1, 77, 0});
  expect_refused("swap nothing", RegionSwap{77, 1, 0});
  expect_refused("resize what is not there", RegionResize{77, free, 1, 64, 0});
  expect_refused("resize beyond its footprint", RegionResize{1, free, 65, 64, 0});
  expect_refused("resize onto another", RegionResize{1, kExtentBytes + 128, 100, 128, 0});
  expect_taken(RegionResize{1, free, 64, 64, 0});
  expect_refused("attributes of nothing", RegionAttributes{77, 0, "x"});
  expect_refused("erase no shelf", ShelfDel{9});
  expect_taken(ShelfDel{1});
  expect_refused("region of an erased shelf", ShelfDel{1}, put(3, free, 1, 64));
}

TEST_F(AbsurdRecordTest, ShelvesAndSpaceMustAddUp) {
  ShelfInfo info;
  info.id = 2;
  info.name = "second";
  info.capacity_bytes = kExtentBytes;
  expect_refused("more capacity than space", ShelfPut{info});
  ShelfInfo same = info;
  same.name = "shelf";
  same.capacity_bytes = 0;
  expect_refused("two shelves of one name", ShelfPut{same});
  ShelfInfo small = info;
  small.id = 1;
  small.name = "shelf";
  small.capacity_bytes = 0;
  expect_refused("capacity below its regions", ShelfPut{small});
  small.capacity_bytes = kExtentBytes;
  expect_taken(ShelfPut{small});
  ShelfInfo none = info;
  none.capacity_bytes = 0;
  expect_taken(ShelfPut{none});
  expect_refused("space cut below capacities", SpaceEnd{8 * kExtentBytes});
  expect_taken(ShelfPut{small}, SpaceEnd{8 * kExtentBytes});
  expect_refused("space cut below regions", RegionResize{1, 8 * kExtentBytes, 1, 64, 0},
                 ShelfPut{small}, SpaceEnd{8 * kExtentBytes});
  expect_refused("space before its begin", SpaceEnd{0});
  expect_refused("space not aligned", SpaceEnd{10 * kExtentBytes + 4096});
  expect_refused("space out of range", SpaceEnd{uint64_t{1} << 63});
  expect_refused("more than the capacity", ShelfPut{small}, put(3, 5 * kExtentBytes, 1, 64));
}

TEST_F(AbsurdRecordTest, SpaceBeyondTheMediaIsTruncation) {
  OpBuffer operations;
  append_operation(operations, Request{}, SpaceEnd{1000 * kExtentBytes});
  open_with(operations, 1);
  EXPECT_EQ(opened_.code(), Code::kCorrupt);
  EXPECT_NE(opened_.error().message().find("truncated"), std::string::npos);
}

TEST_F(AbsurdRecordTest, SnapshotOperationsKeepTheirPlace) {
  OpBuffer operations;
  append_operation(operations, Request{{1, 1}, 1}, RequestKept{4, 5});
  open_with(operations, 1);
  ASSERT_TRUE(opened_.ok());
  EXPECT_TRUE(box.store->recovery().read_only) << "REQUEST outside a snapshot";
  open_with(operations, 1, true);
  ASSERT_TRUE(opened_.ok());
  EXPECT_TRUE(box.store->recovery().read_only) << "a snapshot in the middle of the log";
  open_with(operations, 2);
  ASSERT_TRUE(opened_.ok());
  EXPECT_TRUE(box.store->recovery().read_only) << "wrong count";
  OpBuffer garbage(64, std::byte{0xff});
  open_with(garbage, 1);
  ASSERT_TRUE(opened_.ok());
  EXPECT_TRUE(box.store->recovery().read_only) << "no operation at all";
}

TEST_F(AbsurdRecordTest, RedoMustMakeSense) {
  const uint64_t image = 6 * kExtentBytes;
  const uint64_t target = kExtentBytes;  // r0
  const std::string zeros(10, '\0');
  ASSERT_EQ(StoreBox::read_at(*box.data, image, 10), zeros);
  const uint64_t digest = 0x2aab1e2a6dbd2b05;  // wrong on purpose
  expect_refused("digest", Redo{9, image, 10, digest, {{target, 10}}});
  expect_refused("image over a region", Redo{9, target, 10, digest, {{target, 10}}});
  expect_refused("image outside", Redo{9, 9 * kExtentBytes, 10, digest, {{target, 10}}});
  expect_refused("image before", Redo{9, 0, 10, digest, {{target, 10}}});
  expect_refused("image overflow", Redo{9, ~uint64_t{0} - 3, 10, digest, {{target, 10}}});
  expect_refused("target free", Redo{9, image, 10, digest, {{5 * kExtentBytes, 10}}});
  expect_refused("target half outside", Redo{9, image, 10, digest, {{target + 95, 10}}});
  expect_refused("something else follows", Redo{9, image, 10, digest, {{target, 10}}},
                 RegionDel{1});
  expect_refused("another one is done", Redo{9, image, 10, digest, {{target, 10}}}, RedoDone{8});
  expect_refused("done without redo", RedoDone{8});
  expect_taken(Redo{9, image, 10, digest, {{target, 10}}}, RedoDone{9});
}

TEST_F(AbsurdRecordTest, RandomOperationsNeverDoMoreThanRefuse) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const uint64_t interesting[] = {0,
                                  1,
                                  2,
                                  3,
                                  64,
                                  128,
                                  4096,
                                  kExtentBytes,
                                  2 * kExtentBytes,
                                  5 * kExtentBytes,
                                  9 * kExtentBytes,
                                  ~uint64_t{0},
                                  uint64_t{1} << 62,
                                  uint64_t{1} << 63};
  const auto any = [&] { return interesting[random() % std::size(interesting)]; };
  for (int round = 0; round < 3000; ++round) {
    OpBuffer operations;
    uint32_t count = 0;
    for (int i = 0; i < 4; ++i, ++count) {
      switch (random() % 8) {
        case 0:
          append_operation(operations, {}, put(any(), any(), any(), any(), "x", random() % 3));
          break;
        case 1:
          append_operation(operations, {}, RegionDel{any()});
          break;
        case 2:
          append_operation(operations, {}, RegionResize{any(), any(), any(), any(), 0});
          break;
        case 3:
          append_operation(operations, {}, RegionSwap{any(), any(), 0});
          break;
        case 4:
          append_operation(operations, {}, SpaceEnd{any()});
          break;
        case 5:
          append_operation(operations, {}, RedoDone{any()});
          break;
        case 6:
          append_operation(operations, {}, Redo{any(), any(), 8, 0, {{any(), 8}}});
          break;
        default: {
          ShelfInfo info;
          info.id = static_cast<ShelfId>(any() | 1);
          info.name = random() % 2 == 0 ? "shelf" : "s2";
          info.capacity_bytes = any();
          append_operation(operations, {}, ShelfPut{info});
        }
      }
    }
    open_with(operations, count);
    if (opened_.ok()) {
      const auto report = box.store->check();
      ASSERT_TRUE(report.ok());
      if (!box.store->recovery().read_only) {
        ASSERT_TRUE(report->problems.empty()) << report->problems.front();
      }
    } else {
      ASSERT_EQ(opened_.code(), Code::kCorrupt);
    }
    box.kill();
  }
}

// ---- log_scan.h on its own: more bytes than one window

TEST(ScanLog, ReadsRecordsAcrossWindowsAndFindsTheEnd) {
  constexpr uint64_t kLogBytes = 24 * kMiB;
  auto map = media::make_memory_media(std::vector<std::byte>(kLogAreaBegin + 2 * kLogBytes));
  LogPlace place;
  place.offsets[0] = kLogAreaBegin;
  place.offsets[1] = kLogAreaBegin + kLogBytes;
  place.bytes = kLogBytes;
  place.salt = 77;
  uint64_t position = 0, sequence = 1;
  std::vector<uint64_t> positions;
  std::mt19937_64 random(5);
  while (position + kRecordBytesMax <= kLogBytes - 2 * kMiB) {
    const uint32_t op_bytes = static_cast<uint32_t>(1 + random() % kRecordOpBytesMax);
    std::vector<std::byte> record(record_bytes(op_bytes));
    for (uint32_t i = 0; i < op_bytes; i += 97) record[64 + i] = std::byte(i);
    encode_record_header({record_bytes(op_bytes), sequence, 1, 1, op_bytes, 0, false},
                         record_crc_seed(place.salt), record);
    ASSERT_TRUE(write_record(*map, place, position, record).ok());
    positions.push_back(position);
    position += record.size();
    ++sequence;
  }
  const auto scan = [&] {
    uint64_t seen = 0;
    LogScanOptions options;
    options.epoch_max = 1;
    auto result =
        scan_log(*map, place, options, [&](const RecordHeader& header, auto, uint64_t at) {
          EXPECT_EQ(at, positions[seen] + kRecordHeaderBytes);
          EXPECT_EQ(header.sequence, ++seen);
          return Status();
        });
    EXPECT_TRUE(result.ok());
    return *result;
  };
  LogScan found = scan();
  EXPECT_EQ(found.records, positions.size());
  EXPECT_EQ(found.end, position);
  EXPECT_TRUE(found.torn.empty());
  EXPECT_EQ(found.damage, "");
  // One stray word at the very end of the mirror.
  const uint64_t last_word = place.offsets[1] + kLogBytes - 8;
  ASSERT_TRUE(map->store8(last_word, 1).ok());
  found = scan();
  ASSERT_EQ(found.torn.size(), 1u);
  EXPECT_EQ(found.torn[0].copy, 1);
  EXPECT_EQ(found.torn[0].bytes, kLogBytes - position);
  EXPECT_EQ(found.damage, "");
  ASSERT_TRUE(map->store8(last_word, 0).ok());
  // A damaged record in the middle: the next one is found though it lies in another window.
  const size_t middle = positions.size() / 2;
  for (const uint64_t copy : place.offsets)
    ASSERT_TRUE(map->store8(copy + positions[middle], 0).ok());
  found = scan();
  EXPECT_EQ(found.records, middle);
  EXPECT_NE(found.damage.find("follows"), std::string::npos);
}

}  // namespace
}  // namespace pmshelf::store
