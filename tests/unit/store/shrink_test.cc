// Promises of resize_shelf: bytes survive the move, what is open stays where it is, nothing is
// placed behind the end, the sums hold.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "server/store/store.h"
#include "tests/unit/store/store_fixture.h"

namespace pmshelf::store {
namespace {

class ShrinkTest : public testing::Test {
 protected:
  void SetUp() override {
    box = StoreBox::directory(10);
    box.open_with_shelf();
  }
  uint64_t offset_of(RegionId id) { return box.store->region(id)->offset; }
  Status resize(uint64_t extents) {
    return box.store->resize_shelf(box.shelf, extents * kExtentBytes, {});
  }
  // As the pool does: the record is durable before the file is cut.
  void resize_and_cut(uint64_t extents) {
    const Status resized = resize(extents);
    ASSERT_TRUE(resized.ok()) << resized.error().to_string();
    box.sync();
    ASSERT_TRUE(box.data->resize((extents + 1) * kExtentBytes).ok());
  }
  StoreBox box;
};

TEST_F(ShrinkTest, GrowsAfterTheFileHasGrown) {
  EXPECT_EQ(resize(12).code(), Code::kNoSpace);
  ASSERT_TRUE(box.data->resize(13 * kExtentBytes).ok());
  ASSERT_TRUE(resize(12).ok());
  EXPECT_EQ(box.store->space(box.shelf).capacity_bytes, 12 * kExtentBytes);
  const RegionId id = box.create("big", 12 * kExtentBytes);
  box.sync();
  box.reopen();
  EXPECT_EQ(box.store->region(id)->bytes, 12 * kExtentBytes);
  EXPECT_EQ(box.store->space().capacity_bytes, 12 * kExtentBytes);
  box.expect_clean();
  EXPECT_EQ(resize(11).code(), Code::kNoSpace);
  EXPECT_EQ(box.store->resize_shelf(box.shelf, 4096, {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(box.store->resize_shelf(99, 0, {}).code(), Code::kNotFound);
  EXPECT_EQ(box.store->resize_shelf(box.shelf, uint64_t{1} << 62, {}).code(),
            Code::kInvalidArgument);
  box.expect_clean();
}

TEST_F(ShrinkTest, MovesWhatLiesAtTheEndAndKeepsItsBytes) {
  std::vector<RegionId> fill;
  for (int i = 0; i < 8; ++i) fill.push_back(box.create("fill" + std::to_string(i), kExtentBytes));
  const RegionId page = box.create("page", 10'000, encoded_attributes({{"k", "v"}}));
  const RegionId slot = box.create("slot", 100);
  for (const RegionId id : {page, slot}) box.write(id, 0, "content of " + std::to_string(id));
  EXPECT_GE(offset_of(page), 9 * kExtentBytes);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(box.store->erase(fill[i], {}).ok());
  box.sync();
  const uint64_t modified = box.store->region(page)->modified_unix_ms;
  box.manual_clock().advance_ms(1000);
  resize_and_cut(4);
  for (int round = 0; round < 2; ++round) {
    for (const RegionId id : {page, slot}) {
      EXPECT_LT(offset_of(id), 5 * kExtentBytes);
      const std::string text = "content of " + std::to_string(id);
      EXPECT_EQ(box.read(id).substr(0, text.size()), text);
    }
    EXPECT_EQ(*box.store->attributes(page), encoded_attributes({{"k", "v"}}));
    EXPECT_EQ(box.store->region(page)->modified_unix_ms, modified);
    EXPECT_EQ(box.store->space(box.shelf).capacity_bytes, 4 * kExtentBytes);
    EXPECT_EQ(box.store->space().capacity_bytes, 4 * kExtentBytes);
    EXPECT_EQ(box.store->space(box.shelf).held_bytes, 0u);
    box.expect_clean();
    box.reopen();
  }
  EXPECT_EQ(box.store->create(box.shelf, "x", kExtentBytes, "", {}).code(), Code::kNoSpace);
}

TEST_F(ShrinkTest, SumsHoldWhileTheOldPlacesWait) {
  box.create("a", 3 * kExtentBytes);
  const RegionId b = box.create("b", 3 * kExtentBytes);
  ASSERT_TRUE(box.store->erase(box.store->find(box.shelf, "a")->id, {}).ok());
  box.sync();
  box.write(b, 0, "b");
  ASSERT_TRUE(resize(5).ok());
  box.expect_clean();
  // The new place, and what of the old one lies before the end.
  EXPECT_EQ(box.store->space(box.shelf).used_bytes, 5 * kExtentBytes);
  EXPECT_EQ(box.store->space(box.shelf).held_bytes, 2 * kExtentBytes);
  EXPECT_EQ(resize(6).code(), Code::kBusy) << "the tail waits for the record";
  EXPECT_EQ(box.store->create(box.shelf, "x", 3 * kExtentBytes, "", {}).code(), Code::kNoSpace);
  box.sync();
  box.expect_clean();
  ASSERT_TRUE(resize(6).ok());
  box.sync();
  EXPECT_EQ(box.read(b)[0], 'b');
  box.reopen();
  box.expect_clean();
}

TEST_F(ShrinkTest, WhatIsOpenIsNamedAndNothingIsLost) {
  for (int i = 0; i < 9; ++i) box.create("fill" + std::to_string(i), kExtentBytes);
  const RegionId last = box.create("the last", kExtentBytes);
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(
        box.store->erase(box.store->find(box.shelf, "fill" + std::to_string(i))->id, {}).ok());
  }
  box.sync();
  Pin pin = *box.store->pin(last);
  Status shrunk = resize(5);
  EXPECT_EQ(shrunk.code(), Code::kBusy);
  EXPECT_NE(shrunk.error().message().find("'the last'"), std::string::npos);
  box.expect_clean();
  ASSERT_TRUE(box.store->erase(last, {}).ok());
  box.sync();
  EXPECT_EQ(resize(5).code(), Code::kBusy) << "erased, but still open";
  box.expect_clean();
  pin = Pin();
  ASSERT_TRUE(resize(5).ok());
  box.sync();
  box.expect_clean();
  ASSERT_TRUE(box.data->resize(11 * kExtentBytes).ok());
  ASSERT_TRUE(resize(10).ok());
  box.sync();
  EXPECT_EQ(box.store->space(box.shelf).largest_free_bytes, 10 * kExtentBytes);
}

TEST_F(ShrinkTest, StagedRegionAtTheEndIsBusy) {
  const Staged first = *box.store->reserve(box.shelf, 9 * kExtentBytes, false);
  const Staged last = *box.store->reserve(box.shelf, 100, true);
  box.store->release(first.id);
  EXPECT_EQ(resize(5).code(), Code::kBusy);
  box.store->release(last.id);
  EXPECT_TRUE(resize(5).ok());
}

TEST_F(ShrinkTest, TooMuchToFitIsRefusedWithEverythingStillThere) {
  std::vector<RegionId> ids;
  for (int i = 0; i < 10; ++i) {
    ids.push_back(box.create("r" + std::to_string(i), kExtentBytes));
    box.write(ids.back(), 0, std::to_string(i));
  }
  box.sync();
  EXPECT_EQ(resize(9).code(), Code::kNoSpace);
  EXPECT_EQ(resize(0).code(), Code::kNoSpace);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(box.read(ids[i])[0], '0' + i);
  box.expect_clean();
  box.sync();
  box.reopen();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(box.read(ids[i])[0], '0' + i);
  box.expect_clean();
}

TEST_F(ShrinkTest, MoreMovesThanOneBatchHoldsAreWrittenOnTheWay) {
  const RegionId first = box.create("first", 8 * kExtentBytes);
  constexpr int kCount = 10'000;
  for (int i = 0; i < kCount; ++i) {
    const auto id = box.store->create(box.shelf, "s" + std::to_string(i), 64, "", {});
    if (!id.ok()) {
      box.sync();
      --i;
    }
  }
  for (int i = 0; i < kCount; i += 97) {
    box.write(box.store->find(box.shelf, "s" + std::to_string(i))->id, 0, std::to_string(i));
  }
  ASSERT_TRUE(box.store->erase(first, {}).ok());
  box.sync();
  resize_and_cut(1);
  box.reopen();
  EXPECT_EQ(box.store->space(box.shelf).region_count, static_cast<uint64_t>(kCount));
  for (int i = 0; i < kCount; i += 97) {
    const std::string text = std::to_string(i);
    EXPECT_EQ(box.read(box.store->find(box.shelf, "s" + text)->id).substr(0, text.size()), text);
  }
  box.expect_clean();
}

TEST(ShrinkOnADevice, SparseExtentsAreEmptiedForTheQuota) {
  StoreBox box = StoreBox::device(8);
  box.open_with_shelf();
  // Four page extents, each with little left in it; and one open region.
  std::vector<RegionId> ids;
  for (int i = 0; i < 16; ++i) {
    ids.push_back(box.create("r" + std::to_string(i), kExtentBytes / 4));
    box.write(ids.back(), 0, std::to_string(i));
  }
  for (int i = 0; i < 16; ++i) {
    if (i % 4 != 0) {
      ASSERT_TRUE(box.store->erase(ids[i], {}).ok());
    }
  }
  box.sync();
  Pin pin = *box.store->pin(ids[0]);
  const uint64_t stays = box.store->region(ids[0])->offset;
  ASSERT_TRUE(box.store->resize_shelf(box.shelf, kExtentBytes, {}).ok());
  box.expect_clean();
  EXPECT_EQ(box.store->region(ids[0])->offset, stays);
  ShelfInfo other;
  other.name = "other";
  other.capacity_bytes = 7 * kExtentBytes;
  EXPECT_EQ(box.store->create_shelf(other, {}).code(), Code::kNoSpace) << "not durable yet";
  box.sync();
  const auto made = box.store->create_shelf(other, {});
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  ASSERT_TRUE(box.store->create(*made, "all", 7 * kExtentBytes, "", {}).ok());
  box.sync();
  box.reopen();
  for (int i = 0; i < 16; i += 4) {
    EXPECT_EQ(box.read(ids[i]).substr(0, std::to_string(i).size()), std::to_string(i));
  }
  EXPECT_EQ(box.store->create(box.shelf, "x", 1, "", {}).code(), Code::kNoSpace);
  box.expect_clean();
}

TEST(ShrinkOnADevice, QuotaThatOpenRegionsNeedIsRefused) {
  StoreBox box = StoreBox::device(8);
  box.open_with_shelf();
  const RegionId slot = box.create("slot", 64), page = box.create("page", 4096);
  box.sync();
  const Pin a = *box.store->pin(slot), b = *box.store->pin(page);
  EXPECT_EQ(box.store->resize_shelf(box.shelf, kExtentBytes, {}).code(), Code::kNoSpace);
  EXPECT_TRUE(box.store->resize_shelf(box.shelf, 2 * kExtentBytes, {}).ok());
  box.sync();
  box.reopen();
  box.expect_clean();
}

class RandomShrink : public testing::TestWithParam<bool> {};

TEST_P(RandomShrink, ContentsAndSumsSurviveAnyOrder) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const bool device = GetParam();
  constexpr uint64_t kMost = 24;
  StoreBox box = device ? StoreBox::device(kMost) : StoreBox::directory(kMost);
  box.open_with_shelf();
  std::map<std::string, std::string> model;
  uint64_t shrunk = 0;
  for (int step = 0; step < 1200; ++step) {
    const std::string name = "r" + std::to_string(random() % 60);
    switch (random() % 6) {
      case 0:
      case 1:
      case 2: {
        const uint64_t bytes = random() % 3 == 0   ? random() % 3000
                               : random() % 3 == 1 ? random() % 300'000
                                                   : random() % (3 * kExtentBytes);
        const auto made = box.store->create(box.shelf, name, bytes, "", {});
        if (!made.ok()) break;
        std::string text(std::min<uint64_t>(bytes, 40), static_cast<char>('a' + step % 26));
        box.write(*made, bytes - text.size(), text);
        model[name] = text;
        break;
      }
      case 3:
        if (const auto found = box.store->find(box.shelf, name); found.ok()) {
          ASSERT_TRUE(box.store->erase(found->id, {}).ok());
          model.erase(name);
        }
        break;
      case 4: {
        if (random() % 4 != 0) break;
        const uint64_t extents = random() % (kMost + 1);
        if (!device) box.sync();
        const uint64_t before = box.store->shelf(box.shelf)->capacity_bytes;
        if (!device && extents * kExtentBytes > before) {
          ASSERT_TRUE(box.data->resize((extents + 1) * kExtentBytes).ok());
        }
        const Status resized = box.store->resize_shelf(box.shelf, extents * kExtentBytes, {});
        if (!resized.ok()) {
          ASSERT_TRUE(resized.code() == Code::kNoSpace) << resized.error().to_string();
          break;
        }
        if (extents * kExtentBytes < before) ++shrunk;
        box.sync();
        if (!device) {
          ASSERT_TRUE(box.data->resize((extents + 1) * kExtentBytes).ok());
        }
        break;
      }
      default:
        if (random() % 8 == 0) {
          box.sync();
          box.reopen();
        }
    }
    if (step % 20 == 0) box.expect_clean();
    if (testing::Test::HasFailure()) return;
  }
  box.sync();
  box.reopen();
  box.expect_clean();
  EXPECT_EQ(box.store->space(box.shelf).region_count, model.size());
  for (const auto& [name, text] : model) {
    const auto found = box.store->find(box.shelf, name);
    ASSERT_TRUE(found.ok()) << name;
    EXPECT_EQ(StoreBox::read_at(box.bytes_media(), found->offset + found->bytes - text.size(),
                                text.size()),
              text);
  }
  EXPECT_GT(shrunk, 0u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, RandomShrink, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Device" : "Directory"; });

}  // namespace
}  // namespace pmshelf::store
