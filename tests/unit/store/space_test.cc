// Promises of space.h: footprints are disjoint, inside and accounted for to the byte.
#include "server/store/space.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "common/base/units.h"

namespace pmshelf::store {
namespace {

constexpr ShelfId kShelf = 1;
constexpr ShelfId kOther = 2;

void expect_sound(const Space& space) {
  std::vector<std::string> problems;
  space.verify(problems);
  ASSERT_TRUE(problems.empty()) << problems.front();
}

TEST(FootprintFor, FollowsTheTableOfTheFormat) {
  EXPECT_EQ(footprint_for(0), 0u);
  EXPECT_EQ(footprint_for(1), 64u);
  EXPECT_EQ(footprint_for(64), 64u);
  EXPECT_EQ(footprint_for(65), 128u);
  EXPECT_EQ(footprint_for(513), 640u);
  EXPECT_EQ(footprint_for(1025), 1280u);
  EXPECT_EQ(footprint_for(2049), 2560u);
  EXPECT_EQ(footprint_for(3584), 3584u);
  EXPECT_EQ(footprint_for(3585), 4096u);
  EXPECT_EQ(footprint_for(4097), 8192u);
  EXPECT_EQ(footprint_for(kExtentBytes - 4096), kExtentBytes - 4096);
  EXPECT_EQ(footprint_for(kExtentBytes - 4095), kExtentBytes);
  EXPECT_EQ(footprint_for(kExtentBytes), kExtentBytes);
  EXPECT_EQ(footprint_for(kExtentBytes + 1), 2 * kExtentBytes);
  for (uint64_t bytes = 1; bytes <= 4096; ++bytes) {
    const uint64_t footprint = footprint_for(bytes);
    EXPECT_GE(footprint, bytes);
    EXPECT_LE(footprint, bytes + std::max<uint64_t>(63, bytes / 4));
    EXPECT_TRUE(class_of_footprint(footprint).has_value());
  }
}

TEST(ClassOfFootprint, IsNothingForSizesThatNoRegionHas) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{63}, uint64_t{576},
                               uint64_t{4097}, kExtentBytes, kExtentBytes + 4096}) {
    EXPECT_FALSE(class_of_footprint(bytes).has_value()) << bytes;
  }
  EXPECT_EQ(class_of_footprint(4096), kPageClass);
  EXPECT_EQ(class_of_footprint(kExtentBytes - 4096), kPageClass);
}

TEST(Space, EmptyFootprintTakesNothing) {
  Space space(kExtentBytes, 2 * kExtentBytes);
  space.add_shelf(kShelf, 0);
  const auto placed = space.allocate(kShelf, 0);
  ASSERT_TRUE(placed.has_value());
  EXPECT_EQ(placed->offset, 0u);
  space.release(kShelf, 0, 0);
  EXPECT_FALSE(space.allocate(kShelf, 64).has_value());
  EXPECT_EQ(space.assignable_bytes(), kExtentBytes);
}

TEST(Space, FillsEverySlotOfEveryClassAndNoMore) {
  for (const uint32_t slot_bytes : kSlabClassBytes) {
    Space space(kExtentBytes, 3 * kExtentBytes);
    space.add_shelf(kShelf, 2 * kExtentBytes);
    uint64_t count = 0;
    while (const auto placed = space.allocate(kShelf, slot_bytes)) {
      EXPECT_EQ(placed->offset % kExtentBytes % slot_bytes, 0u);
      ++count;
    }
    EXPECT_EQ(count, 2 * (kExtentBytes / slot_bytes)) << slot_bytes;
    const SpaceInfo info = space.info(kShelf);
    EXPECT_EQ(info.free_bytes, 0u);
    EXPECT_EQ(info.used_bytes + info.metadata_bytes, 2 * kExtentBytes);
    EXPECT_EQ(info.largest_free_bytes, 0u);
    expect_sound(space);
  }
}

TEST(Space, ZeroesAheadOnceAndAgainOnlyWhatWasUsed) {
  Space space(kExtentBytes, 2 * kExtentBytes);
  space.add_shelf(kShelf, kExtentBytes);
  const auto first = *space.allocate(kShelf, 64);
  EXPECT_EQ(first.zero_offset, first.offset);
  EXPECT_EQ(first.zero_bytes, kZeroAheadBytes);
  space.mark_zero(first.zero_offset, first.zero_bytes);
  for (uint32_t i = 1; i < kZeroAheadBytes / 64; ++i) {
    EXPECT_EQ(space.allocate(kShelf, 64)->zero_bytes, 0u) << i;
  }
  const auto next = *space.allocate(kShelf, 64);
  EXPECT_EQ(next.zero_bytes, kZeroAheadBytes);
  space.mark_zero(next.zero_offset, next.zero_bytes);
  space.release(kShelf, first.offset, 64);
  // Known zeros come before the slot that was used.
  const auto after = *space.allocate(kShelf, 64);
  EXPECT_NE(after.offset, first.offset);
  EXPECT_EQ(after.zero_bytes, 0u);
}

TEST(Space, ReusedSlotIsToBeZeroed) {
  Space space(kExtentBytes, 2 * kExtentBytes);
  space.add_shelf(kShelf, kExtentBytes);
  std::vector<Placed> all;
  while (const auto placed = space.allocate(kShelf, 3584)) {
    space.mark_zero(placed->zero_offset, placed->zero_bytes);
    all.push_back(*placed);
  }
  space.release(kShelf, all[7].offset, 3584);
  const auto again = *space.allocate(kShelf, 3584);
  EXPECT_EQ(again.offset, all[7].offset);
  EXPECT_EQ(again.zero_offset, again.offset);
  EXPECT_EQ(again.zero_bytes, 3584u);
}

TEST(Space, ZeroAheadNeverCoversATakenSlot) {
  Space space(kExtentBytes, 2 * kExtentBytes);
  space.add_shelf(kShelf, kExtentBytes);
  ASSERT_TRUE(space.occupy(kShelf, kExtentBytes + 5 * 64, 64).ok());
  const auto placed = *space.allocate(kShelf, 64);
  EXPECT_EQ(placed.offset, kExtentBytes);
  EXPECT_EQ(placed.zero_bytes, 5 * 64u);
}

TEST(Space, LastEmptyExtentOfAClassStaysCarvedButIsFreeForOthers) {
  Space space(kExtentBytes, 2 * kExtentBytes);
  space.add_shelf(kShelf, kExtentBytes);
  const auto small = *space.allocate(kShelf, 64);
  space.mark_zero(small.zero_offset, small.zero_bytes);
  space.release(kShelf, small.offset, 64);
  EXPECT_EQ(space.info(kShelf).free_bytes, kExtentBytes);
  EXPECT_EQ(space.info(kShelf).largest_free_bytes, kExtentBytes);
  EXPECT_EQ(space.carved().size(), 1u);
  EXPECT_EQ(space.allocate(kShelf, 64)->zero_bytes, 0u) << "what was known to be zero is forgotten";
  space.release(kShelf, small.offset + 64, 64);
  EXPECT_TRUE(space.allocate(kShelf, kExtentBytes).has_value());
  EXPECT_TRUE(space.carved().empty());
  expect_sound(space);
}

TEST(Space, LargestFreeCountsEmptyExtentsBetweenFreeRuns) {
  Space space(kExtentBytes, 6 * kExtentBytes);
  space.add_shelf(kShelf, 5 * kExtentBytes);
  for (const uint64_t extent : {2, 3}) {
    ASSERT_TRUE(space.occupy(kShelf, extent * kExtentBytes, extent == 2 ? 64 : 4096).ok());
  }
  EXPECT_EQ(space.info(kShelf).largest_free_bytes, 2 * kExtentBytes);
  space.release(kShelf, 2 * kExtentBytes, 64);
  EXPECT_EQ(space.info(kShelf).largest_free_bytes, 2 * kExtentBytes);
  space.release(kShelf, 3 * kExtentBytes, 4096);
  EXPECT_EQ(space.info(kShelf).largest_free_bytes, 5 * kExtentBytes);
  EXPECT_TRUE(space.allocate(kShelf, 5 * kExtentBytes).has_value());
}

TEST(Space, SmallRegionTakesALargerSlotRatherThanNone) {
  Space space(kExtentBytes, 3 * kExtentBytes);
  space.add_shelf(kShelf, 2 * kExtentBytes);
  ASSERT_TRUE(space.allocate(kShelf, 4096).has_value());
  ASSERT_TRUE(space.allocate(kShelf, 3072).has_value());
  EXPECT_EQ(space.allocate(kShelf, 64)->footprint_bytes, 3072u);
  EXPECT_EQ(space.allocate(kShelf, 3584)->footprint_bytes, 4096u);
  expect_sound(space);
}

TEST(Space, CapacityIsAQuotaOverExtents) {
  Space space(0, 10 * kExtentBytes);
  space.add_shelf(kShelf, 2 * kExtentBytes);
  space.add_shelf(kOther, 8 * kExtentBytes);
  EXPECT_EQ(space.assignable_bytes(), 0u);
  EXPECT_FALSE(space.allocate(kShelf, 3 * kExtentBytes).has_value());
  EXPECT_TRUE(space.allocate(kShelf, 4096).has_value());
  EXPECT_TRUE(space.allocate(kShelf, 64).has_value());
  EXPECT_FALSE(space.allocate(kShelf, kExtentBytes).has_value());
  EXPECT_TRUE(space.allocate(kOther, 8 * kExtentBytes).has_value());
  expect_sound(space);
}

TEST(Space, ErasedShelfIsNobodysUntilReleased) {
  Space space(kExtentBytes, 5 * kExtentBytes);
  space.add_shelf(kShelf, 4 * kExtentBytes);
  const auto run = *space.allocate(kShelf, kExtentBytes);
  const auto page = *space.allocate(kShelf, 8192);
  space.remove_shelf(kShelf);
  EXPECT_EQ(space.assignable_bytes(), 2 * kExtentBytes);
  EXPECT_EQ(space.info().used_bytes, kExtentBytes + 8192);
  expect_sound(space);
  space.release(kShelf, run.offset, kExtentBytes);
  space.release(kShelf, page.offset, 8192);
  EXPECT_EQ(space.assignable_bytes(), 4 * kExtentBytes);
  EXPECT_EQ(space.info().free_bytes, 4 * kExtentBytes);
  expect_sound(space);
}

TEST(Space, OccupyRefusesWhatMakesNoSense) {
  Space space(kExtentBytes, 4 * kExtentBytes);
  space.add_shelf(kShelf, 2 * kExtentBytes);
  space.add_shelf(kOther, kExtentBytes);
  const auto refused = [&](ShelfId shelf, uint64_t offset, uint64_t footprint) {
    return space.occupy(shelf, offset, footprint).code() == Code::kCorrupt;
  };
  EXPECT_TRUE(refused(kShelf, 64, 0)) << "empty, yet somewhere";
  EXPECT_TRUE(refused(kShelf, 0, 64)) << "before the data space";
  EXPECT_TRUE(refused(kShelf, 4 * kExtentBytes, 64)) << "behind it";
  EXPECT_TRUE(refused(kShelf, 4 * kExtentBytes - 4096, 8192)) << "over its end";
  EXPECT_TRUE(refused(kShelf, kExtentBytes, ~uint64_t{0} - 4095)) << "overflow";
  EXPECT_TRUE(refused(kShelf, kExtentBytes, 65)) << "no class";
  EXPECT_TRUE(refused(kShelf, kExtentBytes, kExtentBytes + 4096)) << "no run";
  EXPECT_TRUE(refused(kShelf, kExtentBytes + 4096, kExtentBytes)) << "run not aligned";
  EXPECT_TRUE(refused(kShelf, kExtentBytes + 32, 64)) << "slot not aligned";
  EXPECT_TRUE(refused(kShelf, kExtentBytes + 512, 4096)) << "page not aligned";
  EXPECT_TRUE(refused(kShelf, 2 * kExtentBytes - 4096, 8192)) << "pages over two extents";
  EXPECT_TRUE(refused(kShelf, 2 * kExtentBytes - 256, 192)) << "slot in the tail of its slab";
  EXPECT_TRUE(refused(kShelf, kExtentBytes, 3 * kExtentBytes)) << "more than the capacity";
  ASSERT_TRUE(space.occupy(kShelf, kExtentBytes, 64).ok());
  EXPECT_TRUE(refused(kShelf, kExtentBytes, 64)) << "taken";
  EXPECT_TRUE(refused(kShelf, kExtentBytes + 128, 128)) << "other class";
  EXPECT_TRUE(refused(kOther, kExtentBytes + 64, 64)) << "other shelf";
  EXPECT_TRUE(refused(kShelf, kExtentBytes, kExtentBytes)) << "run over a slab";
  ASSERT_TRUE(space.occupy(kShelf, 2 * kExtentBytes, kExtentBytes).ok());
  EXPECT_TRUE(refused(kShelf, 2 * kExtentBytes, 64)) << "slab in a run";
  EXPECT_TRUE(refused(kShelf, 3 * kExtentBytes, 64)) << "capacity used up by extents";
  expect_sound(space);
}

TEST(Space, OccupyMayReuseAnEmptyExtentForAnotherClass) {
  Space space(kExtentBytes, 2 * kExtentBytes);
  space.add_shelf(kShelf, kExtentBytes);
  ASSERT_TRUE(space.occupy(kShelf, kExtentBytes, 64).ok());
  space.release(kShelf, kExtentBytes, 64);
  ASSERT_TRUE(space.occupy(kShelf, kExtentBytes, 4096).ok());
  space.release(kShelf, kExtentBytes, 4096);
  ASSERT_TRUE(space.occupy(kShelf, kExtentBytes, kExtentBytes).ok());
  expect_sound(space);
}

TEST(Space, ExtendsPagesAndRunsInPlaceOnly) {
  Space space(kExtentBytes, 6 * kExtentBytes);
  space.add_shelf(kShelf, 4 * kExtentBytes);
  ASSERT_TRUE(space.occupy(kShelf, kExtentBytes, 4096).ok());
  EXPECT_TRUE(space.extend(kShelf, kExtentBytes, 4096, 8192));
  ASSERT_TRUE(space.occupy(kShelf, kExtentBytes + 3 * 4096, 4096).ok());
  EXPECT_TRUE(space.extend(kShelf, kExtentBytes, 8192, 3 * 4096));
  EXPECT_FALSE(space.extend(kShelf, kExtentBytes, 3 * 4096, 4 * 4096));
  EXPECT_FALSE(space.extend(kShelf, kExtentBytes + 3 * 4096, 4096, 4096 * 512));
  ASSERT_TRUE(space.occupy(kShelf, 2 * kExtentBytes, kExtentBytes).ok());
  EXPECT_TRUE(space.extend(kShelf, 2 * kExtentBytes, kExtentBytes, 3 * kExtentBytes));
  EXPECT_FALSE(space.extend(kShelf, 2 * kExtentBytes, 3 * kExtentBytes, 4 * kExtentBytes))
      << "the capacity is used up";
  expect_sound(space);
}

TEST(Space, IsFreeTellsEveryByte) {
  Space space(kExtentBytes, 4 * kExtentBytes);
  space.add_shelf(kShelf, 3 * kExtentBytes);
  ASSERT_TRUE(space.occupy(kShelf, kExtentBytes + 4096, 4096).ok());
  EXPECT_TRUE(space.is_free(kExtentBytes, 4096));
  EXPECT_FALSE(space.is_free(kExtentBytes, 4097));
  EXPECT_FALSE(space.is_free(kExtentBytes + 8191, 10));
  EXPECT_TRUE(space.is_free(kExtentBytes + 8192, 2 * kExtentBytes));
  ASSERT_TRUE(space.occupy(kShelf, 3 * kExtentBytes, kExtentBytes).ok());
  EXPECT_FALSE(space.is_free(kExtentBytes + 8192, 2 * kExtentBytes));
}

// Against a model that knows only the list of live footprints.
class RandomUse : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomUse, FootprintsStayDisjointInsideAndAccounted) {
  const uint64_t seed = GetParam() + std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr uint64_t kExtents = 24;
  Space space(3 * kExtentBytes, (3 + kExtents) * kExtentBytes);
  const uint64_t capacity[] = {16 * kExtentBytes, 8 * kExtentBytes};
  space.add_shelf(kShelf, capacity[0]);
  space.add_shelf(kOther, capacity[1]);
  struct Live {
    uint64_t footprint;
    ShelfId shelf;
  };
  std::map<uint64_t, Live> live;  // by offset
  uint64_t used[2] = {0, 0};
  const auto pick = [&] {
    auto it = live.lower_bound(random() % ((3 + kExtents) * kExtentBytes));
    return it == live.end() ? live.begin() : it;
  };
  const auto expect_disjoint = [&](uint64_t offset, uint64_t footprint) {
    ASSERT_GE(offset, 3 * kExtentBytes);
    ASSERT_LE(offset + footprint, (3 + kExtents) * kExtentBytes);
    const auto after = live.upper_bound(offset);
    if (after != live.end()) {
      ASSERT_LE(offset + footprint, after->first);
    }
    if (after != live.begin()) {
      const auto before = std::prev(after);
      if (before->first != offset) {
        ASSERT_LE(before->first + before->second.footprint, offset);
      }
    }
  };
  for (int step = 0; step < 6000; ++step) {
    const ShelfId shelf = random() % 2 == 0 ? kShelf : kOther;
    const int action = random() % 10;
    if (action < 5) {
      const int kind = random() % 3;
      const uint64_t bytes = kind == 0   ? 1 + random() % 4000
                             : kind == 1 ? 4000 + random() % (1 << 20)
                                         : 1 + random() % (6 * kExtentBytes);
      const uint64_t footprint = footprint_for(bytes);
      const SpaceInfo before = space.info(shelf);
      const auto placed = space.allocate(shelf, footprint);
      if (!placed) {
        ASSERT_LT(before.largest_free_bytes, footprint) << "refused though it fits";
        continue;
      }
      ASSERT_GE(placed->footprint_bytes, footprint);
      expect_disjoint(placed->offset, placed->footprint_bytes);
      if (placed->zero_bytes > 0) {
        ASSERT_LE(placed->zero_offset, placed->offset);
        for (const auto& [offset, other] : live) {
          ASSERT_TRUE(offset + other.footprint <= placed->zero_offset ||
                      offset >= placed->zero_offset + placed->zero_bytes)
              << "would zero somebody's bytes";
        }
        space.mark_zero(placed->zero_offset, placed->zero_bytes);
      }
      live[placed->offset] = {placed->footprint_bytes, shelf};
      used[shelf - 1] += placed->footprint_bytes;
    } else if (!live.empty() && action < 8) {
      const auto it = pick();
      space.release(it->second.shelf, it->first, it->second.footprint);
      used[it->second.shelf - 1] -= it->second.footprint;
      live.erase(it);
    } else if (!live.empty()) {
      const auto it = pick();
      auto& [offset, region] = *it;
      if (region.footprint < kPageBytes) continue;
      const uint64_t unit = region.footprint >= kExtentBytes ? kExtentBytes : kPageBytes;
      if (action == 8 && region.footprint > unit) {
        space.release(region.shelf, offset + region.footprint - unit, unit);
        region.footprint -= unit;
        used[region.shelf - 1] -= unit;
      } else if (unit == kExtentBytes || region.footprint + unit < kExtentBytes) {
        if (!space.extend(region.shelf, offset, region.footprint, region.footprint + unit))
          continue;
        region.footprint += unit;
        used[region.shelf - 1] += unit;
        expect_disjoint(offset, region.footprint);
      }
    }
    for (const ShelfId id : {kShelf, kOther}) {
      const SpaceInfo info = space.info(id);
      ASSERT_EQ(info.used_bytes, used[id - 1]);
      ASSERT_EQ(info.used_bytes + info.free_bytes + info.metadata_bytes, capacity[id - 1]);
    }
    if (step % 50 == 0) expect_sound(space);
  }
  // Recovery's way gives the same space, whatever the order.
  Space again(3 * kExtentBytes, (3 + kExtents) * kExtentBytes);
  again.add_shelf(kShelf, capacity[0]);
  again.add_shelf(kOther, capacity[1]);
  std::vector<std::pair<uint64_t, Live>> shuffled(live.begin(), live.end());
  std::shuffle(shuffled.begin(), shuffled.end(), random);
  for (const auto& [offset, region] : shuffled) {
    const Status taken = again.occupy(region.shelf, offset, region.footprint);
    ASSERT_TRUE(taken.ok()) << taken.error().to_string();
  }
  for (const ShelfId id : {kShelf, kOther}) {
    EXPECT_EQ(again.info(id).used_bytes, space.info(id).used_bytes);
    EXPECT_EQ(again.info(id).metadata_bytes, space.info(id).metadata_bytes);
  }
  expect_sound(again);
  for (const auto& [offset, region] : live) space.release(region.shelf, offset, region.footprint);
  EXPECT_EQ(space.info().free_bytes, kExtents * kExtentBytes) << "leaked";
  expect_sound(space);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomUse, testing::Range<uint64_t>(0, 6));

}  // namespace
}  // namespace pmshelf::store
