// The contract of Channel (common/transport/channel.h), on every transport.
#include "tests/conformance/transport_fixture.h"

namespace pmshelf::transport {
namespace {

class Transport_Data : public TransportTest {};
class Transport_Errors : public TransportTest {};
class Transport_Driving : public TransportTest {};

INSTANTIATE_TEST_SUITE_P(All, Transport_Data, testing::ValuesIn(world_kinds()), world_name);
INSTANTIATE_TEST_SUITE_P(All, Transport_Errors, testing::ValuesIn(world_kinds()), world_name);
INSTANTIATE_TEST_SUITE_P(All, Transport_Driving, testing::ValuesIn(world_kinds()), world_name);

TEST_P(Transport_Data, WrittenBytesAreReadBackAtEverySize) {
  const auto channel = connect();
  const uint64_t most = channel->capabilities().request_bytes_max;
  const auto grant = world().add_region(most + 128);
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{8}, uint64_t{63}, uint64_t{4096},
                               uint64_t{4097}, uint64_t{16383}, uint64_t{16384}, uint64_t{65536},
                               uint64_t{65600}, uint64_t{1'000'003}, most}) {
    const Bytes source = pattern(bytes, static_cast<uint32_t>(bytes));
    ASSERT_TRUE(do_write(*channel, grant, 65, source).ok()) << bytes;
    Bytes target(bytes);
    ASSERT_TRUE(do_read(*channel, grant, 65, target).ok()) << bytes;
    ASSERT_EQ(target, source) << bytes;
    const Bytes region = world().bytes_of(grant);
    ASSERT_TRUE(std::equal(source.begin(), source.end(), region.begin() + 65)) << bytes;
  }
}

TEST_P(Transport_Data, WriteTouchesNoByteBesideItsRange) {
  const auto channel = connect();
  const auto grant = world().add_region(100'000);
  const Bytes source(50'000, std::byte{0xAB});
  ASSERT_TRUE(do_write(*channel, grant, 25'000, source, Durability::kVisible).ok());
  const Bytes region = world().bytes_of(grant);
  for (size_t at = 0; at < region.size(); ++at) {
    const bool inside = at >= 25'000 && at < 75'000;
    ASSERT_EQ(region[at], inside ? std::byte{0xAB} : std::byte{0}) << at;
  }
}

TEST_P(Transport_Data, AtomicWriteStoresEightBytes) {
  const auto channel = connect();
  const auto grant = world().add_region(64);
  ASSERT_TRUE(do_write8(*channel, grant, 56, 0x1122334455667788).ok());
  uint64_t value = 0;
  ASSERT_TRUE(do_read(*channel, grant, 56, std::as_writable_bytes(std::span(&value, 1))).ok());
  EXPECT_EQ(value, 0x1122334455667788u);
  EXPECT_EQ(do_write8(*channel, grant, 60, 1).code(), Code::kInvalidArgument);
  EXPECT_EQ(do_write8(*channel, grant, 64, 1).code(), Code::kOutOfRange);
}

TEST_P(Transport_Data, FlushCoversItsRangeAndNoByteMore) {
  const auto channel = connect();
  const auto grant = world().add_region(4096);
  EXPECT_TRUE(do_flush(*channel, grant, 0, 4096).ok());
  EXPECT_TRUE(do_flush(*channel, grant, 0, 0).ok());
  EXPECT_TRUE(do_flush(*channel, grant, 4096, 0).ok());
  EXPECT_EQ(do_flush(*channel, grant, 1, 4096).code(), Code::kOutOfRange);
  EXPECT_EQ(do_flush(*channel, grant, 0, UINT64_MAX).code(), Code::kOutOfRange);
  EXPECT_EQ(do_flush(*channel, grant, UINT64_MAX, 2).code(), Code::kOutOfRange);
}

TEST_P(Transport_Data, RangesAreWrittenAndReadInTheirOrder) {
  const auto channel = connect();
  const auto grant = world().add_region(300'000);
  const std::vector<wire::Range> ranges = {
      {200'000, 5}, {0, 70'000}, {299'999, 1}, {100'000, 0}, {150'000, 4096}};
  const Bytes source = pattern(5 + 70'000 + 1 + 4096, 3);
  ASSERT_TRUE(do_write_ranges(*channel, grant, ranges, source).ok());
  Bytes target(source.size());
  ASSERT_TRUE(do_read_ranges(*channel, grant, ranges, target).ok());
  EXPECT_EQ(target, source);
  const Bytes region = world().bytes_of(grant);
  EXPECT_EQ(region[200'000], source[0]);
  EXPECT_EQ(region[0], source[5]);
  EXPECT_EQ(region[299'999], source[70'005]);
}

TEST_P(Transport_Data, AsManyRangesAsAFrameHolds) {
  const auto channel = connect();
  const auto grant = world().add_region(64 * 1024);
  std::vector<wire::Range> ranges;
  for (uint64_t i = 0; i < wire::kFrameRangesMax; ++i) ranges.push_back({i * 64, 8});
  const Bytes source = pattern(ranges.size() * 8, 4);
  ASSERT_TRUE(do_write_ranges(*channel, grant, ranges, source).ok());
  Bytes target(source.size());
  ASSERT_TRUE(do_read_ranges(*channel, grant, ranges, target).ok());
  EXPECT_EQ(target, source);
}

TEST_P(Transport_Data, TransactIsAllOrNothing) {
  const auto channel = connect();
  const auto first = world().add_region(4096);
  const auto second = world().add_region(4096);
  const auto readonly = world().add_region(4096, kTestRead);
  wire::TransactMeta meta;
  meta.request_high = 1;
  meta.ranges = {{first, {0, 100}}, {second, {4000, 96}}, {first, {1000, 4}}};
  const Bytes source = pattern(200, 5);
  ASSERT_TRUE(do_transact(*channel, meta, source).ok());
  EXPECT_EQ(world().bytes_of(first)[0], source[0]);
  EXPECT_EQ(world().bytes_of(second)[4000], source[100]);
  EXPECT_EQ(world().bytes_of(first)[1003], source[199]);

  const Bytes before = world().bytes_of(first);
  meta.ranges = {{first, {0, 100}}, {readonly, {0, 100}}};
  EXPECT_EQ(do_transact(*channel, meta, pattern(200, 6)).code(), Code::kPermissionDenied);
  EXPECT_EQ(world().bytes_of(first), before);
}

TEST_P(Transport_Data, PutAndGetAValueWithItsAttributes) {
  const auto channel = connect();
  const uint64_t shelf = world().add_shelf();
  const Bytes value = pattern(100'000, 7);
  ASSERT_TRUE(
      do_put(*channel, shelf, {.name = "key", .attributes = "attributes"}, false, value).ok());
  Bytes target(value.size() + 10);
  auto result = do_get(*channel, shelf, "key", target);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->total_bytes, value.size());
  EXPECT_EQ(result->copied_bytes, value.size());
  EXPECT_EQ(result->attributes, "attributes");
  EXPECT_NE(result->region_id, 0u);
  EXPECT_TRUE(std::equal(value.begin(), value.end(), target.begin()));

  Bytes part(10);
  result = do_get(*channel, shelf, "key", part);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->total_bytes, value.size());
  EXPECT_EQ(result->copied_bytes, 10u);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), value.begin()));
}

TEST_P(Transport_Data, EmptyValueAndEmptyTargetWork) {
  const auto channel = connect();
  const uint64_t shelf = world().add_shelf();
  ASSERT_TRUE(do_put(*channel, shelf, {.name = "empty"}, false, {}).ok());
  const auto result = do_get(*channel, shelf, "empty", {});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->total_bytes, 0u);
  ASSERT_TRUE(do_put(*channel, shelf, {.name = "full"}, false, pattern(9, 1)).ok());
  const auto sized = do_get(*channel, shelf, "full", {});
  ASSERT_TRUE(sized.ok());
  EXPECT_EQ(sized->total_bytes, 9u);
  EXPECT_EQ(sized->copied_bytes, 0u);
}

TEST_P(Transport_Data, PutIfAbsentKeepsTheFirst) {
  const auto channel = connect();
  const uint64_t shelf = world().add_shelf();
  ASSERT_TRUE(do_put(*channel, shelf, {.name = "key"}, true, pattern(8, 1)).ok());
  EXPECT_EQ(do_put(*channel, shelf, {.name = "key"}, true, pattern(8, 2)).code(),
            Code::kAlreadyExists);
  Bytes target(8);
  ASSERT_TRUE(do_get(*channel, shelf, "key", target).ok());
  EXPECT_EQ(target, pattern(8, 1));
  EXPECT_EQ(do_get(*channel, shelf, "none", target).code(), Code::kNotFound);
}

TEST_P(Transport_Errors, AreAnsweredAndTheConnectionLivesOn) {
  const auto channel = connect();
  const auto grant = world().add_region(100'000);
  const auto readonly = world().add_region(4096, kTestRead);
  const auto writeonly = world().add_region(4096, kTestWrite);
  Bytes small(16), large(60'000);
  EXPECT_EQ(do_read(*channel, {9, 9}, 0, small).code(), Code::kStaleGrant);
  EXPECT_EQ(do_write(*channel, {9, 9}, 0, large).code(), Code::kStaleGrant);
  EXPECT_EQ(do_write(*channel, readonly, 0, small).code(), Code::kPermissionDenied);
  EXPECT_EQ(do_read(*channel, writeonly, 0, small).code(), Code::kPermissionDenied);
  EXPECT_EQ(do_read(*channel, grant, 100'000 - 15, small).code(), Code::kOutOfRange);
  EXPECT_EQ(do_write(*channel, grant, 100'000 - 59'999, large).code(), Code::kOutOfRange);
  EXPECT_EQ(do_write(*channel, grant, UINT64_MAX - 8, small).code(), Code::kOutOfRange);
  EXPECT_TRUE(do_ping(*channel).ok());
  EXPECT_TRUE(do_write(*channel, grant, 0, large).ok());
  EXPECT_TRUE(channel->connected());
  EXPECT_EQ(channel->path(), GetParam().name == "Fake"                              ? "fake"
                             : GetParam().name == "Tcp" || GetParam().name == "Tls" ? "tcp"
                                                                                    : "local");
}

TEST_P(Transport_Errors, RequestsOverTheLimitAreRefusedHere) {
  const auto channel = connect();
  const auto grant = world().add_region(1024);
  const uint64_t over = channel->capabilities().request_bytes_max + 1;
  Bytes bytes(over);
  EXPECT_EQ(do_read(*channel, grant, 0, bytes).code(), Code::kInvalidArgument);
  EXPECT_EQ(do_write(*channel, grant, 0, bytes).code(), Code::kInvalidArgument);
  EXPECT_TRUE(do_ping(*channel).ok());
}

TEST_P(Transport_Errors, RangesThatDoNotMatchTheBufferAreRefused) {
  const auto channel = connect();
  const auto grant = world().add_region(1024);
  Bytes bytes(10);
  EXPECT_EQ(do_read_ranges(*channel, grant, {{0, 9}}, bytes).code(), Code::kInvalidArgument);
  EXPECT_EQ(do_write_ranges(*channel, grant, {{0, 11}}, bytes).code(), Code::kInvalidArgument);
  wire::TransactMeta meta;
  meta.ranges = {{grant, {0, 9}}};
  EXPECT_EQ(do_transact(*channel, meta, bytes).code(), Code::kInvalidArgument);
  EXPECT_TRUE(do_ping(*channel).ok());
}

TEST_P(Transport_Errors, RevokedGrantIsStaleAndANoticeComes) {
  const auto channel = connect();
  const auto grant = world().add_region(1024);
  std::atomic<bool> noticed{false};
  channel->on_notice = [&](wire::NoticeKind kind, wire::GrantId id) {
    noticed = kind == wire::NoticeKind::kRevoked && id == grant;
  };
  Bytes bytes(8);
  ASSERT_TRUE(do_write(*channel, grant, 0, bytes).ok());
  world().revoke(grant);
  EXPECT_EQ(do_write(*channel, grant, 0, bytes).code(), Code::kStaleGrant);
  EXPECT_TRUE(channel->drive_until([&] { return noticed.load(); }, 10'000).ok());
}

// ---- driving

TEST_P(Transport_Driving, ThousandRequestsFromEachOfFourThreads) {
  const auto channel = connect();
  constexpr int kThreads = 4;
  constexpr int kRequests = 1000;
  std::vector<wire::GrantId> grants;
  for (int i = 0; i < kThreads; ++i) grants.push_back(world().add_region(kRequests * 64));
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const Bytes source = pattern(kRequests * 64, static_cast<uint32_t>(t));
      std::atomic<int> left{kRequests};
      {
        const DriveScope scope(*channel);
        for (int i = 0; i < kRequests; ++i) {
          channel->write(grants[t], i * 64, std::span(source).subspan(i * 64, 64),
                         Durability::kDurable, [&](const Status& status) {
                           if (!status.ok()) ++failures;
                           --left;
                         });
        }
        if (!channel->drive_until([&] { return left == 0; }, 60'000).ok()) ++failures;
      }
      Bytes target(source.size());
      if (!do_read(*channel, grants[t], 0, target).ok() || target != source) ++failures;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

TEST_P(Transport_Driving, RequestsCompleteWithoutAnybodyDriving) {
  const auto channel = connect();
  const auto grant = world().add_region(1 << 20);
  const Bytes source = pattern(1 << 20, 1);
  std::atomic<int> left{100};
  std::atomic<int> failures{0};
  for (int i = 0; i < 100; ++i) {
    channel->write(grant, 0, source, Durability::kDurable, [&](const Status& status) {
      if (!status.ok()) ++failures;
      --left;
    });
  }
  EXPECT_TRUE(eventually([&] { return left == 0; }));
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(world().bytes_of(grant), source);
}

TEST_P(Transport_Driving, CompletionsMaySubmitAndNeverRunInsideSubmit) {
  const auto channel = connect();
  const auto grant = world().add_region(64);
  int left = 1000;
  bool inside_submit = false, ran_inside = false;
  Bytes bytes(64);
  std::function<void()> next = [&] {
    inside_submit = true;
    channel->read(grant, 0, bytes, [&](const Status& status) {
      ran_inside |= inside_submit;
      EXPECT_TRUE(status.ok());
      if (--left > 0) next();
    });
    inside_submit = false;
  };
  const DriveScope scope(*channel);
  next();
  EXPECT_TRUE(channel->drive_until([&] { return left == 0; }, 20'000).ok());
  EXPECT_FALSE(ran_inside);
}

TEST_P(Transport_Driving, FromACompletionIsRefused) {
  const auto channel = connect();
  Status inner;
  bool done = false;
  const DriveScope scope(*channel);
  channel->ping([&](const Status&) {
    inner = channel->drive_until([] { return true; }, 10);
    done = true;
  });
  ASSERT_TRUE(channel->drive_until([&] { return done; }, 20'000).ok());
  EXPECT_EQ(inner.code(), Code::kInvalidArgument);
}

TEST_P(Transport_Driving, EndsAtItsDeadline) {
  const auto channel = connect();
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(channel->drive_until([] { return false; }, 50).code(), Code::kDeadlineExceeded);
  const auto passed = std::chrono::steady_clock::now() - before;
  EXPECT_GE(passed, std::chrono::milliseconds(50));
  EXPECT_LT(passed, std::chrono::seconds(10));
  EXPECT_TRUE(do_ping(*channel).ok());
}

TEST_P(Transport_Driving, BlockingCallsOfManyThreadsShareOneChannel) {
  const auto channel = connect();
  const auto grant = world().add_region(4096);
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 1; i <= 200; ++i) {
        const uint64_t value = i * 4 + t;
        uint64_t seen = 0;
        if (!do_write8(*channel, grant, t * 8, value).ok()) ++failures;
        if (!do_read(*channel, grant, t * 8, std::as_writable_bytes(std::span(&seen, 1))).ok()) {
          ++failures;
        }
        if (seen != value) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

// A reader that does not drive holds up nobody, and gets all of it later.
TEST_P(Transport_Driving, LateReaderGetsEverything) {
  const auto slow = connect();
  const auto other = connect();
  const auto grant = world().add_region(4 << 20);
  const Bytes source = pattern(4 << 20, 9);
  ASSERT_TRUE(do_write(*other, grant, 0, source).ok());
  constexpr int kReads = 40;
  std::vector<Bytes> targets(kReads, Bytes(source.size()));
  int left = kReads;
  const DriveScope scope(*slow);
  for (Bytes& target : targets) {
    slow->read(grant, 0, target, [&](const Status& status) {
      EXPECT_TRUE(status.ok());
      --left;
    });
  }
  // Sends the requests, then stops reading in the middle of the answers.
  const auto stop_at = kReads - 1;
  ASSERT_TRUE(slow->drive_until([&] { return left <= stop_at; }, 20'000).ok());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(do_ping(*other).ok());
  ASSERT_TRUE(slow->drive_until([&] { return left == 0; }, 60'000).ok());
  for (const Bytes& target : targets) EXPECT_TRUE(target == source);
}

TEST_P(Transport_Driving, MoreThanInFlightMaxWaitTheirTurn) {
  if (world().service() == nullptr) GTEST_SKIP() << "the fake has no in-flight limit to be told";
  world().service()->in_flight_max = 3;
  const auto channel = connect();
  EXPECT_EQ(channel->capabilities().in_flight_max, 3u);
  const auto grant = world().add_region(500 * 8);
  int left = 500;
  const DriveScope scope(*channel);
  for (uint64_t i = 0; i < 500; ++i) {
    channel->atomic_write8(grant, i * 8, i, [&](const Status& status) {
      EXPECT_TRUE(status.ok());
      --left;
    });
  }
  ASSERT_TRUE(channel->drive_until([&] { return left == 0; }, 20'000).ok());
  const Bytes region = world().bytes_of(grant);
  for (uint64_t i = 0; i < 500; ++i) {
    uint64_t value = 0;
    std::memcpy(&value, region.data() + i * 8, 8);
    ASSERT_EQ(value, i);
  }
}

TEST_P(Transport_Driving, OperationsMayFinishOnOtherThreads) {
  if (world().service() == nullptr) GTEST_SKIP() << "the fake has no operations of a server";
  world().service()->finish_elsewhere = true;
  const auto channel = connect();
  const auto grant = world().add_region(1 << 20);
  int left = 300;
  std::vector<Bytes> sources;
  for (uint32_t i = 0; i < 300; ++i) sources.push_back(pattern(i % 3 == 0 ? 20'000 : 100, i));
  const DriveScope scope(*channel);
  for (size_t i = 0; i < sources.size(); ++i) {
    channel->write(grant, i * 3000 % 900'000, sources[i], Durability::kDurable,
                   [&](const Status& status) {
                     EXPECT_TRUE(status.ok());
                     --left;
                   });
  }
  ASSERT_TRUE(channel->drive_until([&] { return left == 0; }, 20'000).ok());
  EXPECT_TRUE(eventually([&] { return world().service()->operation_count() == 0; }));
}

// While one thread waits for an answer that does not come, others are not held up: neither by
// bytes that do not fit into the socket, nor by requests that fail before they are sent.
TEST_P(Transport_Driving, ThreadThatWaitsLongHoldsUpNoOther) {
  MemoryService* service = world().service();
  if (service == nullptr) GTEST_SKIP() << "the fake finishes everything at once";
  service->hold_flushes = true;
  const auto channel = connect();
  const auto grant = world().add_region(4 << 20);
  std::atomic<bool> released{false};
  std::thread waiter([&] {
    EXPECT_TRUE(do_flush(*channel, grant, 0, 64).ok());
    EXPECT_TRUE(released);
  });
  ASSERT_TRUE(eventually([&] { return service->begun_count() >= 1; }));
  const Bytes source = pattern(4 << 20, 1);
  std::atomic<int> left{41};
  for (int i = 0; i < 40; ++i) {
    channel->write(grant, 0, source, Durability::kVisible, [&](const Status& status) {
      EXPECT_TRUE(status.ok());
      --left;
    });
  }
  EXPECT_TRUE(eventually([&] { return left == 1; }));
  const std::vector<wire::Range> mismatch = {{0, 1}};
  channel->write_ranges(grant, mismatch, source, Durability::kVisible, [&](const Status& status) {
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    --left;
  });
  EXPECT_TRUE(eventually([&] { return left == 0; }));
  EXPECT_TRUE(do_ping(*channel).ok());
  released = true;
  service->hold_flushes = false;
  service->release_held();
  waiter.join();
}

// A wait that ends at its deadline leaves the request in flight; it completes later.
TEST_P(Transport_Driving, RequestOutlivesTheDeadlineOfItsDriver) {
  MemoryService* service = world().service();
  if (service == nullptr) GTEST_SKIP() << "the fake finishes everything at once";
  service->hold_flushes = true;
  const auto channel = connect();
  const auto grant = world().add_region(64);
  for (const uint64_t deadline_ms : {30, 800}) {  // below and above what one recv() waits
    std::atomic<bool> done{false};
    {
      const DriveScope scope(*channel);
      channel->flush(grant, 0, 64, [&](const Status& status) {
        EXPECT_TRUE(status.ok());
        done = true;
      });
      EXPECT_EQ(channel->drive_until([&] { return done.load(); }, deadline_ms).code(),
                Code::kDeadlineExceeded);
    }
    ASSERT_TRUE(eventually([&] { return service->operation_count() == 1; }));
    service->release_held();
    EXPECT_TRUE(eventually([&] { return done.load(); }));
  }
}

}  // namespace
}  // namespace pmshelf::transport
