// Mapping, the ring, and memory that goes away.
#include <sys/mman.h>

#include <fstream>

#include "tests/conformance/transport_fixture.h"

namespace pmshelf::transport {
namespace {

class Transport_Map : public TransportTest {
 protected:
  void SetUp() override {
    if (!connect()->capabilities().map) GTEST_SKIP() << GetParam().name << " cannot map";
  }
};
class Transport_Memory : public TransportTest {};
INSTANTIATE_TEST_SUITE_P(All, Transport_Map, testing::ValuesIn(world_kinds()), world_name);
INSTANTIATE_TEST_SUITE_P(All, Transport_Memory, testing::ValuesIn(world_kinds()), world_name);

// The rights of the mapping at this address, as the kernel has them ("rw-s").
std::string protection_at(const void* address) {
  std::ifstream maps("/proc/self/maps");
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::string line;
  while (std::getline(maps, line)) {
    uintptr_t begin = 0, end = 0;
    char rights[5] = {};
    if (sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, rights) == 3 && begin <= wanted &&
        wanted < end) {
      return rights;
    }
  }
  return "none";
}

TEST_P(Transport_Map, SharesTheRegionBothWays) {
  const auto channel = connect();
  const auto grant = world().add_region(10'000);
  auto mapped = channel->map(grant);
  ASSERT_TRUE(mapped.ok()) << mapped.error().to_string();
  ASSERT_EQ(mapped->bytes, 10'000u);
  EXPECT_TRUE(mapped->writable);
  const Bytes source = pattern(10'000, 1);
  std::memcpy(mapped->data, source.data(), source.size());
  EXPECT_EQ(world().bytes_of(grant), source);
  ASSERT_TRUE(do_write(*channel, grant, 5000, pattern(100, 2)).ok());
  EXPECT_EQ(std::memcmp(mapped->data + 5000, pattern(100, 2).data(), 100), 0);
}

TEST_P(Transport_Map, OfAReadOnlyGrantCannotBeWritten) {
  const auto channel = connect();
  const auto grant = world().add_region(10'000, kTestRead);
  const auto mapped = channel->map(grant);
  ASSERT_TRUE(mapped.ok());
  EXPECT_FALSE(mapped->writable);
  if (world().service() == nullptr) GTEST_SKIP() << "the fake maps this process's own memory";
  EXPECT_EQ(protection_at(mapped->data), "r--s");
}

TEST_P(Transport_Map, StaleGrantCannotBeMapped) {
  const auto channel = connect();
  EXPECT_EQ(channel->map({9, 9}).code(), Code::kStaleGrant);
  EXPECT_TRUE(do_ping(*channel).ok());
}

TEST_P(Transport_Map, EmptyRegionMapsToNothing) {
  const auto channel = connect();
  const auto mapped = channel->map(world().add_region(0));
  ASSERT_TRUE(mapped.ok());
  EXPECT_EQ(mapped->bytes, 0u);
}

TEST_P(Transport_Map, LastCopyUnmapsAndTellsTheServer) {
  MemoryService* service = world().service();
  if (service == nullptr) GTEST_SKIP() << "the fake has no server";
  const auto channel = connect();
  const auto grant = world().add_region(10'000);
  auto first = channel->map(grant);
  auto second = channel->map(grant);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(service->mapped_count(), 1u);
  std::shared_ptr<void> copy = first->keep_alive;
  const std::byte* address = first->data;
  first->keep_alive.reset();
  EXPECT_NE(protection_at(address), "none");
  copy.reset();
  EXPECT_EQ(protection_at(address), "none");
  ASSERT_TRUE(do_ping(*channel).ok());
  EXPECT_EQ(service->mapped_count(), 1u);  // the second is still there
  second->keep_alive.reset();
  EXPECT_TRUE(eventually([&] { return service->mapped_count() == 0; }));
}

TEST_P(Transport_Map, OutlivesItsChannel) {
  MappedRange mapped;
  const auto grant = world().add_region(10'000);
  {
    const auto channel = connect();
    mapped = *channel->map(grant);
  }
  mapped.data[9'999] = std::byte{1};
  EXPECT_EQ(world().bytes_of(grant)[9'999], std::byte{1});
  mapped.keep_alive.reset();
  if (world().service() == nullptr) return;
  EXPECT_TRUE(eventually([&] { return world().service()->mapped_count() == 0; }));
}

TEST_P(Transport_Map, RevocationIsHeardWithoutAnybodyDriving) {
  const auto channel = connect();
  std::atomic<int> notices{0};
  channel->on_notice = [&](wire::NoticeKind kind, wire::GrantId) {
    if (kind == wire::NoticeKind::kRevoked) ++notices;
  };
  const auto grant = world().add_region(10'000);
  const auto mapped = channel->map(grant);
  ASSERT_TRUE(mapped.ok());
  world().revoke(grant);
  EXPECT_TRUE(eventually([&] { return notices == 1; }));
  EXPECT_TRUE(do_ping(*channel).ok());  // the thread that listens hands over
}

TEST_P(Transport_Map, WrongDescriptorsAreErrors) {
  MemoryService* service = world().service();
  if (service == nullptr) GTEST_SKIP() << "the fake passes no descriptors";
  using MapFd = MemoryService::MapFd;
  for (const MapFd wrong : {MapFd::kShort, MapFd::kSocket, MapFd::kWriteOnly}) {
    service->map_fd = wrong;
    const auto channel = connect();
    const auto grant = world().add_region(10'000);
    EXPECT_EQ(channel->map(grant).code(), Code::kIo);
    EXPECT_TRUE(do_ping(*channel).ok());
    EXPECT_TRUE(eventually([&] { return service->mapped_count() == 0; }));
  }
  service->map_fd = MapFd::kNone;
  const auto channel = connect();
  EXPECT_EQ(channel->map(world().add_region(10'000)).code(), Code::kUnavailable);
  EXPECT_FALSE(channel->connected());
}

// ---- memory that goes away while it is served

TEST_P(Transport_Memory, OfATruncatedFileIsAnErrorNotADeath) {
  MemoryService* service = world().service();
  if (service == nullptr) GTEST_SKIP() << "the fake has no file";
  const auto channel = connect();
  const auto kept = world().add_region(10'000);
  const auto lost = world().add_region(4 << 20);
  service->truncate_below(lost);
  Bytes small(100), large(4 << 20);
  EXPECT_EQ(do_read(*channel, lost, 8192, small).code(), Code::kIo);
  EXPECT_EQ(do_read(*channel, lost, 0, large).code(), Code::kIo);
  EXPECT_EQ(do_write(*channel, lost, 8192, small).code(), Code::kIo);
  EXPECT_EQ(do_write(*channel, lost, 0, large).code(), Code::kIo);
  EXPECT_EQ(do_write_ranges(*channel, lost, {{8192, 100}}, small).code(), Code::kIo);
  EXPECT_TRUE(do_write(*channel, kept, 0, small).ok());
  EXPECT_TRUE(do_ping(*channel).ok());
}

TEST_P(Transport_Memory, ServerThatRefusesTheRingIsServedThroughTheSocket) {
  if (GetParam().name != "LocalRing") GTEST_SKIP() << "no ring on this transport";
  world().service()->allow_ring = false;
  const auto channel = connect();
  const auto grant = world().add_region(1 << 20);
  const Bytes source = pattern(1 << 20, 1);
  ASSERT_TRUE(do_write(*channel, grant, 0, source).ok());
  EXPECT_EQ(world().bytes_of(grant), source);
}

// More at once than the ring holds: the rest goes through the socket.
TEST_P(Transport_Memory, ManyLargeRequestsAtOnceStayApart) {
  const auto channel = connect();
  const auto grant = world().add_region(64 << 20);
  constexpr size_t kBytes = 1'000'003;
  constexpr int kCount = 60;
  std::vector<Bytes> sources, targets;
  for (uint32_t i = 0; i < kCount; ++i) sources.push_back(pattern(kBytes, i));
  targets.assign(kCount, Bytes(kBytes));
  int left = kCount;
  const auto done = [&](const Status& status) {
    EXPECT_TRUE(status.ok());
    --left;
  };
  const DriveScope scope(*channel);
  for (int i = 0; i < kCount; ++i) {
    channel->write(grant, i * kBytes, sources[i], Durability::kDurable, done);
  }
  ASSERT_TRUE(channel->drive_until([&] { return left == 0; }, 60'000).ok());
  left = kCount;
  for (int i = 0; i < kCount; ++i) channel->read(grant, i * kBytes, targets[i], done);
  ASSERT_TRUE(channel->drive_until([&] { return left == 0; }, 60'000).ok());
  for (int i = 0; i < kCount; ++i) EXPECT_TRUE(sources[i] == targets[i]) << i;
}

}  // namespace
}  // namespace pmshelf::transport
