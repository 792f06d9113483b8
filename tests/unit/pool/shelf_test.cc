// Promises of an open shelf: regions, staging, replays, who may reach what.
#include "pool_fixture.h"
#include "server/store/attributes.h"

namespace pmshelf::pool {
namespace {

using Names = std::vector<std::string>;

// Every test on memory, and on page-cache files, where waiting happens outside of the lock.
class ShelfTest : public PoolTest, public ::testing::WithParamInterface<const char*> {
 protected:
  ShelfTest() : PoolTest(GetParam()) {
    pool_ = open_pool();
    shelf_ = make_shelf(*pool_, "s", 16 * kMiB);
  }
  void reopen_shelf() {
    shelf_.reset();
    reopen(pool_);
    shelf_ = get_shelf(*pool_, "s");
  }
  Names scan(std::string_view prefix, std::string_view after, bool from_start) {
    Names names;
    shelf_->scan(prefix, after, from_start, [&](const store::RegionInfo& region) {
      names.push_back(region.name);
      return true;
    });
    return names;
  }

  std::unique_ptr<Pool> pool_;
  ShelfHandle shelf_;
};

INSTANTIATE_TEST_SUITE_P(Media, ShelfTest, ::testing::Values("/dev/shm", "/tmp"),
                         [](const auto& medium) {
                           return std::string(medium.param) == "/tmp" ? "pages" : "memory";
                         });

TEST_P(ShelfTest, NewRegionsAreZeroWhateverWasThere) {
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{4095}, uint64_t{4096}, uint64_t{300 * kKiB},
                               2 * kMiB, 2 * kMiB + 1}) {
    for (int round = 0; round < 2; ++round) {
      const auto id = shelf_->create("z", bytes, "", {});
      ASSERT_TRUE(id.ok()) << id.error().to_string();
      const auto region = *shelf_->open("z");
      EXPECT_EQ(read_text(*region, 0, bytes), std::string(bytes, '\0')) << bytes;
      ASSERT_TRUE(region->store(0, bytes_of(std::string(bytes, 'x'))).ok());
      ASSERT_TRUE(shelf_->erase(*id, {}).ok());
    }
  }
}

TEST_P(ShelfTest, EmptyRegionsHaveNoBytes) {
  ASSERT_TRUE(shelf_->create("e", 0, "", {}).ok());
  const auto region = *shelf_->open("e");
  EXPECT_EQ(region->bytes(), 0u);
  EXPECT_TRUE(region->flush(0, 0).ok());
  EXPECT_TRUE(region->store(0, {}).ok());
  EXPECT_EQ(region->store(0, bytes_of("x")).code(), Code::kOutOfRange);
}

TEST_P(ShelfTest, CreateRefusesTakenNamesWithoutLeavingAnything) {
  for (const uint64_t bytes : {uint64_t{10}, uint64_t{1} * kMiB}) {
    ASSERT_TRUE(shelf_->create("a", bytes, "", {}).ok());
    const auto before = shelf_->space();
    EXPECT_EQ(shelf_->create("a", bytes, "", {}).code(), Code::kAlreadyExists);
    EXPECT_EQ(shelf_->space().free_bytes, before.free_bytes);
    ASSERT_TRUE(shelf_->erase(shelf_->stat("a")->id, {}).ok());
  }
}

TEST_P(ShelfTest, CreateRefusesBadNamesAndSizesWithoutLeavingAnything) {
  const auto before = shelf_->space();
  for (const uint64_t bytes : {uint64_t{10}, uint64_t{1} * kMiB}) {
    for (const std::string& name :
         {std::string(), std::string("a\0b", 3), std::string("\xFF"), std::string(4097, 'x')}) {
      EXPECT_EQ(shelf_->create(name, bytes, "", {}).code(), Code::kInvalidArgument) << name.size();
    }
  }
  EXPECT_EQ(shelf_->create("a", 17 * kMiB, "", {}).code(), Code::kNoSpace);
  EXPECT_FALSE(shelf_->create("a", UINT64_MAX, "", {}).ok());
  EXPECT_FALSE(shelf_->create("a", uint64_t{1} << 63, "", {}).ok());
  EXPECT_FALSE(shelf_->create("a", 1 * kMiB, "not attributes", {}).ok());
  EXPECT_EQ(shelf_->space().free_bytes, before.free_bytes);
  EXPECT_EQ(shelf_->space().region_count, 0u);
}

TEST_P(ShelfTest, AttributesTravelWithTheRegion) {
  const auto encoded = *store::encode_attributes({{"dtype", "<f8"}});
  const auto small = *shelf_->create("small", 8, encoded, {});
  const auto large = *shelf_->create("large", 1 * kMiB, encoded, {});
  EXPECT_EQ(*shelf_->attributes(small), encoded);
  EXPECT_EQ(*shelf_->attributes(large), encoded);
  const auto other = *store::encode_attributes({{"dtype", "<i4"}});
  ASSERT_TRUE(shelf_->set_attributes(large, other, {}).ok());
  reopen_shelf();
  EXPECT_EQ(*shelf_->attributes(small), encoded);
  EXPECT_EQ(*shelf_->attributes(large), other);
}

TEST_P(ShelfTest, RepeatedRequestsAreAppliedOnceAndAnsweredAlike) {
  for (const uint64_t bytes : {uint64_t{10}, uint64_t{1} * kMiB}) {
    const auto first = shelf_->create("a", bytes, "", request(bytes));
    const auto again = shelf_->create("a", bytes, "", request(bytes));
    ASSERT_TRUE(first.ok() && again.ok());
    EXPECT_EQ(*first, *again);
    EXPECT_EQ(shelf_->create("b", bytes, "", request(bytes, 2)).code(), Code::kConflict);
    ASSERT_TRUE(shelf_->erase(*first, request(bytes + 1)).ok());
    EXPECT_TRUE(shelf_->erase(*first, request(bytes + 1)).ok());
    EXPECT_EQ(shelf_->erase(*first, {}).code(), Code::kNotFound);
    EXPECT_EQ(*shelf_->create("a", bytes, "", request(bytes)), *first);  // made, then erased
    EXPECT_EQ(shelf_->stat("a").code(), Code::kNotFound);
  }
  reopen_shelf();
  EXPECT_TRUE(shelf_->create("a", 10, "", request(10)).ok());
  EXPECT_EQ(shelf_->space().region_count, 0u);
}

TEST_P(ShelfTest, ReplayTellsWhatWasApplied) {
  EXPECT_EQ(*shelf_->replay(request(1)), std::nullopt);
  EXPECT_EQ(*shelf_->replay({}), std::nullopt);
  const auto id = *shelf_->create("a", 10, "", request(1));
  const auto outcome = *shelf_->replay(request(1));
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->result, id);
  EXPECT_EQ(shelf_->replay(request(1, 2)).code(), Code::kConflict);
}

TEST_P(ShelfTest, RegionReferenceKeepsItsBytesThroughErase) {
  put(*shelf_, "w", "hello");
  const auto region = *shelf_->open("w");
  ASSERT_TRUE(shelf_->erase(region->id(), {}).ok());
  for (int index = 0; index < 100; ++index) {
    put(*shelf_, "n" + std::to_string(index), "other");
  }
  EXPECT_EQ(read_text(*region, 0, 5), "hello");
}

TEST_P(ShelfTest, RegionReferenceReachesExactlyItsBytes) {
  put(*shelf_, "w", "hello");
  const auto region = *shelf_->open("w");
  std::byte buffer[8];
  EXPECT_EQ(region->store(5, bytes_of("x")).code(), Code::kOutOfRange);
  EXPECT_EQ(region->store(UINT64_MAX, bytes_of("x")).code(), Code::kOutOfRange);
  EXPECT_EQ(region->read(4, std::span(buffer, 2)).code(), Code::kOutOfRange);
  EXPECT_EQ(region->flush(0, 6).code(), Code::kOutOfRange);
  EXPECT_EQ(region->flush(1, UINT64_MAX).code(), Code::kOutOfRange);
  EXPECT_EQ(region->store8(0, 1).code(), Code::kOutOfRange);
  EXPECT_TRUE(region->flush(5, 0).ok());
  ASSERT_TRUE(shelf_->create("v", 16, "", {}).ok());
  const auto wide = *shelf_->open("v");
  EXPECT_EQ(wide->store8(4, 1).code(), Code::kInvalidArgument);
  EXPECT_TRUE(wide->store8(8, 0x4142434445464748).ok());
  EXPECT_EQ(read_text(*wide, 8, 8), "HGFEDCBA");
}

TEST_P(ShelfTest, RenameSwapResize) {
  put(*shelf_, "a", "aaa");
  put(*shelf_, "b", "bbb");
  const auto a = shelf_->stat("a")->id, b = shelf_->stat("b")->id;
  ASSERT_TRUE(shelf_->swap(a, b, {}).ok());
  EXPECT_EQ(get(*shelf_, "a"), "bbb");
  EXPECT_EQ(shelf_->rename(a, "a", false, {}).code(), Code::kAlreadyExists);
  ASSERT_TRUE(shelf_->rename(a, "a", true, {}).ok());
  EXPECT_EQ(get(*shelf_, "a"), "aaa");
  EXPECT_EQ(shelf_->stat("b").code(), Code::kNotFound);
  ASSERT_TRUE(shelf_->resize(a, 5, {}).ok());
  EXPECT_EQ(get(*shelf_, "a"), std::string("aaa\0\0", 5));
  reopen_shelf();
  EXPECT_EQ(get(*shelf_, "a"), std::string("aaa\0\0", 5));
  EXPECT_EQ(shelf_->erase(999, {}).code(), Code::kNotFound);
  EXPECT_EQ(shelf_->swap(a, 999, {}).code(), Code::kNotFound);
}

TEST_P(ShelfTest, StagedRegionsBecomeVisibleTogetherOrNotAtAll) {
  auto first = *shelf_->reserve(5, false);
  auto second = *shelf_->reserve(1 * kMiB, true);
  EXPECT_EQ(first.ref->id(), 0u);
  EXPECT_EQ(read_text(*second.ref, 0, 1 * kMiB), std::string(1 * kMiB, '\0'));
  ASSERT_TRUE(first.ref->store(0, bytes_of("first")).ok());
  ASSERT_TRUE(first.ref->flush(0, 5).ok());
  std::vector<store::Publish> items(2);
  items[0].staged = first.id;
  items[0].name = "x";
  items[1].staged = second.id;
  items[1].name = "y";
  items[1].expected = 12345;
  EXPECT_EQ(shelf_->publish(items, {}).code(), Code::kConflict);
  EXPECT_EQ(shelf_->space().region_count, 0u);
  items[1].expected = 0;
  const auto ids = shelf_->publish(items, request(1));
  ASSERT_TRUE(ids.ok()) << ids.error().to_string();
  EXPECT_EQ(shelf_->stat("x")->id, (*ids)[0]);
  EXPECT_EQ(shelf_->stat("y")->id, (*ids)[1]);
  const auto again = shelf_->publish(items, request(1));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, *ids);
  first.ref.reset();
  second.ref.reset();
  reopen_shelf();
  EXPECT_EQ(get(*shelf_, "x"), "first");
  EXPECT_EQ(*shelf_->publish(items, request(1)), *ids);
}

TEST_P(ShelfTest, ReleasedAndForgottenStagedRegionsGiveTheirSpaceBack) {
  const auto before = shelf_->space();
  auto staged = *shelf_->reserve(1 * kMiB, false);
  EXPECT_LT(shelf_->space().free_bytes, before.free_bytes);
  staged.ref.reset();
  shelf_->release(staged.id);
  shelf_->release(staged.id);
  EXPECT_EQ(shelf_->space().free_bytes, before.free_bytes);
  (void)*shelf_->reserve(1 * kMiB, false);
  reopen_shelf();
  EXPECT_EQ(shelf_->space().free_bytes, before.free_bytes);
}

TEST_P(ShelfTest, TransactionsAreAllOrNothingAndAppliedOnce) {
  put(*shelf_, "debit", "0100");
  put(*shelf_, "credit", "0000");
  const auto debit = shelf_->stat("debit")->id, credit = shelf_->stat("credit")->id;
  const store::WriteRange good[] = {{debit, 0, bytes_of("0090")}, {credit, 0, bytes_of("0010")}};
  const store::WriteRange bad[] = {{debit, 0, bytes_of("0080")}, {credit, 3, bytes_of("20")}};
  EXPECT_EQ(shelf_->transact(bad, {}).code(), Code::kOutOfRange);
  EXPECT_EQ(get(*shelf_, "debit") + get(*shelf_, "credit"), "01000000");
  ASSERT_TRUE(shelf_->transact(good, request(1)).ok());
  EXPECT_EQ(get(*shelf_, "debit") + get(*shelf_, "credit"), "00900010");
  put(*shelf_, "later", "x");
  const store::WriteRange back[] = {{debit, 0, bytes_of("0100")}};
  ASSERT_TRUE(shelf_->transact(back, request(2)).ok());
  ASSERT_TRUE(shelf_->transact(good, request(1)).ok());  // a retry, already applied
  EXPECT_EQ(get(*shelf_, "debit"), "0100");
  reopen_shelf();
  EXPECT_EQ(get(*shelf_, "debit") + get(*shelf_, "credit"), "01000010");
}

TEST_P(ShelfTest, ScanGoesThroughAllNamesInOrderWithoutTheLock) {
  Names names;
  for (int index = 0; index < 600; ++index) {
    names.push_back("n" + std::to_string(1000 + index));
    ASSERT_TRUE(shelf_->create(names.back(), 0, "", {}).ok());
  }
  EXPECT_EQ(scan("", "", true), names);
  EXPECT_EQ(scan("n15", "", true).size(), 100u);
  EXPECT_EQ(scan("", "n1597", false), (Names{"n1598", "n1599"}));
  EXPECT_EQ(scan("x", "", true), Names{});
  int seen = 0;
  shelf_->scan("", "", true, [&](const store::RegionInfo& region) {
    EXPECT_TRUE(shelf_->stat(region.name).ok());  // would hang under the lock
    return ++seen < 300;
  });
  EXPECT_EQ(seen, 300);
}

TEST_P(ShelfTest, CheckFindsNothingWrong) {
  put(*shelf_, "w", "hello");
  const auto report = shelf_->check();
  ASSERT_TRUE(report.ok()) << report.error().to_string();
  EXPECT_TRUE(report->problems.empty()) << report->problems.front();
  EXPECT_EQ(report->regions_checked, 1u);
}

TEST_P(ShelfTest, SpaceAddsUp) {
  put(*shelf_, "w", "hello");
  const auto space = shelf_->space();
  EXPECT_EQ(space.capacity_bytes, 16 * kMiB);
  EXPECT_EQ(space.used_bytes + space.free_bytes + space.metadata_bytes, space.capacity_bytes);
  EXPECT_EQ(space.region_count, 1u);
}

}  // namespace
}  // namespace pmshelf::pool
