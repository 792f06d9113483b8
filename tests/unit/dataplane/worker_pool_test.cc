// Promises of the worker pool and the memory budget: bounded, and nothing accepted is lost.
#include "server/dataplane/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "server/dataplane/memory_budget.h"

namespace pmshelf::dataplane {
namespace {

TEST(WorkerPool, RunsEverythingSubmittedEvenWhenStopped) {
  std::atomic<int> ran{0};
  {
    WorkerPool pool(3, 1000);
    for (int index = 0; index < 500; ++index) {
      WorkerPool::Task task = [&] { ++ran; };
      ASSERT_TRUE(pool.submit(task));
    }
  }
  EXPECT_EQ(ran, 500);
}

TEST(WorkerPool, FullQueueRefusesAndLeavesTheTask) {
  WorkerPool pool(1, 2);
  std::promise<void> started, release;
  std::shared_future<void> released(release.get_future());
  WorkerPool::Task block = [&, released] {
    started.set_value();
    released.wait();
  };
  ASSERT_TRUE(pool.submit(block));
  started.get_future().wait();
  WorkerPool::Task nothing = [] {};
  WorkerPool::Task other = nothing;
  ASSERT_TRUE(pool.submit(nothing));
  ASSERT_TRUE(pool.submit(other));
  bool ran = false;
  WorkerPool::Task refused = [&] { ran = true; };
  EXPECT_FALSE(pool.submit(refused));
  EXPECT_EQ(pool.waiting(), 2U);
  refused();  // still ours
  EXPECT_TRUE(ran);
  release.set_value();
}

TEST(WorkerPool, RefusesAfterStop) {
  WorkerPool pool(1, 2);
  pool.stop();
  pool.stop();
  WorkerPool::Task task = [] {};
  EXPECT_FALSE(pool.submit(task));
}

TEST(MemoryBudget, NeverGivesMoreThanItsLimitAndTakesBack) {
  MemoryBudget budget(100);
  MemoryBudget::Share first = budget.take(60);
  ASSERT_TRUE(first);
  EXPECT_FALSE(budget.take(41));
  EXPECT_FALSE(budget.take(UINT64_MAX));
  EXPECT_EQ(budget.used_bytes(), 60U);
  MemoryBudget::Share moved = std::move(first);
  MemoryBudget::Share second = budget.take(40);
  EXPECT_TRUE(second);
  moved = std::move(second);
  EXPECT_EQ(budget.used_bytes(), 40U);
  moved = {};
  EXPECT_EQ(budget.used_bytes(), 0U);
}

}  // namespace
}  // namespace pmshelf::dataplane
