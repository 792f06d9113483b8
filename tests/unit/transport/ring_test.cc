// The ring and who has which part of it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <random>

#include "common/transport/stream/ring_space.h"
#include "common/transport/stream/shared_ring.h"

namespace pmshelf::transport {
namespace {

UniqueFd duplicate(int fd) { return UniqueFd(::dup(fd)); }

TEST(RingSpace_Take, GivesDisjointPiecesAndAllOfItBack) {
  constexpr uint64_t kBytes = 1 << 20;
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::minstd_rand random(seed);
  RingSpace space(kBytes);
  std::map<uint64_t, uint64_t> taken;
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 2 == 0) {
      const uint64_t bytes = 1 + random() % 100'000;
      const auto position = space.take(bytes);
      if (!position) continue;
      ASSERT_LE(*position + bytes, kBytes);
      const auto after = taken.lower_bound(*position);
      ASSERT_TRUE(after == taken.end() || *position + bytes <= after->first);
      if (after != taken.begin()) {
        const auto before = std::prev(after);
        ASSERT_LE(before->first + before->second, *position);
      }
      taken[*position] = bytes;
    } else if (!taken.empty()) {
      const auto victim = std::next(taken.begin(), static_cast<long>(random() % taken.size()));
      space.give_back(victim->first, victim->second);
      taken.erase(victim);
    }
  }
  for (const auto& [position, bytes] : taken) space.give_back(position, bytes);
  EXPECT_EQ(space.take(kBytes), 0u);  // merged into one run again
  EXPECT_FALSE(space.take(1));
}

TEST(RingSpace_Take, OfNothingGivesNothing) {
  RingSpace space(0);
  EXPECT_FALSE(space.take(1));
}

TEST(SharedRing_Create, IsSealedAndSharedWithWhoAttaches) {
  auto made = SharedRing::create(1 << 20);
  ASSERT_TRUE(made.ok());
  EXPECT_NE(::ftruncate(made->fd(), 0), 0);
  auto attached = SharedRing::attach(duplicate(made->fd()), 1 << 20);
  ASSERT_TRUE(attached.ok());
  made->data()[12'345] = std::byte{7};
  EXPECT_EQ(attached->data()[12'345], std::byte{7});
}

TEST(SharedRing_Create, RefusesSizesOutsideItsLimits) {
  for (const uint64_t bytes :
       {uint64_t{0}, uint64_t{4095}, uint64_t{4097}, kRingBytesMax + 4096, UINT64_MAX}) {
    EXPECT_EQ(SharedRing::create(bytes).code(), Code::kInvalidArgument) << bytes;
  }
  EXPECT_TRUE(SharedRing::create(kRingBytesMin).ok());
  EXPECT_TRUE(SharedRing::create(kRingBytesMax).ok());
}

TEST(SharedRing_Attach, RefusesWhatCouldFaultUnderUs) {
  const auto made = SharedRing::create(8192);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(SharedRing::attach(duplicate(made->fd()), 4096).code(), Code::kInvalidArgument);
  EXPECT_EQ(SharedRing::attach(UniqueFd(), 8192).code(), Code::kInvalidArgument);
  UniqueFd unsealed(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(unsealed.get(), 8192), 0);
  EXPECT_EQ(SharedRing::attach(std::move(unsealed), 8192).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace pmshelf::transport
