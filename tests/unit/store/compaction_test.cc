// Promises of compaction: nothing is lost, the log stays short, a full store can still erase.
#include <gtest/gtest.h>

#include <string>

#include "server/store/store.h"
#include "tests/unit/store/store_fixture.h"

namespace pmshelf::store {
namespace {

TEST(Compaction, KeepsEverythingAndShortensTheLog) {
  for (const bool device : {false, true}) {
    StoreBox box = device ? StoreBox::device(8) : StoreBox::directory(8);
    box.open_with_shelf();
    for (int i = 0; i < 100; ++i) {
      box.create("r" + std::to_string(i), i, encoded_attributes({{"n", std::to_string(i)}}));
      box.sync();
    }
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(
          box.store->erase(box.store->find(box.shelf, "r" + std::to_string(i))->id, {}).ok());
    }
    const uint64_t records = 3;
    for (int round = 0; round < 3; ++round) {
      ASSERT_TRUE(box.store->compact().ok());
      box.expect_clean();
      box.create("x" + std::to_string(round), 1, encoded_attributes({{"n", "x"}}));
      box.sync();
    }
    box.reopen();
    EXPECT_LE(box.store->recovery().records_replayed, records);
    EXPECT_EQ(box.store->space(box.shelf).region_count, 53u);
    for (int i = 50; i < 100; ++i) {
      const auto found = box.store->find(box.shelf, "r" + std::to_string(i));
      ASSERT_TRUE(found.ok());
      EXPECT_EQ(*box.store->attributes(found->id), encoded_attributes({{"n", std::to_string(i)}}));
    }
    box.expect_clean();
  }
}

TEST(Compaction, HappensByItselfAndMakesStagedOperationsDurable) {
  StoreBox box = StoreBox::directory(8);
  box.open_with_shelf();
  bool compacted = false;
  for (int i = 0; i < 5000 && !compacted; ++i) {
    const std::string name = "a" + std::to_string(i);
    const RegionId id = box.create(name, 100, encoded_attributes({{"i", std::to_string(i)}}));
    const uint64_t generation = box.newest_superblock().generation;
    auto batch = box.store->take_batch();
    ASSERT_TRUE(batch.ok());
    compacted = box.newest_superblock().generation != generation;
    if (compacted) {
      // Durable already, before write_batch.
      box.kill();
      box.open();
      EXPECT_EQ(box.store->find(box.shelf, name)->id, id);
      EXPECT_EQ(*box.store->attributes(id), encoded_attributes({{"i", std::to_string(i)}}));
      break;
    }
    ASSERT_TRUE(box.store->write_batch(**batch).ok());
    box.store->finish_batch(std::move(*batch));
  }
  EXPECT_TRUE(compacted);
  box.expect_clean();
}

TEST(Compaction, BatchTakenInsteadOfARecordIsFinishedLikeAnyOther) {
  StoreBox box = StoreBox::directory(8);
  box.open_with_shelf();
  for (int i = 0; i < 4000; ++i) {
    const RegionId id = box.create("a", kExtentBytes * 5);  // must be free again each time
    ASSERT_NE(id, 0u) << i;
    box.sync();
    ASSERT_TRUE(box.store->erase(id, {}).ok());
    auto batch = box.store->take_batch();
    ASSERT_TRUE(batch.ok());
    ASSERT_NE(*batch, nullptr);
    ASSERT_TRUE(box.store->write_batch(**batch).ok());
    box.store->finish_batch(std::move(*batch));
  }
  box.expect_clean();
}

TEST(Compaction, DirectoryStoreGrowsItsMetadata) {
  StoreBox box = StoreBox::directory(8);
  box.open_with_shelf();
  const uint64_t before = box.map->bytes();
  for (int i = 0; i < 20'000; ++i) {
    const auto id = box.store->create(box.shelf, "region-" + std::to_string(i), 64, "", {});
    if (id.code() == Code::kResourceExhausted) {
      box.sync();
      --i;
      continue;
    }
    ASSERT_TRUE(id.ok()) << id.error().to_string();
  }
  box.sync();
  EXPECT_GT(box.map->bytes(), before);
  box.expect_clean();
  box.reopen();
  EXPECT_EQ(box.store->space(box.shelf).region_count, 20'000u);
  box.expect_clean();
  // And works on over several more compactions.
  for (int i = 0; i < 20'000; ++i) {
    const auto found = box.store->find(box.shelf, "region-" + std::to_string(i));
    ASSERT_TRUE(found.ok());
    if (box.store->erase(found->id, {}).code() == Code::kResourceExhausted) {
      box.sync();
      ASSERT_TRUE(box.store->erase(found->id, {}).ok());
    }
  }
  box.sync();
  box.reopen();
  EXPECT_EQ(box.store->space(box.shelf).region_count, 0u);
  EXPECT_EQ(box.store->space(box.shelf).used_bytes, 0u);
  box.expect_clean();
}

// One operation, one record, as a lone client causes.
TEST(Compaction, FullMetadataRefusesCreationAndStillErases) {
  StoreBox box = StoreBox::device(64);
  box.open_with_shelf();
  const std::string attributes = encoded_attributes({{"k", std::string(2000, 'v')}});
  uint64_t made = 0;
  Code code = Code::kOk;
  while (code == Code::kOk) {
    code =
        box.store->create(box.shelf, "r" + std::to_string(made), 1, attributes, {{2, made + 1}, 1})
            .code();
    if (code == Code::kResourceExhausted) {
      box.sync();
      code = Code::kOk;
      continue;
    }
    if (code == Code::kOk) ++made;
    if (made % 7 == 0) box.sync();
  }
  EXPECT_EQ(code, Code::kNoSpace);
  EXPECT_GT(made, 200u);
  box.sync();
  box.expect_clean();
  const auto full = box.store->create(box.shelf, "one more", 1, attributes, {});
  EXPECT_NE(full.error().message().find("metadata space full"), std::string::npos);
  EXPECT_EQ(box.store
                ->set_attributes(box.store->find(box.shelf, "r0")->id,
                                 encoded_attributes({{"k", std::string(30'000, 'v')}}), {})
                .code(),
            Code::kNoSpace);
  box.reopen();
  // Every erase is a record of its own, with a request.
  for (uint64_t i = 0; i < made; ++i) {
    const auto found = box.store->find(box.shelf, "r" + std::to_string(i));
    ASSERT_TRUE(found.ok());
    const Status erased = box.store->erase(found->id, {{3, i + 1}, 1});
    ASSERT_TRUE(erased.ok()) << erased.error().to_string();
    box.sync();
    if (i % 50 == 0) box.expect_clean();
  }
  EXPECT_EQ(box.store->space(box.shelf).used_bytes, 0u);
  box.create("again", 1, attributes);
  box.sync();
  box.reopen();
  EXPECT_EQ(box.store->space(box.shelf).region_count, 1u);
  box.expect_clean();
}

TEST(Compaction, DirectoryThatCannotGrowForgetsRequestsThenRefuses) {
  StoreBox box = StoreBox::directory(64);
  box.open_with_shelf();
  box.kill();
  // Media that cannot be resized: the file system is full.
  class Fixed final : public media::ForwardingMedia {
   public:
    using ForwardingMedia::ForwardingMedia;
    Status resize(uint64_t) override { return Error(Code::kNoSpace, "file system full"); }
  };
  auto opened = Store::open(std::make_unique<Fixed>(std::make_unique<SharedMedia>(box.map)),
                            std::make_unique<SharedMedia>(box.data), {}, box.clock());
  ASSERT_TRUE(opened.ok());
  Store& store = **opened;
  uint64_t request = 0;
  const auto churn = [&](int times) {
    for (int i = 0; i < times; ++i) {
      const auto id = store.create(box.shelf, "churn", 1, "", {{1, ++request}, 1});
      ASSERT_TRUE(id.ok()) << id.error().to_string();
      ASSERT_TRUE(store.erase(*id, {{1, ++request}, 1}).ok());
      ASSERT_TRUE(store.sync().ok());
    }
  };
  churn(3000);
  EXPECT_FALSE(store.find_request({1, 1}).has_value());
  EXPECT_TRUE(store.find_request({1, request - 900}).has_value());
  Code code = Code::kOk;
  uint64_t made = 0;
  while (code == Code::kOk) {
    code = store.create(box.shelf, "r" + std::to_string(made++), 1, "", {}).code();
    ASSERT_TRUE(store.sync().ok());
  }
  EXPECT_EQ(code, Code::kNoSpace);
  EXPECT_GT(made, 500u);
  for (uint64_t i = 0; i + 1 < made; ++i) {
    ASSERT_TRUE(store.erase(store.find(box.shelf, "r" + std::to_string(i))->id, {}).ok());
    ASSERT_TRUE(store.sync().ok());
  }
  churn(100);
  const auto report = store.check();
  ASSERT_TRUE(report->problems.empty()) << report->problems.front();
}

TEST(Compaction, DamagedAttributesAreNeverCopiedSilently) {
  StoreBox box = StoreBox::directory(8);
  box.open_with_shelf();
  const RegionId id = box.create("a", 1, encoded_attributes({{"key", "the value to be damaged"}}));
  box.sync();
  const Superblock superblock = box.newest_superblock();
  const std::string log = StoreBox::read_at(*box.map, superblock.log_primary, 4096);
  const uint64_t at = log.find("damaged");
  ASSERT_NE(at, std::string::npos);
  box.flip_bit(superblock.log_primary + at, 0);
  EXPECT_TRUE(box.store->attributes(id).ok()) << "from the mirror";
  EXPECT_EQ(box.store->check()->problems.size(), 1u);
  ASSERT_TRUE(box.store->compact().ok());
  box.expect_clean();
  // Now both.
  const Superblock after = box.newest_superblock();
  const uint64_t again = StoreBox::read_at(*box.map, after.log_primary, 4096).find("damaged");
  for (const uint64_t copy : {after.log_primary, after.log_mirror}) box.flip_bit(copy + again, 0);
  EXPECT_EQ(box.store->attributes(id).code(), Code::kCorrupt);
  EXPECT_FALSE(box.store->check()->problems.empty());
  EXPECT_EQ(box.store->compact().code(), Code::kCorrupt);
  EXPECT_TRUE(box.store->offline());
}

}  // namespace
}  // namespace pmshelf::store
