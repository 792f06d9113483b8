// Regions and shelves at once: group commit on page-cache files, and shelves that come and go under
// running calls.
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "pool_fixture.h"

namespace pmshelf::pool {
namespace {

constexpr int kThreads = 8;

// On a file system with a page cache: a mutation waits for it.
class GroupCommit : public PoolTest {
 protected:
  GroupCommit() : PoolTest("/tmp") {}
};
using ShelfStress = PoolTest;

TEST_F(GroupCommit, EightThreadsShareRecordsAndAllIsDurable) {
  constexpr int kRegions = 40;
  auto pool = open_pool();
  auto shelf = make_shelf(*pool, "s", 8 * kMiB);
  if (!shelf->blocking()) GTEST_SKIP() << "/tmp has no page cache";
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int index = 0; index < kRegions; ++index) {
        const std::string name = std::to_string(thread) + "-" + std::to_string(index);
        // Empty regions: nothing but the record has to be durable.
        EXPECT_TRUE(shelf->create(name, 0, "", {}).ok());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  shelf.reset();
  pool.reset();  // no clean close: only what was acknowledged is there
  pool = open_pool();
  const auto again = get_shelf(*pool, "s");
  EXPECT_EQ(again->space().region_count, uint64_t{kThreads * kRegions});
  EXPECT_LT(again->recovery().records_replayed, uint64_t{kThreads * kRegions} * 3 / 4)
      << "each mutation got a record of its own";
}

TEST_F(ShelfStress, ShelvesComeAndGoUnderRunningCalls) {
  spdlog::set_level(spdlog::level::err);
  auto pool = open_pool();
  make_shelf(*pool, "s", 4 * kMiB);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> done{0}, erased{0};
  std::vector<std::thread> threads;
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      while (!stop) {
        auto shelf = pool->shelf("s");
        if (!shelf.ok()) continue;
        const std::string name = "r" + std::to_string(random() % 8);
        const std::string text(1 + random() % 20'000, static_cast<char>('a' + random() % 26));
        auto staged = (*shelf)->reserve(text.size(), false);
        if (!staged.ok()) continue;
        EXPECT_TRUE(staged->ref->store(0, bytes_of(text)).ok());
        EXPECT_TRUE(staged->ref->flush(0, text.size()).ok());
        store::Publish item;
        item.staged = staged->id;
        item.name = name;
        if (!(*shelf)->publish({&item, 1}, {}).ok()) (*shelf)->release(staged->id);
        auto region = (*shelf)->open(name);
        if (!region.ok()) continue;
        // One value, whole, whoever wrote it.
        const std::string seen = read_text(**region, 0, (*region)->bytes());
        EXPECT_EQ(seen, std::string(seen.size(), seen[0]));
        if (random() % 8 == 0) (void)(*shelf)->erase((*region)->id(), {});
        ++done;
      }
    });
  }
  threads.emplace_back([&] {
    std::mt19937 random(99);
    while (!stop) {
      switch (random() % 4) {
        case 0:
          if (pool->erase_shelf("s", {}).ok()) {
            ++erased;
            EXPECT_TRUE(pool->create_shelf(shelf_info("s"), {}).ok());
          }
          break;
        case 1:
          (void)pool->resize_shelf("s", (2 + 2 * (random() % 4)) * kMiB, {});
          break;
        case 2:
          EXPECT_TRUE(pool->rename_shelf("s", "t", {}).ok());
          EXPECT_TRUE(pool->rename_shelf("t", "s", {}).ok());
          break;
        default:
          (void)pool->stat();
          for (const auto& shelf : pool->shelves()) (void)shelf->info();
      }
    }
  });
  std::this_thread::sleep_for(std::chrono::seconds(2));
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_GT(done.load(), 50u);
  EXPECT_GT(erased.load(), 0u);
  const auto report = get_shelf(*pool, "s")->check();
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->problems.empty()) << report->problems.front();
  reopen(pool);
}

}  // namespace
}  // namespace pmshelf::pool
