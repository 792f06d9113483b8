// Everything at once for two seconds: after revoke() returned ok, nothing that was granted before
// is running, and nothing of it begins.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "server/session/registry.h"

namespace pmshelf::session {
namespace {

constexpr int kRegions = 4;
constexpr auto kDuration = std::chrono::milliseconds(2000);

// What a grant's resource stands for: the generation of the region's bytes that it may touch.
struct Bytes {
  int region;
  uint64_t generation;
};

// Regions whose generation rises after each complete revocation, as erase and reuse would.
struct World {
  SystemClock clock;
  Registry registry{RegistryLimits{}, clock};
  std::array<std::atomic<uint64_t>, kRegions> generations{};
  std::array<std::mutex, kRegions> opening;  // "stop making grants first"
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> accesses{0}, revocations{0}, violations{0};

  RegionKey key(int region) const { return {1, static_cast<uint64_t>(region), false}; }
};

void client(World& world, uint32_t seed) {
  std::mt19937 random(seed);
  while (!world.stop) {
    const auto session = *world.registry.open(Principal{.name = "p"}, "stress", "local");
    for (int round = 0; round < 50 && !world.stop; ++round) {
      const int region = static_cast<int>(random() % kRegions);
      wire::GrantId id;
      {
        std::lock_guard lock(world.opening[region]);
        auto bytes = std::make_shared<Bytes>(Bytes{region, world.generations[region].load()});
        id = *world.registry.grant(session.id, {world.key(region), 64, 3, std::move(bytes)});
      }
      if (random() % 4 == 0) {
        // A mapping is a use too; given back when asked, or before release.
        const auto session_id = session.id;
        auto& registry = world.registry;
        (void)registry.set_mapped(
            session_id, id, [&registry, session_id, id] { registry.unmapped(session_id, id); });
      }
      for (int use = 0; use < 20; ++use) {
        auto access = world.registry.begin_access(session.id, id, 1, 0, 64);
        if (!access.ok()) break;
        const auto& bytes = *static_cast<const Bytes*>(access->resource().get());
        // While the access lives the generation cannot have moved on.
        for (int look = 0; look < 3; ++look) {
          if (world.generations[bytes.region].load() != bytes.generation) ++world.violations;
        }
        ++world.accesses;
      }
      world.registry.unmapped(session.id, id);
      if (random() % 2 == 0) world.registry.release(session.id, id);
    }
    world.registry.close(session.id, "stress");
  }
}

void revoker(World& world, uint32_t seed) {
  std::mt19937 random(seed);
  while (!world.stop) {
    const int region = static_cast<int>(random() % kRegions);
    std::lock_guard lock(world.opening[region]);
    if (world.registry.revoke(world.key(region), 60'000).ok()) {
      ++world.generations[region];
      ++world.revocations;
    } else {
      ++world.violations;
    }
  }
}

void onlooker(World& world) {
  while (!world.stop) {
    world.registry.sweep();
    for (const auto& view : world.registry.list()) {
      (void)world.registry.keep_alive(view.id);
      if (auto id = world.registry.lock(view.id, world.key(0), false); id.ok()) {
        (void)world.registry.unlock(view.id, *id);
      }
      world.registry.touch(view.id);
    }
    (void)world.registry.counts();
  }
}

TEST(RevokeStress, NothingTouchesBytesAfterTheirRevocation) {
  spdlog::set_level(spdlog::level::warn);
  World world;
  std::vector<std::thread> threads;
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    threads.emplace_back([&world, seed] { client(world, seed); });
  }
  threads.emplace_back([&world] { revoker(world, 99); });
  threads.emplace_back([&world] { onlooker(world); });
  std::this_thread::sleep_for(kDuration);
  world.stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(world.violations.load(), 0u);
  EXPECT_GT(world.accesses.load(), 100u);
  EXPECT_GT(world.revocations.load(), 10u);
  const auto counts = world.registry.counts();
  EXPECT_EQ(counts.sessions, 0u);
  EXPECT_EQ(counts.grants, 0u);
  EXPECT_EQ(counts.locks, 0u);
}

TEST(RevokeStress, CloseRacingGrantAndAccessLeavesNothing) {
  SystemClock clock;
  Registry registry(RegistryLimits{}, clock);
  std::atomic<int> live{0};
  const auto until = std::chrono::steady_clock::now() + kDuration / 4;
  while (std::chrono::steady_clock::now() < until) {
    const auto session = *registry.open(Principal{.name = "p"}, "stress", "local");
    std::thread user([&] {
      for (int round = 0; round < 20; ++round) {
        ++live;
        std::shared_ptr<void> resource(
            &live, [](void* count) { --*static_cast<std::atomic<int>*>(count); });
        auto id = registry.grant(session.id, {{1, 2, false}, 8, 1, std::move(resource)});
        if (!id.ok()) break;
        auto access = registry.begin_access(session.id, *id, 1, 0, 8);
        if (access.ok() && access->resource() == nullptr) ADD_FAILURE() << "resource gone in use";
      }
    });
    registry.close(session.id, "race");
    user.join();
    ASSERT_EQ(live.load(), 0);
    ASSERT_EQ(registry.counts().grants, 0u);
  }
}

}  // namespace
}  // namespace pmshelf::session
