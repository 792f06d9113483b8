// The seeded bugs that need crafted bytes rather than a crash: each must be noticed by a check
// that passes without it. The others are killed by the explorer (tests/crash).
#include <gtest/gtest.h>

#include <string>

#include "common/base/crc32c.h"
#include "server/store/log.h"
#include "server/store/mutant.h"
#include "server/store/operations.h"
#include "tests/unit/store/store_fixture.h"

#ifdef PMSHELF_TEST_HOOKS

namespace pmshelf::store {
namespace {

class MutantTest : public testing::Test {
 protected:
  void SetUp() override {
    box = StoreBox::directory(4);
    box.open_with_shelf();
    box.create("a", 100);
    box.sync();
  }
  void TearDown() override { active_mutant = Mutant::kNone; }

  LogScan scan() {
    LogScanOptions options;
    options.epoch_max = box.newest_superblock().epoch;
    return *scan_log(*box.map, LogPlace::of(box.newest_superblock()), options,
                     [](auto&&...) { return Status(); });
  }
  // Appends a record with this operation; `change` may spoil it afterwards, in both copies.
  void append(const RegionPut& op, const std::function<void(std::vector<std::byte>&)>& change) {
    const LogScan log = scan();
    const LogPlace place = LogPlace::of(box.newest_superblock());
    OpBuffer record(kRecordHeaderBytes);
    append_operation(record, Request{}, op);
    const auto op_bytes = static_cast<uint32_t>(record.size()) - kRecordHeaderBytes;
    record.resize(record_bytes(op_bytes));
    encode_record_header(
        {record_bytes(op_bytes), log.next_sequence, log.last_epoch, 1, op_bytes, 0, false},
        record_crc_seed(place.salt), record);
    change(record);
    ASSERT_TRUE(write_record(*box.map, place, log.end, record).ok());
  }
  StoreBox box;
};

constexpr RegionPut kSpoiled{2, 1, 3 * kExtentBytes, 64, 64, 0, "spoiled", ""};

TEST_F(MutantTest, IgnoredCrcServesASpoiledRecord) {
  box.kill();
  append(kSpoiled, [](auto& record) { record[64 + 8 + 40] ^= std::byte{1}; });
  box.open();
  EXPECT_EQ(box.store->find(1, "spoiled").code(), Code::kNotFound);
  box.kill();
  append(kSpoiled, [](auto& record) { record[64 + 8 + 40] ^= std::byte{1}; });
  active_mutant = Mutant::kIgnoreRecordCrc;
  box.open();
  EXPECT_TRUE(box.store->find(1, "spoiled").ok());
}

TEST_F(MutantTest, IgnoredSequenceServesARecordOutOfOrder) {
  box.kill();
  const uint32_t seed = record_crc_seed(box.newest_superblock().log_salt);
  const auto skip_one = [&](std::vector<std::byte>& record) {
    store_le<uint64_t>(&record[8], load_le<uint64_t>(&record[8]) + 1);
    store_le<uint32_t>(&record[0], crc32c(std::span(record).subspan(4), seed));
  };
  append(kSpoiled, skip_one);
  box.open();
  EXPECT_EQ(box.store->find(1, "spoiled").code(), Code::kNotFound);
  EXPECT_TRUE(box.store->recovery().read_only);
  active_mutant = Mutant::kIgnoreSequence;
  box.reopen();
  EXPECT_TRUE(box.store->find(1, "spoiled").ok());
}

TEST_F(MutantTest, BoundOffByOneServesARegionBeyondItsFootprint) {
  box.kill();
  RegionPut beyond = kSpoiled;
  beyond.bytes = beyond.footprint_bytes + 1;
  append(beyond, [](auto&) {});
  box.open();
  EXPECT_EQ(box.store->find(1, "spoiled").code(), Code::kNotFound);
  active_mutant = Mutant::kAcceptBeyondEnd;
  box.reopen();
  EXPECT_TRUE(box.store->find(1, "spoiled").ok());
}

TEST_F(MutantTest, TornTailLeftBehindIsSeenByCheck) {
  for (const Mutant mutant : {Mutant::kNone, Mutant::kSkipTornTailZeroing}) {
    box.kill();
    append(kSpoiled, [](auto& record) { record[0] ^= std::byte{1}; });
    active_mutant = mutant;
    box.open();
    EXPECT_EQ(box.store->check()->problems.empty(), mutant == Mutant::kNone);
  }
}

TEST_F(MutantTest, OneSuperblockForAllLosesBothWithOneTornWrite) {
  for (const Mutant mutant :
       {Mutant::kNone, Mutant::kSuperblockOverNewer, Mutant::kSkipSecondSuperblock}) {
    active_mutant = mutant;
    box.reopen();
    ASSERT_TRUE(box.store->compact().ok());
    EXPECT_EQ(box.store->check()->problems.empty(), mutant == Mutant::kNone);
    active_mutant = Mutant::kNone;
    box.reopen();
  }
}

TEST_F(MutantTest, UnzeroedSlotShowsOldBytes) {
  for (const Mutant mutant : {Mutant::kNone, Mutant::kSkipZeroOfReusedSlot}) {
    active_mutant = mutant;
    const RegionId old = box.create("old", 3 * kExtentBytes);
    box.write(old, 0, "secret");
    ASSERT_TRUE(box.store->erase(old, {}).ok());
    box.sync();
    const RegionId fresh = box.create("new", 3 * kExtentBytes);
    EXPECT_EQ(box.read(fresh).substr(0, 6) == "secret", mutant != Mutant::kNone);
    ASSERT_TRUE(box.store->erase(fresh, {}).ok());
    box.sync();
  }
}

TEST_F(MutantTest, SpaceFreedTooEarlyIsReusedBeforeTheEraseIsDurable) {
  for (const Mutant mutant : {Mutant::kNone, Mutant::kFreeBeforeDurable}) {
    active_mutant = mutant;
    const RegionId big = box.create("big", 3 * kExtentBytes);
    box.sync();
    ASSERT_TRUE(box.store->erase(big, {}).ok());
    EXPECT_EQ(box.store->create(box.shelf, "next", 3 * kExtentBytes, "", {}).ok(),
              mutant != Mutant::kNone);
    box.sync();
  }
}

}  // namespace
}  // namespace pmshelf::store

#endif  // PMSHELF_TEST_HOOKS
