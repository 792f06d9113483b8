// Promise of run_map.h: the set is exact, runs are maximal, the shortest fitting run is used.
#include "server/store/run_map.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace pmshelf::store {
namespace {

TEST(RunMap, TakesTheShortestRunThatFitsLowestFirst) {
  RunMap map;
  map.give(0, 10);
  map.give(20, 3);
  map.give(30, 3);
  EXPECT_EQ(map.take(2), 20u);
  EXPECT_EQ(map.take(3), 30u);
  EXPECT_EQ(map.take(11), std::nullopt);
  EXPECT_EQ(map.take(10), 0u);
  EXPECT_EQ(map.longest(), 1u);
}

TEST(RunMap, TakeAtChangesNothingUnlessAllIsThere) {
  RunMap map;
  map.give(5, 5);
  EXPECT_FALSE(map.take_at(4, 2));
  EXPECT_FALSE(map.take_at(9, 2));
  EXPECT_FALSE(map.take_at(20, 1));
  EXPECT_EQ(map.total(), 5u);
  EXPECT_TRUE(map.take_at(6, 2));
  EXPECT_EQ(map.runs().size(), 2u);
}

TEST(RunMap, AgreesWithASetUnderRandomUse) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  RunMap map;
  std::set<uint64_t> model;
  const auto range_free = [&](uint64_t first, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      if (!model.contains(first + i)) return false;
    }
    return true;
  };
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t first = random() % 200;
    const uint64_t count = 1 + random() % 6;
    switch (random() % 4) {
      case 0: {
        bool disjoint = true;
        for (uint64_t i = 0; i < count; ++i) disjoint = disjoint && !model.contains(first + i);
        if (!disjoint) break;
        map.give(first, count);
        for (uint64_t i = 0; i < count; ++i) model.insert(first + i);
        break;
      }
      case 1:
        if (const auto got = map.take(count)) {
          for (uint64_t i = 0; i < count; ++i) ASSERT_EQ(model.erase(*got + i), 1u);
        } else {
          for (uint64_t at = 0; at < 206; ++at) ASSERT_FALSE(range_free(at, count));
        }
        break;
      case 2:
        ASSERT_EQ(map.contains(first, count), range_free(first, count));
        if (map.take_at(first, count)) {
          for (uint64_t i = 0; i < count; ++i) ASSERT_EQ(model.erase(first + i), 1u);
        } else {
          ASSERT_FALSE(range_free(first, count));
        }
        break;
      default: {
        if (step % 50 != 0) break;
        RunMap tail = map.split_off(first);
        uint64_t inside = 0;
        for (const auto& [start, length] : tail.runs()) {
          ASSERT_GE(start, first);
          inside += length;
        }
        ASSERT_EQ(inside, tail.total());
        for (const auto& [start, length] : tail.runs()) map.give(start, length);
      }
    }
    ASSERT_EQ(map.total(), model.size());
    uint64_t previous_end = 0, longest = 0;
    for (const auto& [start, length] : map.runs()) {
      if (previous_end != 0) {
        ASSERT_GT(start, previous_end) << "runs are not maximal";
      }
      previous_end = start + length;
      longest = std::max(longest, length);
      ASSERT_EQ(map.start_of_run_ending_at(previous_end), start);
      ASSERT_EQ(map.end_of_run_starting_at(start), previous_end);
    }
    ASSERT_EQ(map.longest(), longest);
  }
}

}  // namespace
}  // namespace pmshelf::store
