// Promises of the sync queue: one sync for many flushes, no drain returns early, errors stick.
#include "common/media/sync_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "tests/unit/media/test_support.h"

namespace pmshelf::media {
namespace {

TEST(SyncQueue, IsIdleUntilSomethingIsAddedAndAfterADrain) {
  int syncs = 0;
  SyncQueue queue([&](const SyncQueue::Work&) {
    ++syncs;
    return Status();
  });
  EXPECT_TRUE(queue.idle());
  EXPECT_OK(queue.drain());
  EXPECT_EQ(syncs, 0);
  queue.add({0, 8});
  EXPECT_FALSE(queue.idle());
  EXPECT_OK(queue.drain());
  EXPECT_EQ(syncs, 1);
  EXPECT_TRUE(queue.idle());
}

TEST(SyncQueue, OneSyncCoversEveryRangeFlushedBefore) {
  std::vector<SyncQueue::Work> works;
  SyncQueue queue([&](const SyncQueue::Work& work) {
    works.push_back(work);
    return Status();
  });
  queue.add({4096, 64});
  queue.add({100000, 8});
  queue.add({512, 16});
  ASSERT_OK(queue.drain());
  ASSERT_EQ(works.size(), 1u);
  EXPECT_EQ(works[0].range, (Extent{512, 100008 - 512}));
  EXPECT_FALSE(works[0].metadata);
}

TEST(SyncQueue, MetadataIsRememberedUntilItWasSynced) {
  std::vector<SyncQueue::Work> works;
  SyncQueue queue([&](const SyncQueue::Work& work) {
    works.push_back(work);
    return Status();
  });
  queue.add_metadata();
  queue.add({0, 8});
  ASSERT_OK(queue.drain());
  queue.add({0, 8});
  ASSERT_OK(queue.drain());
  ASSERT_EQ(works.size(), 2u);
  EXPECT_TRUE(works[0].metadata);
  EXPECT_FALSE(works[1].metadata);
}

TEST(SyncQueue, FailureIsReturnedByEveryLaterDrain) {
  int syncs = 0;
  SyncQueue queue([&](const SyncQueue::Work&) -> Status {
    ++syncs;
    return Error(Code::kIo, "write-back failed");
  });
  queue.add({0, 8});
  EXPECT_EQ(queue.drain().code(), Code::kIo);
  EXPECT_FALSE(queue.idle());
  EXPECT_EQ(queue.drain().code(), Code::kIo);
  queue.add({0, 8});
  EXPECT_EQ(queue.drain().code(), Code::kIo);
  EXPECT_EQ(syncs, 1);
}

// The first drain takes the range and hangs in the kernel. A second one that begins now finds
// nothing pending, and must wait all the same.
TEST(SyncQueue, DrainWaitsForARangeThatAnotherThreadTook) {
  std::latch syncing(1);
  std::latch may_finish(1);
  std::atomic<bool> durable = false;
  SyncQueue queue([&](const SyncQueue::Work&) {
    syncing.count_down();
    may_finish.wait();
    durable = true;
    return Status();
  });
  queue.add({0, 8});
  std::thread first([&] { EXPECT_OK(queue.drain()); });
  syncing.wait();
  EXPECT_FALSE(queue.idle());
  bool durable_at_return = false;
  std::thread second([&] {
    EXPECT_OK(queue.drain());
    durable_at_return = durable;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  may_finish.count_down();
  first.join();
  second.join();
  EXPECT_TRUE(durable_at_return);
}

TEST(SyncQueue, RangeFlushedDuringASyncNeedsAnotherOne) {
  std::latch syncing(1);
  std::latch may_finish(1);
  std::atomic<int> syncs = 0;
  SyncQueue queue([&](const SyncQueue::Work&) {
    if (++syncs == 1) {
      syncing.count_down();
      may_finish.wait();
    }
    return Status();
  });
  queue.add({0, 8});
  std::thread first([&] { EXPECT_OK(queue.drain()); });
  syncing.wait();
  queue.add({64, 8});
  may_finish.count_down();
  first.join();
  EXPECT_FALSE(queue.idle());
  EXPECT_OK(queue.drain());
  EXPECT_EQ(syncs, 2);
}

TEST(SyncQueue, NoDrainReturnsBeforeItsOwnRangeIsDurable) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  // Each thread flushes its own byte of a "medium"; a sync copies what is in its range.
  std::vector<std::atomic<int>> stored(kThreads);
  std::vector<std::atomic<int>> durable(kThreads);
  SyncQueue queue([&](const SyncQueue::Work& work) {
    for (uint64_t i = work.range->offset; i < work.range->end(); ++i) {
      const int value = stored[i];
      std::this_thread::yield();
      durable[i] = std::max<int>(durable[i], value);
    }
    return Status();
  });
  std::atomic<int> early = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 1; round <= kRounds; ++round) {
        stored[thread] = round;
        queue.add({static_cast<uint64_t>(thread), 1});
        if (!queue.drain().ok() || durable[thread] < round) ++early;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(early, 0);
}

}  // namespace
}  // namespace pmshelf::media
