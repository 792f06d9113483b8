// Promises about regions: resize keeps bytes and shows zeros, pins keep bytes from being reused,
// publish and transactions are all or nothing, requests are applied once.
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "server/store/store.h"
#include "tests/unit/store/store_fixture.h"

namespace pmshelf::store {
namespace {

class RegionsTest : public testing::Test {
 protected:
  void SetUp() override {
    box = StoreBox::directory(8);
    box.open_with_shelf();
  }
  void resize(RegionId id, uint64_t bytes) {
    const Status resized = box.store->resize(id, bytes, {});
    ASSERT_TRUE(resized.ok()) << resized.error().to_string();
  }
  RegionInfo info(RegionId id) { return *box.store->region(id); }
  StoreBox box;
};

// ---- resize

TEST_F(RegionsTest, ResizeKeepsTheCommonBytesAndZeroesTheRest) {
  const uint64_t lengths[] = {0,
                              1,
                              64,
                              65,
                              3584,
                              3585,
                              5000,
                              50000,
                              2097151,
                              kExtentBytes,
                              kExtentBytes + 1,
                              3 * kExtentBytes};
  for (const uint64_t from : lengths) {
    for (const uint64_t to : lengths) {
      const RegionId id = box.create("r", from);
      const std::string text(from, 'x');
      box.write(id, 0, text);
      box.sync();
      resize(id, to);
      box.sync();
      box.reopen();
      const uint64_t kept = std::min(from, to);
      const std::string bytes = box.read(id);
      ASSERT_EQ(bytes.size(), to);
      EXPECT_EQ(bytes.compare(0, kept, text, 0, kept), 0) << from << " to " << to;
      EXPECT_EQ(bytes.find_first_not_of('\0', kept), std::string::npos) << from << " to " << to;
      ASSERT_TRUE(box.store->erase(id, {}).ok());
      box.sync();
      EXPECT_EQ(box.store->space(box.shelf).used_bytes, 0u);
    }
  }
  box.expect_clean();
}

TEST_F(RegionsTest, GrowingAgainShowsZerosNotTheBytesCutOff) {
  const RegionId id = box.create("r", 10'000);
  box.write(id, 0, std::string(10'000, 'x'));
  box.sync();
  resize(id, 100);
  box.sync();
  resize(id, 10'000);
  box.sync();
  EXPECT_EQ(box.read(id), std::string(100, 'x') + std::string(9'900, '\0'));
}

TEST_F(RegionsTest, CutAndGrownAgainBeforeASyncLosesNothingInACrash) {
  for (const uint64_t shorter : {uint64_t{0}, uint64_t{100}, uint64_t{5'000}}) {
    const std::string name = "r" + std::to_string(shorter);
    const RegionId id = box.create(name, 10'000);
    const std::string text(10'000, 'x');
    box.write(id, 0, text);
    box.sync();
    resize(id, shorter);
    resize(id, 10'000);
    EXPECT_EQ(box.read(id), std::string(shorter, 'x') + std::string(10'000 - shorter, '\0'));
    box.reopen();  // neither was durable
    EXPECT_EQ(box.read(id), text);
  }
  box.expect_clean();
}

TEST_F(RegionsTest, ShrinkingGivesBackWholePagesAndExtents) {
  const RegionId pages = box.create("p", 100'000);
  const RegionId run = box.create("x", 3 * kExtentBytes);
  resize(pages, 4097);
  resize(run, kExtentBytes + 1);
  box.sync();
  EXPECT_EQ(info(pages).footprint_bytes, 8192u);
  EXPECT_EQ(info(run).footprint_bytes, 2 * kExtentBytes);
  EXPECT_EQ(box.store->space(box.shelf).used_bytes, 8192 + 2 * kExtentBytes);
  EXPECT_EQ(box.store->space(box.shelf).held_bytes, 0u);
}

TEST_F(RegionsTest, GrowsInPlaceWhileOpenButDoesNotMove) {
  const RegionId a = box.create("a", 4096), b = box.create("b", 4096);
  const uint64_t at = info(b).offset;
  Pin pin = *box.store->pin(b);
  resize(b, 20'000);
  EXPECT_EQ(info(b).offset, at);
  pin = *box.store->pin(a);
  const Status moved = box.store->resize(a, 8192, {});
  EXPECT_EQ(moved.code(), Code::kBusy) << "b is behind it";
  EXPECT_NE(moved.error().message().find("'a'"), std::string::npos);
  EXPECT_EQ(info(a).bytes, 4096u);
  pin = Pin();
  resize(a, 8192);
  box.sync();
  box.reopen();
  box.expect_clean();
}

TEST_F(RegionsTest, EmptyRegionMayGrowWhileOpen) {
  const RegionId id = box.create("a", 0);
  const Pin pin = *box.store->pin(id);
  ASSERT_TRUE(pin);
  resize(id, 5000);
  EXPECT_GT(info(id).offset, 0u);
}

// ---- pins

TEST_F(RegionsTest, ErasedBytesAreNotReusedWhilePinned) {
  std::vector<RegionId> ids;
  for (int i = 0; i < 8; ++i) ids.push_back(box.create("r" + std::to_string(i), kExtentBytes));
  box.write(ids[3], 0, "secret");
  box.sync();
  const uint64_t offset = info(ids[3]).offset;
  Pin pin = *box.store->pin(ids[3]);
  Pin second = *box.store->pin(ids[3]);
  ASSERT_TRUE(box.store->erase(ids[3], {}).ok());
  box.sync();
  EXPECT_EQ(box.store->space(box.shelf).held_bytes, kExtentBytes);
  EXPECT_EQ(box.store->create(box.shelf, "new", 1, "", {}).code(), Code::kNoSpace);
  EXPECT_EQ(StoreBox::read_at(*box.data, offset, 6), "secret");
  box.expect_clean();
  pin = Pin();
  EXPECT_EQ(box.store->create(box.shelf, "new", 1, "", {}).code(), Code::kNoSpace);
  std::thread([&] { second = Pin(); }).join();
  EXPECT_EQ(box.store->space(box.shelf).held_bytes, 0u);
  const RegionId reused = box.create("new", kExtentBytes);
  EXPECT_EQ(info(reused).offset, offset);
  EXPECT_EQ(box.read(reused).find_first_not_of('\0'), std::string::npos);
  box.expect_clean();
}

TEST_F(RegionsTest, ErasedBytesAreNotReusedBeforeTheEraseIsDurable) {
  std::vector<RegionId> ids;
  for (int i = 0; i < 8; ++i) ids.push_back(box.create("r" + std::to_string(i), kExtentBytes));
  box.sync();
  ASSERT_TRUE(box.store->erase(ids[3], {}).ok());
  EXPECT_EQ(box.store->create(box.shelf, "new", 1, "", {}).code(), Code::kNoSpace);
  auto batch = *box.store->take_batch();
  EXPECT_EQ(box.store->create(box.shelf, "new", 1, "", {}).code(), Code::kNoSpace);
  ASSERT_TRUE(box.store->write_batch(*batch).ok());
  EXPECT_EQ(box.store->create(box.shelf, "new", 1, "", {}).code(), Code::kNoSpace);
  box.store->finish_batch(std::move(batch));
  EXPECT_TRUE(box.store->create(box.shelf, "new", 1, "", {}).ok());
}

TEST_F(RegionsTest, PinReleasedBeforeTheEraseIsDurableStillWaitsForIt) {
  for (const bool taken : {false, true}) {
    std::vector<RegionId> ids;
    for (int i = 0; i < 8; ++i) ids.push_back(box.create("r" + std::to_string(i), kExtentBytes));
    box.sync();
    Pin pin = *box.store->pin(ids[3]);
    ASSERT_TRUE(box.store->erase(ids[3], {}).ok());
    BatchPtr batch;
    if (taken) batch = *box.store->take_batch();
    pin = Pin();
    EXPECT_EQ(box.store->create(box.shelf, "new", 1, "", {}).code(), Code::kNoSpace);
    box.expect_clean();
    if (taken) {
      ASSERT_TRUE(box.store->write_batch(*batch).ok());
      box.store->finish_batch(std::move(batch));
    } else {
      box.sync();
    }
    EXPECT_TRUE(box.store->create(box.shelf, "new", 1, "", {}).ok());
    box.sync();
    for (int i = 0; i < 8; ++i) {
      if (i != 3) {
        ASSERT_TRUE(box.store->erase(ids[i], {}).ok());
      }
    }
    ASSERT_TRUE(box.store->erase(box.store->find(box.shelf, "new")->id, {}).ok());
    box.sync();
    EXPECT_EQ(box.store->space(box.shelf).used_bytes, 0u);
  }
}

TEST_F(RegionsTest, TailCutOffWhilePinnedIsHeld) {
  const RegionId id = box.create("a", 100'000);
  box.sync();
  Pin pin = *box.store->pin(id);
  resize(id, 10);
  box.sync();
  EXPECT_EQ(box.store->space(box.shelf).held_bytes, 102'400u - 4096);
  pin = Pin();
  EXPECT_EQ(box.store->space(box.shelf).held_bytes, 0u);
  box.expect_clean();
}

TEST_F(RegionsTest, PinOutlivesNothingButMayBeTakenAgain) {
  const RegionId id = box.create("a", 100);
  box.sync();
  for (int i = 0; i < 3; ++i) {
    Pin pin = *box.store->pin(id);
    pin = Pin();
    const Pin again = *box.store->pin(id);
    EXPECT_TRUE(again);
  }
  ASSERT_TRUE(box.store->erase(id, {}).ok());
  box.sync();
  EXPECT_EQ(box.store->space(box.shelf).used_bytes, 0u);
}

TEST_F(RegionsTest, PinsAreReleasedInAnyThreadWhileTheStoreWorks) {
  const RegionId id = box.create("a", 100);
  box.sync();
  std::atomic<bool> stop = false;
  std::vector<Pin> hand_over[2];
  std::mutex mutex;
  std::thread other([&] {
    while (!stop) {
      std::vector<Pin> mine;
      {
        const std::lock_guard lock(mutex);
        mine.swap(hand_over[0]);
      }
      mine.clear();
    }
  });
  for (int i = 0; i < 20'000; ++i) {
    Pin pin = *box.store->pin(id);
    if (i % 50 == 0) {
      box.create("t", 4096);
      ASSERT_TRUE(box.store->erase(box.store->find(box.shelf, "t")->id, {}).ok());
      box.sync();
    }
    const std::lock_guard lock(mutex);
    hand_over[0].push_back(std::move(pin));
  }
  stop = true;
  other.join();
  hand_over[0].clear();
  ASSERT_TRUE(box.store->erase(id, {}).ok());
  box.sync();
  EXPECT_EQ(box.store->space(box.shelf).used_bytes, 0u);
}

// ---- staged regions

TEST_F(RegionsTest, StagedRegionsAreNamedTogetherOrNotAtAll) {
  const RegionId old = box.create("a", 10);
  box.sync();
  const Staged a = *box.store->reserve(box.shelf, 5000, true);
  const Staged b = *box.store->reserve(box.shelf, 3 * kExtentBytes, false);
  EXPECT_EQ(StoreBox::read_at(*box.data, a.offset, a.bytes), std::string(5000, '\0'));
  ASSERT_TRUE(box.data->store(a.offset, bytes_of("aaaa")).ok());
  ASSERT_TRUE(box.data->store(b.offset, bytes_of("bbbb")).ok());
  const std::string attributes = encoded_attributes({{"k", "v"}});
  const std::vector<Publish> items = {{a.id, "a", attributes, true, old},
                                      {b.id, "b", "", false, 0}};
  const auto ids = box.store->publish(box.shelf, items, {});
  ASSERT_TRUE(ids.ok()) << ids.error().to_string();
  box.expect_clean();
  box.sync();
  box.reopen();
  EXPECT_EQ(box.store->find(box.shelf, "a")->id, (*ids)[0]);
  EXPECT_EQ(box.store->find(box.shelf, "b")->id, (*ids)[1]);
  EXPECT_EQ(box.read((*ids)[0]).substr(0, 4), "aaaa");
  EXPECT_EQ(box.read((*ids)[1]).substr(0, 4), "bbbb");
  EXPECT_EQ(*box.store->attributes((*ids)[0]), attributes);
  EXPECT_EQ(box.store->region(old).code(), Code::kNotFound);
  box.expect_clean();
}

TEST_F(RegionsTest, ReservationIsGoneWithTheProcessOrWithRelease) {
  const Staged a = *box.store->reserve(box.shelf, 5000, true);
  EXPECT_EQ(box.store->space(box.shelf).held_bytes, 8192u);
  EXPECT_FALSE(box.store->has_staged_operations());
  box.expect_clean();
  Pin pin = box.store->pin_staged(a.id);
  ASSERT_TRUE(pin);
  box.store->release(a.id);
  EXPECT_EQ(box.store->space(box.shelf).held_bytes, 8192u) << "still reached";
  pin = Pin();
  EXPECT_EQ(box.store->space(box.shelf).used_bytes, 0u);
  ASSERT_TRUE(box.store->reserve(box.shelf, 5000, true).ok());
  box.reopen();
  EXPECT_EQ(box.store->space(box.shelf).used_bytes, 0u);
}

TEST_F(RegionsTest, ReservedWithoutZerosShowsNoOldBytesInItsSlack) {
  const RegionId old = box.create("old", 8192);
  box.write(old, 0, std::string(8192, 'x'));
  ASSERT_TRUE(box.store->erase(old, {}).ok());
  box.sync();
  const Staged staged = *box.store->reserve(box.shelf, 5000, false);
  EXPECT_EQ(StoreBox::read_at(*box.data, staged.offset + 5000, 3192), std::string(3192, '\0'));
}

TEST_F(RegionsTest, PublishRefusesWithoutChange) {
  box.create("taken", 10);
  box.sync();
  const Staged a = *box.store->reserve(box.shelf, 10, true);
  const Staged b = *box.store->reserve(box.shelf, 10, true);
  const auto code = [&](std::vector<Publish> items) {
    return box.store->publish(box.shelf, items, {}).code();
  };
  EXPECT_EQ(code({}), Code::kInvalidArgument);
  EXPECT_EQ(code({{a.id, "x", "", true, 0}, {a.id, "y", "", true, 0}}), Code::kInvalidArgument);
  EXPECT_EQ(code({{a.id, "x", "", true, 0}, {b.id, "x", "", true, 0}}), Code::kInvalidArgument);
  EXPECT_EQ(code({{a.id, "", "", true, 0}}), Code::kInvalidArgument);
  EXPECT_EQ(code({{a.id, "x", "bad", true, 0}}), Code::kInvalidArgument);
  EXPECT_EQ(code({{a.id, "x", "", true, 0}, {999, "y", "", true, 0}}), Code::kNotFound);
  EXPECT_EQ(code({{a.id, "x", "", true, 0}, {b.id, "taken", "", false, 0}}), Code::kAlreadyExists);
  EXPECT_EQ(code({{a.id, "x", "", true, 0}, {b.id, "taken", "", true, 999}}), Code::kConflict);
  EXPECT_EQ(code({{a.id, "x", "", true, 999}}), Code::kConflict);
  EXPECT_EQ(box.store->publish(77, std::vector<Publish>{{a.id, "x", "", true, 0}}, {}).code(),
            Code::kNotFound);
  EXPECT_FALSE(box.store->has_staged_operations());
  EXPECT_EQ(code({{a.id, "x", "", true, 0}}), Code::kOk);
  EXPECT_EQ(code({{a.id, "z", "", true, 0}}), Code::kNotFound) << "published already";
  box.expect_clean();
}

TEST_F(RegionsTest, PublishThatDoesNotFitABatchSaysSo) {
  std::vector<Publish> items;
  for (int i = 0; i < 40; ++i) {
    const Staged staged = *box.store->reserve(box.shelf, 1, true);
    items.push_back({staged.id, "n" + std::to_string(i),
                     encoded_attributes({{"k", std::string(32'000, 'v')}}), true, 0});
  }
  EXPECT_EQ(box.store->publish(box.shelf, items, {}).code(), Code::kResourceExhausted);
  items.resize(20);
  EXPECT_TRUE(box.store->publish(box.shelf, items, {}).ok());
  box.sync();
  box.reopen();
  EXPECT_EQ(box.store->space(box.shelf).region_count, 20u);
  box.expect_clean();
}

// ---- transactions

TEST_F(RegionsTest, TransactionWritesAllItsRanges) {
  const RegionId a = box.create("a", 100), b = box.create("b", 3 * kExtentBytes);
  const std::string big(kExtentBytes, 'B');
  const std::vector<WriteRange> ranges = {{a, 10, bytes_of("hello")},
                                          {b, kExtentBytes / 2, bytes_of(big)},
                                          {a, 0, bytes_of("0123456789")},
                                          {a, 100, {}}};
  const Status done = box.store->transact(ranges, {});
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_FALSE(box.store->has_staged_operations()) << "what was staged before is durable too";
  box.reopen();
  EXPECT_EQ(box.read(a).substr(0, 15), "0123456789hello");
  EXPECT_EQ(box.read(b).substr(kExtentBytes / 2, kExtentBytes), big);
  EXPECT_EQ(box.store->recovery().transactions_reapplied, 0u);
  EXPECT_EQ(box.store->space(box.shelf).held_bytes, 0u) << "the image is free again";
  box.expect_clean();
}

TEST_F(RegionsTest, TransactionRefusesWithoutChange) {
  const RegionId a = box.create("a", 100);
  box.sync();
  const auto code = [&](std::vector<WriteRange> ranges) {
    return box.store->transact(ranges, {}).code();
  };
  EXPECT_EQ(code({}), Code::kInvalidArgument);
  EXPECT_EQ(code(std::vector<WriteRange>(kTransactionRangesMax + 1, {a, 0, {}})),
            Code::kInvalidArgument);
  EXPECT_EQ(code({{a, 96, bytes_of("hello")}}), Code::kOutOfRange);
  EXPECT_EQ(code({{a, ~uint64_t{0}, bytes_of("hello")}}), Code::kOutOfRange);
  EXPECT_EQ(code({{99, 0, bytes_of("hello")}}), Code::kNotFound);
  EXPECT_EQ(code({{a, 0, bytes_of("hello")}, {a, 4, bytes_of("x")}}), Code::kInvalidArgument);
  const RegionId big = box.create("big", 7 * kExtentBytes);
  const std::string bytes(2 * kExtentBytes, 'x');
  EXPECT_EQ(code({{big, 0, bytes_of(bytes)}}), Code::kNoSpace) << "no room for its image";
  EXPECT_EQ(code({{a, 0, {}}}), Code::kOk);
  EXPECT_EQ(box.read(a), std::string(100, '\0'));
  box.expect_clean();
}

TEST_F(RegionsTest, ManyTransactionsGoThroughCompactions) {
  const RegionId a = box.create("a", 1000);
  for (int i = 0; i < 1500; ++i) {
    const std::string text = std::to_string(i);
    const std::vector<WriteRange> ranges = {{a, 0, bytes_of(text)}, {a, 500, bytes_of(text)}};
    ASSERT_TRUE(box.store->transact(ranges, Request{{1, static_cast<uint64_t>(i + 1)}, 7}).ok());
  }
  box.reopen();
  EXPECT_EQ(box.read(a).substr(0, 4), "1499");
  EXPECT_EQ(box.read(a).substr(500, 4), "1499");
  EXPECT_TRUE(box.store->find_request({1, 1500}).has_value());
  box.expect_clean();
}

TEST_F(RegionsTest, TransactionCutOffAfterItsCommitPointIsAppliedAgain) {
  const RegionId a = box.create("a", 100);
  box.sync();
  // The media fail one call after the other: whatever happens, it is all or nothing, and all
  // once acknowledged.
  for (int fail_at = 0;; ++fail_at) {
    media::FaultPlan plan;
    auto faulty = [&](const std::shared_ptr<media::Media>& inner) {
      return media::make_faulty_media(std::make_unique<SharedMedia>(inner), plan);
    };
    box.kill();
    auto opened = Store::open(faulty(box.map), faulty(box.data), {}, box.clock());
    ASSERT_TRUE(opened.ok());
    const std::string text(2, static_cast<char>('A' + fail_at));
    const std::vector<WriteRange> ranges = {{a, 0, bytes_of(text)}, {a, 90, bytes_of(text)}};
    plan.fail_at_call = plan.calls + fail_at;
    plan.sticky = true;
    const std::string before = StoreBox::read_at(*box.data, (*opened)->region(a)->offset, 100);
    const Status done = (*opened)->transact(ranges, {});
    if (!done.ok()) {
      EXPECT_EQ(done.code(), Code::kIo);
    }
    opened->reset();
    box.open();
    const std::string after = box.read(a);
    const bool applied = after.substr(0, 2) == text && after.substr(90, 2) == text;
    EXPECT_TRUE(applied || after == before) << fail_at;
    if (done.ok()) {
      EXPECT_TRUE(applied);
    }
    box.expect_clean();
    if (done.ok()) {
      EXPECT_GT(fail_at, 8);
      break;
    }
  }
}

TEST_F(RegionsTest, ReadOnlyOpenRefusesAnUnfinishedTransaction) {
  const RegionId a = box.create("a", 100);
  box.sync();
  bool seen = false;
  for (int fail_at = 0; !seen; ++fail_at) {
    media::FaultPlan plan;
    box.kill();
    auto opened = Store::open(
        std::make_unique<SharedMedia>(box.map),
        media::make_faulty_media(std::make_unique<SharedMedia>(box.data), plan), {}, box.clock());
    ASSERT_TRUE(opened.ok());
    plan.fail_at_call = plan.calls + fail_at;
    const Status done = (*opened)->transact(std::vector<WriteRange>{{a, 0, bytes_of("x")}}, {});
    ASSERT_FALSE(done.ok()) << "no failure behind the commit point seen";
    opened->reset();
    const Status read_only = box.try_open({.read_only = true});
    if (!read_only.ok()) {
      seen = true;
      EXPECT_EQ(read_only.code(), Code::kReadOnly);
    }
  }
  box.open();
  EXPECT_EQ(box.store->recovery().transactions_reapplied, 1u);
  EXPECT_EQ(box.read(a)[0], 'x');
  ASSERT_TRUE(box.store->close().ok());
  ASSERT_TRUE(box.try_open({.read_only = true}).ok());
}

// ---- requests

TEST_F(RegionsTest, RequestIsAppliedOnceAndAnsweredAfterReopen) {
  const Request create{{1, 1}, 10}, shelf_request{{1, 2}, 20}, erase{{1, 3}, 30};
  const RegionId id = *box.store->create(box.shelf, "a", 10, "", create);
  EXPECT_EQ(*box.store->create(box.shelf, "a", 10, "", create), id) << "the same answer";
  EXPECT_EQ(box.store->create(box.shelf, "b", 10, "", {{1, 1}, 11}).code(), Code::kConflict);
  ShelfInfo info;
  info.name = "s2";
  const ShelfId shelf = *box.store->create_shelf(info, shelf_request);
  ASSERT_TRUE(box.store->erase(id, erase).ok());
  ASSERT_TRUE(box.store->erase(id, erase).ok());
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(box.store->find_request({1, 1})->result, id);
    EXPECT_EQ(box.store->find_request({1, 1})->digest, 10u);
    EXPECT_EQ(box.store->find_request({1, 2})->result, shelf);
    EXPECT_EQ(box.store->find_request({1, 3})->result, 0u);
    EXPECT_FALSE(box.store->find_request({9, 9}).has_value());
    EXPECT_EQ(*box.store->create(box.shelf, "a", 10, "", create), id);
    EXPECT_EQ(*box.store->create_shelf(info, shelf_request), shelf);
    EXPECT_TRUE(box.store->erase(id, erase).ok());
    EXPECT_EQ(box.store->space(box.shelf).region_count, 0u);
    box.expect_clean();
    if (round == 1) {
      ASSERT_TRUE(box.store->compact().ok());
    } else {
      box.sync();
    }
    box.reopen();
  }
}

TEST_F(RegionsTest, EveryMutationKnowsItsRequestAndRefusesItsReuse) {
  const RegionId a = box.create("a", 10), b = box.create("b", 10);
  const Staged staged = *box.store->reserve(box.shelf, 10, true);
  uint64_t next = 0;
  const auto once = [&](const std::function<Status(const Request&)>& call) {
    const Request request{{7, ++next}, 1};
    const Status first = call(request);
    ASSERT_TRUE(first.ok()) << next << ": " << first.error().to_string();
    const Status again = call(request);
    EXPECT_TRUE(again.ok()) << next << ": " << again.error().to_string();
    EXPECT_EQ(call({request.id, 2}).code(), Code::kConflict) << next;
  };
  once([&](const Request& r) { return box.store->rename(a, "x", false, r); });
  once([&](const Request& r) { return box.store->swap(a, b, r); });
  once([&](const Request& r) { return box.store->resize(a, 5000, r); });
  once([&](const Request& r) { return box.store->resize(a, 4000, r); });
  once([&](const Request& r) { return box.store->set_attributes(a, "", r); });
  once([&](const Request& r) {
    const auto ids =
        box.store->publish(box.shelf, std::vector<Publish>{{staged.id, "p", "", true, 0}}, r);
    if (!ids.ok()) return Status(ids.error());
    EXPECT_EQ(ids->at(0), box.store->find(box.shelf, "p")->id);
    return Status();
  });
  once([&](const Request& r) {
    return box.store->transact(std::vector<WriteRange>{{a, 0, bytes_of("x")}}, r);
  });
  once([&](const Request& r) { return box.store->erase(b, r); });
  once([&](const Request& r) {
    ShelfInfo info = *box.store->shelf(box.shelf);
    info.owner = "unix:x";
    return box.store->update_shelf(info, r);
  });
  once([&](const Request& r) { return box.store->resize_shelf(box.shelf, 6 * kExtentBytes, r); });
  once([&](const Request& r) { return box.store->erase_shelf(box.shelf, r); });
  box.sync();
  box.reopen();
  for (uint64_t i = 1; i <= next; ++i)
    EXPECT_TRUE(box.store->find_request({7, i}).has_value()) << i;
}

TEST_F(RegionsTest, AnAbsurdClockNeverForgetsTheNewestThousand) {
  for (uint64_t i = 1; i <= 3000; ++i) {
    const auto id = box.store->create(box.shelf, "a", 1, "", Request{{1, i}, 1});
    ASSERT_TRUE(id.ok());
    ASSERT_TRUE(box.store->erase(*id, {}).ok());
    if (i % 100 == 0) box.sync();
  }
  box.sync();
  ASSERT_TRUE(box.store->compact().ok());
  EXPECT_TRUE(box.store->find_request({1, 1}).has_value()) << "all are young";
  box.manual_clock().set_unix_ms(10);  // years back
  ASSERT_TRUE(box.store->compact().ok());
  EXPECT_TRUE(box.store->find_request({1, 1}).has_value());
  box.manual_clock().set_unix_ms(uint64_t{1} << 45);  // a thousand years ahead
  ASSERT_TRUE(box.store->compact().ok());
  EXPECT_FALSE(box.store->find_request({1, 1976}).has_value());
  EXPECT_TRUE(box.store->find_request({1, 1977}).has_value());
  EXPECT_TRUE(box.store->find_request({1, 3000}).has_value());
  box.expect_clean();
  box.reopen();
  EXPECT_TRUE(box.store->find_request({1, 1977}).has_value());
  box.expect_clean();
}

}  // namespace
}  // namespace pmshelf::store
