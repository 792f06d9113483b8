// What data calls do about lost connections, lost sessions and regions that went away.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <latch>
#include <thread>

#include "client/src/region_work.h"
#include "tests/unit/client/fake_test.h"

namespace pmshelf::client {
namespace {

using std::chrono::milliseconds;
using transport::FakeOptions;

class DataCall : public FakeDaemonTest {
 protected:
  // The n-th request of the first connection breaks it; later ones live.
  void break_first_connection(uint64_t at, bool apply) {
    FakeOptions breaking;
    breaking.break_at = at;
    breaking.apply_before_break = apply;
    daemon_.script_channels({breaking, FakeOptions{}});
  }
  // Everything a region can do, each kind with bytes that only it writes.
  void use(const Region& r) {
    const auto bytes = pattern(300);
    ASSERT_TRUE(r.write(10, bytes).ok());
    std::vector<std::byte> back(300);
    ASSERT_TRUE(r.read(10, back).ok());
    EXPECT_EQ(back, bytes);
    ASSERT_TRUE(r.flush(0, r.bytes()).ok());
    ASSERT_TRUE(r.atomic_write8(400, 0x1122334455667788).ok());
    uint64_t value = 0;
    ASSERT_TRUE(r.read(400, std::as_writable_bytes(std::span(&value, 1))).ok());
    EXPECT_EQ(value, 0x1122334455667788u);
    const std::vector<Range> ranges = {{500, 100}, {700, 1}, {0, 5}};
    ASSERT_TRUE(r.write_ranges(ranges, std::span(bytes).first(106)).ok());
    std::vector<std::byte> gathered(106);
    ASSERT_TRUE(r.read_ranges(ranges, gathered).ok());
    EXPECT_TRUE(std::equal(gathered.begin(), gathered.end(), bytes.begin()));
  }
};

TEST_F(DataCall, EveryKindWorksByRequests) { use(region(connect(), 1000)); }

TEST_F(DataCall, EveryKindWorksOnMappedBytes) {
  daemon_.policy = v1::DIRECT;
  const Client client = connect();
  const Region r = region(client, 1000);
  use(r);
  EXPECT_TRUE(r.map().ok());
}

TEST_F(DataCall, BoundsAreCheckedBeforeAnythingIsSent) {
  const Client client = connect();
  const Region r = region(client, 100);
  std::vector<std::byte> buffer(101);
  const auto one = std::span(buffer).first(1);
  EXPECT_EQ(r.read(0, buffer).code(), Code::kOutOfRange);
  EXPECT_EQ(r.read(100, one).code(), Code::kOutOfRange);
  EXPECT_EQ(r.write(100, one).code(), Code::kOutOfRange);
  EXPECT_EQ(r.write(UINT64_MAX, one).code(), Code::kOutOfRange);
  EXPECT_EQ(r.flush(0, 101).code(), Code::kOutOfRange);
  EXPECT_EQ(r.flush(101, 0).code(), Code::kOutOfRange);
  EXPECT_EQ(r.flush(1, UINT64_MAX).code(), Code::kOutOfRange);
  EXPECT_EQ(r.atomic_write8(96, 1).code(), Code::kOutOfRange);
  EXPECT_EQ(r.atomic_write8(4, 1).code(), Code::kInvalidArgument);
  EXPECT_EQ(r.read_async(100, one).get().code(), Code::kOutOfRange);
  const std::vector<Range> outside = {{0, 1}, {100, 1}};
  const std::vector<Range> inside = {{0, 1}, {99, 1}};
  EXPECT_EQ(r.read_ranges(outside, std::span(buffer).first(2)).code(), Code::kOutOfRange);
  EXPECT_EQ(r.read_ranges(inside, std::span(buffer).first(3)).code(), Code::kInvalidArgument);
  EXPECT_EQ(r.write_ranges(inside, one).code(), Code::kInvalidArgument);
  EXPECT_EQ(daemon_.dialled(), 0);
  EXPECT_TRUE(r.read(100, {}).ok());
  EXPECT_TRUE(r.write(0, {}).ok());
  EXPECT_TRUE(r.flush(100, 0).ok());
  EXPECT_TRUE(r.read_ranges({}, {}).ok());
  EXPECT_EQ(daemon_.dialled(), 0);
}

TEST_F(DataCall, LargeTransfersAreCutAndPutTogether) {
  const Client client = connect();
  const size_t bytes = kChunkBytes * (kRequestsInFlightMax + 3) + 12345;
  const Region r = region(client, bytes + 10);
  const auto value = pattern(bytes);
  ASSERT_TRUE(r.write(7, value).ok());
  std::vector<std::byte> back(bytes);
  ASSERT_TRUE(r.read(7, back).ok());
  EXPECT_EQ(back, value);
  // Ranges that are longer than a request, and more than fit into one.
  std::vector<Range> ranges = {{7, kChunkBytes * 2 + 1}};
  uint64_t total_bytes = ranges[0].length;
  for (uint64_t index = 0; index < 2500; ++index) {
    ranges.push_back({7 + kChunkBytes * 3 + index * 10, 3});
    total_bytes += 3;
  }
  std::vector<std::byte> gathered(total_bytes);
  ASSERT_TRUE(r.read_ranges(ranges, gathered).ok());
  uint64_t position = 0;
  for (const Range& range : ranges) {
    ASSERT_TRUE(std::equal(value.begin() + range.offset - 7,
                           value.begin() + range.offset - 7 + range.length,
                           gathered.begin() + position));
    position += range.length;
  }
}

TEST_F(DataCall, BrokenConnectionIsMadeAgainAtEveryRequestOfATransfer) {
  const size_t bytes = kChunkBytes * 5 + 1;
  const auto value = pattern(bytes);
  for (const bool apply : {false, true}) {
    for (uint64_t at = 1; at <= 12; ++at) {
      SCOPED_TRACE(testing::Message() << "request " << at << (apply ? " applied" : " not applied"));
      break_first_connection(at, apply);
      const Client client = connect();
      const std::string name = "r" + std::to_string(at) + (apply ? "a" : "n");
      const Region r = region(client, bytes, name);
      ASSERT_TRUE(r.write(0, value).ok());
      std::vector<std::byte> back(bytes);
      ASSERT_TRUE(r.read(0, back).ok());
      EXPECT_EQ(back, value);
      EXPECT_TRUE(r.flush(0, bytes).ok());
      EXPECT_EQ(daemon_.bytes_of(name), value);
    }
  }
}

TEST_F(DataCall, BackgroundTransfersGoOnOverABrokenConnection) {
  const size_t bytes = kChunkBytes * 5 + 1;
  const auto value = pattern(bytes);
  for (uint64_t at = 1; at <= 7; ++at) {
    SCOPED_TRACE(at);
    break_first_connection(at, true);
    const Client client = connect();
    const Region r = region(client, bytes, "r" + std::to_string(at));
    EXPECT_TRUE(r.write_async(0, value).get().ok());
    EXPECT_EQ(daemon_.bytes_of("r" + std::to_string(at)), value);
  }
}

TEST_F(DataCall, EightByteWriteWhoseAnswerIsLostIsOfUnknownOutcome) {
  break_first_connection(1, true);
  const Client client = connect();
  const Region r = region(client, 64);
  EXPECT_EQ(r.atomic_write8(0, 1).code(), Code::kUnknownOutcome);
  EXPECT_TRUE(r.atomic_write8(0, 2).ok());
}

TEST_F(DataCall, NobodyComesBackAndTheCallSaysWhatIsKnown) {
  ConnectOptions options = daemon_.options();
  options.reconnect_timeout = milliseconds(200);
  break_first_connection(1, true);
  daemon_.allow_dialling(1);
  const Client client = connect(options);
  const Region r = region(client, 64);
  std::vector<std::byte> buffer(8);
  // The write may have been applied before the connection went; a read has no such doubt.
  EXPECT_EQ(r.write(0, buffer).code(), Code::kUnknownOutcome);
  EXPECT_EQ(r.read(0, buffer).code(), Code::kUnavailable);
}

TEST_F(DataCall, RegionIsOpenedAgainInANewSession) {
  break_first_connection(2, false);
  const Client client = connect();
  const Region r = region(client, 64);
  ASSERT_TRUE(r.write(0, pattern(64)).ok());
  daemon_.forget_sessions();
  std::vector<std::byte> back(64);
  EXPECT_TRUE(r.read(0, back).ok());
  EXPECT_EQ(back, pattern(64));
  EXPECT_EQ(daemon_.calls("Sessions.Open"), 2);
  EXPECT_EQ(daemon_.calls("Regions.Open"), 1);
}

TEST_F(DataCall, RegionThatWasReplacedMeanwhileIsStaleForEver) {
  break_first_connection(2, false);
  const Client client = connect();
  const Region r = region(client, 64);
  ASSERT_TRUE(r.write(0, pattern(64)).ok());
  daemon_.replace_region("r");
  daemon_.forget_sessions();
  std::vector<std::byte> back(64);
  EXPECT_EQ(r.read(0, back).code(), Code::kStaleGrant);
  EXPECT_EQ(r.write(0, back).code(), Code::kStaleGrant);
  EXPECT_EQ(r.write_async(0, back).get().code(), Code::kStaleGrant);
  EXPECT_EQ(daemon_.bytes_of("r"), std::vector<std::byte>(64));
}

TEST_F(DataCall, ErasedRegionIsStale) {
  const Client client = connect();
  const Region r = region(client, 64);
  ASSERT_TRUE(r.write(0, pattern(64)).ok());
  daemon_.erase_region("r");
  EXPECT_EQ(r.write(0, pattern(64)).code(), Code::kStaleGrant);
  EXPECT_EQ(r.flush_async(0, 1).get().code(), Code::kStaleGrant);
}

TEST_F(DataCall, MappedBytesAreGivenBackWhenTheRegionIsErased) {
  daemon_.policy = v1::DIRECT;
  const Client client = connect();
  const Region r = region(client, 64);
  ASSERT_TRUE(r.write(0, pattern(64)).ok());
  ASSERT_TRUE(r.write(0, pattern(64)).ok());  // maps
  daemon_.erase_region("r");
  Code code = Code::kOk;
  for (int tries = 0; tries < 200 && code == Code::kOk; ++tries) {
    code = r.write(0, pattern(64, 9)).code();
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(code, Code::kStaleGrant);
}

TEST_F(DataCall, StagedRegionGoesWithItsSession) {
  break_first_connection(2, false);
  const Client client = connect();
  const Shelf s = shelf(client);
  auto staged = s.stage(64);
  ASSERT_TRUE(staged.ok());
  ASSERT_TRUE(staged->write(0, pattern(64)).ok());
  daemon_.forget_sessions();
  EXPECT_EQ(staged->write(0, pattern(64)).code(), Code::kStaleGrant);
  const StagedItem item{*staged, "v", {}, false, 0};
  EXPECT_EQ(s.commit({&item, 1}).code(), Code::kStaleGrant);
}

TEST_F(DataCall, CommittedRegionHasItsNameAndOutlivesTheSession) {
  break_first_connection(2, false);
  const Client client = connect();
  const Shelf s = shelf(client);
  auto staged = s.stage(64);
  ASSERT_TRUE(staged.ok());
  EXPECT_EQ(staged->name(), "");
  ASSERT_TRUE(staged->write(0, pattern(64)).ok());
  const StagedItem item{*staged, "v", {}, false, 0};
  daemon_.lose_answers("Regions.Commit", 1);
  auto ids = s.commit({&item, 1});
  ASSERT_TRUE(ids.ok()) << ids.error().to_string();
  EXPECT_EQ(daemon_.applied("Regions.Commit"), 1);
  EXPECT_EQ(staged->name(), "v");
  EXPECT_EQ(staged->id(), ids->front());
  daemon_.forget_sessions();
  std::vector<std::byte> back(64);
  EXPECT_TRUE(staged->read(0, back).ok());
  EXPECT_EQ(back, pattern(64));
}

TEST_F(DataCall, FlushDoesNotVouchForVisibleBytesOfAnEarlierDaemon) {
  break_first_connection(2, false);
  const Client client = connect();
  const Region r = region(client, 64);
  ASSERT_TRUE(r.write(0, pattern(32), Durability::kVisible).ok());
  daemon_.restart();
  EXPECT_EQ(r.flush(0, 64).code(), Code::kUnknownOutcome);
  EXPECT_TRUE(r.write(0, pattern(32), Durability::kVisible).ok());
  EXPECT_TRUE(r.flush(0, 64).ok());
}

TEST_F(DataCall, DurableBytesOfAnEarlierDaemonNeedNoFlush) {
  break_first_connection(2, false);
  const Client client = connect();
  const Region r = region(client, 64);
  ASSERT_TRUE(r.write(0, pattern(32)).ok());
  daemon_.restart();
  EXPECT_TRUE(r.flush(0, 64).ok());
}

TEST_F(DataCall, VisibleTransferOverARestartBeginsAnew) {
  const size_t bytes = kChunkBytes * 4;
  break_first_connection(3, false);
  const Client client = connect();
  const Region r = region(client, bytes);
  std::thread restart([this] {
    while (daemon_.dialled() < 1) std::this_thread::sleep_for(milliseconds(1));
    daemon_.restart();
  });
  EXPECT_TRUE(r.write(0, pattern(bytes), Durability::kVisible).ok());
  restart.join();
  EXPECT_EQ(daemon_.bytes_of("r"), pattern(bytes));
}

// ---- values

TEST_F(DataCall, ValuesGoInAndOut) {
  const Client client = connect();
  const Shelf s = shelf(client);
  const auto value = pattern(5000);
  ASSERT_TRUE(s.put("v", value, {{"k", "x"}}).ok());
  Attributes attributes;
  auto back = s.get("v", &attributes);
  ASSERT_TRUE(back.ok()) << back.error().to_string();
  EXPECT_EQ(back->size(), 5000u);
  std::vector<std::byte> buffer(6000);
  auto bytes = s.get_into("v", buffer, &attributes);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(*bytes, 5000u);
  EXPECT_EQ(attributes, (Attributes{{"k", "x"}}));
  EXPECT_TRUE(std::equal(value.begin(), value.end(), buffer.begin()));
  EXPECT_EQ(s.get_into("v", std::span(buffer).first(4999)).code(), Code::kOutOfRange);
  EXPECT_EQ(s.get_into_async("v", buffer).get().value(), 5000u);
  EXPECT_TRUE(s.put_async("w", value).get().ok());
  EXPECT_EQ(s.get("none").code(), Code::kNotFound);
  EXPECT_EQ(s.get_into_async("none", buffer).get().code(), Code::kNotFound);
  EXPECT_EQ(s.put("", value).code(), Code::kInvalidArgument);
  EXPECT_EQ(s.put(std::string(4097, 'n'), value).code(), Code::kInvalidArgument);
  EXPECT_EQ(s.put("v", value, {{"", "x"}}).code(), Code::kInvalidArgument);
  EXPECT_EQ(s.put_async("", value).get().code(), Code::kInvalidArgument);
}

TEST_F(DataCall, PutIsRepeatedOverABrokenConnection) {
  break_first_connection(1, true);
  const Client client = connect();
  const Shelf s = shelf(client);
  EXPECT_TRUE(s.put("v", pattern(10)).ok());
  EXPECT_EQ(daemon_.dialled(), 2);
}

TEST_F(DataCall, LargePutStartsAgainWhenItsStagedRegionWentAway) {
  break_first_connection(4, false);
  const Client client = connect();
  const Shelf s = shelf(client);
  const auto value = pattern(9 << 20);
  std::thread forget([this] {
    while (daemon_.calls("Regions.Stage") < 1) std::this_thread::sleep_for(milliseconds(1));
    daemon_.forget_sessions();
  });
  EXPECT_TRUE(s.put("v", value).ok());
  forget.join();
  EXPECT_EQ(daemon_.bytes_of("v"), value);
}

TEST_F(DataCall, TransactionIsRepeatedWithNewGrants) {
  break_first_connection(3, false);
  const Client client = connect();
  const Shelf s = shelf(client);
  const Region a = region(client, 64, "a");
  const Region b = region(client, 64, "b");
  ASSERT_TRUE(a.write(0, pattern(64)).ok());
  const auto bytes = pattern(8, 77);
  const std::vector<RangeWrite> writes = {{a, 0, bytes}, {b, 56, bytes}, {b, 0, {}}};
  ASSERT_TRUE(s.transact(writes).ok());
  daemon_.forget_sessions();
  ASSERT_TRUE(s.transact(writes).ok());
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), daemon_.bytes_of("b").begin() + 56));
  EXPECT_EQ(daemon_.calls("Regions.Open"), 2);
}

TEST_F(DataCall, TransactionLimitsAreChecked) {
  const Client client = connect();
  const Shelf s = shelf(client);
  const Region r = region(client, (8 << 20) + 1);
  const auto bytes = pattern((8 << 20) + 1);
  const std::vector<RangeWrite> large = {{r, 0, bytes}};
  EXPECT_EQ(s.transact(large).code(), Code::kInvalidArgument);
  const std::vector<RangeWrite> outside = {{r, 8 << 20, std::span(bytes).first(2)}};
  EXPECT_EQ(s.transact(outside).code(), Code::kOutOfRange);
  const std::vector<RangeWrite> many(1025, RangeWrite{r, 0, std::span(bytes).first(1)});
  EXPECT_EQ(s.transact(many).code(), Code::kInvalidArgument);
  EXPECT_TRUE(s.transact({}).ok());
}

// ---- background

TEST_F(DataCall, CompletionsMayStartFurtherCalls) {
  for (const v1::SameHostPolicy policy : {v1::COPY, v1::DIRECT}) {
    daemon_.policy = policy;
    const Client client = connect();
    const Region r = region(client, 64, "r" + std::to_string(policy));
    ASSERT_TRUE(r.write(0, pattern(64)).ok());
    ASSERT_TRUE(r.write(0, pattern(64)).ok());
    std::vector<std::byte> buffer(8);
    std::promise<void> over;
    int left = 10'000;  // deeper than a stack would take, if completions were nested
    std::function<void(Status)> next = [&](const Status& status) {
      EXPECT_TRUE(status.ok());
      if (--left > 0) return r.read_then(0, buffer, next);
      over.set_value();
    };
    r.read_then(0, buffer, next);
    over.get_future().wait();
  }
}

TEST_F(DataCall, BlockingCallInACompletionIsRefusedInsteadOfHanging) {
  const Client client = connect();
  const Region r = region(client, 64);
  std::vector<std::byte> buffer(8), inner(8);
  std::promise<Code> code;
  r.read_then(0, buffer, [&](const Status&) { code.set_value(r.read(0, inner).code()); });
  EXPECT_EQ(code.get_future().get(), Code::kInvalidArgument);
}

TEST_F(DataCall, LastHandleMayBeDroppedInACompletion) {
  std::vector<std::byte> buffer(8);
  std::promise<void> over;
  {
    auto kept = std::make_shared<Region>(region(connect(), 64));
    kept->read_then(0, buffer, [&over, kept](const Status&) mutable {
      kept.reset();
      over.set_value();
    });
    kept.reset();
  }
  over.get_future().wait();
  for (int tries = 0; tries < 200 && daemon_.sessions() > 0; ++tries) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(daemon_.sessions(), 0);
}

TEST_F(DataCall, ManyThreadsShareOneClient) {
  const Client client = connect();
  const Region r = region(client, 32 * 4096);
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int index = 0; index < 32; ++index) {
    threads.emplace_back([&, index] {
      const auto bytes = pattern(4096, static_cast<uint8_t>(index));
      std::vector<std::byte> back(4096);
      for (int round = 0; round < 20; ++round) {
        if (!r.write(index * 4096, bytes).ok() || !r.read(index * 4096, back).ok() ||
            back != bytes) {
          ++failures;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(daemon_.dialled(), 1);
}

// ---- fork

TEST_F(DataCall, ForkedChildIsToldToConnectAgainAndHurtsNobody) {
  const Client client = connect();
  const Shelf s = shelf(client);
  auto r = std::make_unique<Region>(region(client, 64));
  ASSERT_TRUE(r->write(0, pattern(64)).ok());
  auto lock = s.lock("r", true);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::vector<std::byte> buffer(8);
    const Status read = r->read(0, buffer);
    bool right = read.code() == Code::kUnavailable &&
                 read.error().message().find("fork") != std::string::npos;
    right = right && s.stat_region("r").code() == Code::kUnavailable;
    right = right && r->read_async(0, buffer).get().code() == Code::kUnavailable;
    right = right && lock->unlock().code() == Code::kUnavailable;
    r.reset();  // must neither hang nor give the parent's grant back
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_TRUE(r->write(0, pattern(64)).ok());
  EXPECT_TRUE(daemon_.released().empty());
  EXPECT_EQ(daemon_.sessions(), 1);
}

}  // namespace
}  // namespace pmshelf::client
