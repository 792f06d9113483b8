// The small parts that services share.
#include <gtest/gtest.h>

#include <future>
#include <set>
#include <thread>

#include "server/control/convert.h"
#include "server/control/lock_queue.h"
#include "server/control/requests.h"
#include "server/control/shelf_gate.h"
#include "server/control/wait_places.h"
#include "test_server.h"

namespace pmshelf::control {
namespace {

store::Request request(uint64_t low, uint64_t digest = 1) { return {{1, low}, digest}; }

TEST(RequestTable, IdIsRequired) {
  TestClock clock;
  RequestTable table(clock);
  const auto refused = table.begin({{0, 0}, 1});
  ASSERT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_TRUE(refused.error().message().starts_with("request_id"));
}

TEST(RequestTable, AppliedRequestIsAnsweredFromMemory) {
  TestClock clock;
  RequestTable table(clock);
  {
    auto running = table.begin(request(5));
    ASSERT_TRUE(running.ok());
    EXPECT_FALSE(running->result().has_value());
    running->done(99);
  }
  EXPECT_EQ(table.begin(request(5))->result(), 99u);
  EXPECT_EQ(table.begin(request(5, 2)).code(), Code::kConflict);
  EXPECT_FALSE(table.begin(request(6))->result().has_value());
}

TEST(RequestTable, SecondArrivalWhileTheFirstRunsHasToComeAgain) {
  TestClock clock;
  RequestTable table(clock);
  auto running = table.begin(request(5));
  EXPECT_EQ(table.begin(request(5)).code(), Code::kUnavailable);
  EXPECT_EQ(table.begin(request(5, 2)).code(), Code::kConflict);
  running->done(1);
  EXPECT_EQ(table.begin(request(5))->result(), 1u);
}

TEST(RequestTable, FailedRequestMayComeAgainWithAnyBody) {
  TestClock clock;
  RequestTable table(clock);
  {
    auto failed = table.begin(request(5));
  }
  auto again = table.begin(request(5, 2));
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->result().has_value());
}

TEST(RequestTable, ForgetsAfterTenMinutesAndBeyondItsSize) {
  TestClock clock;
  RequestTable table(clock);
  table.begin(request(5))->done(1);
  clock.advance_ms(store::kRequestKeepMs);
  EXPECT_TRUE(table.begin(request(5))->result().has_value());
  clock.advance_ms(1);
  EXPECT_FALSE(table.begin(request(5))->result().has_value());
  for (uint64_t low = 10; low <= 10 + store::kRequestsKept; ++low)
    table.begin(request(low))->done(1);
  EXPECT_FALSE(table.begin(request(10))->result().has_value());
  EXPECT_TRUE(table.begin(request(11))->result().has_value());
}

TEST(RequestDigest, DependsOnBodyMethodAndPrincipalButNotOnTheId) {
  v1::CreateRegionRequest body;
  body.set_shelf("s");
  for (int count = 0; count < 20; ++count) {
    (*body.mutable_attributes())["key" + std::to_string(count)] = "value";
  }
  const uint64_t digest = request_digest("Regions.Create", "unix:alice", body);
  v1::CreateRegionRequest same;  // filled the other way round: maps have no order
  for (int count = 19; count >= 0; --count) {
    (*same.mutable_attributes())["key" + std::to_string(count)] = "value";
  }
  same.set_shelf("s");
  *same.mutable_request_id() = new_request_id();
  EXPECT_EQ(request_digest("Regions.Create", "unix:alice", same), digest);
  EXPECT_NE(request_digest("Regions.Erase", "unix:alice", body), digest);
  EXPECT_NE(request_digest("Regions.Create", "unix:bob", body), digest);
  same.set_bytes(1);
  EXPECT_NE(request_digest("Regions.Create", "unix:alice", same), digest);
  // Stores keep digests across restarts and versions: this one must never change.
  v1::EraseRegionRequest erase;
  erase.set_shelf("s");
  erase.set_name("r");
  EXPECT_EQ(request_digest("Regions.Erase", "unix:alice", erase), 2451939546570398723u);
}

TEST(WaitPlaces, AreBoundedForAllAndForEach) {
  WaitPlaces places(6);
  std::vector<WaitPlaces::Place> taken;
  for (uint32_t count = 0; count < kWaitPlacesPerPrincipal; ++count) {
    taken.push_back(*places.take("alice"));
  }
  EXPECT_EQ(places.take("alice").code(), Code::kResourceExhausted);
  taken.push_back(*places.take("bob"));
  taken.push_back(*places.take("bob"));
  EXPECT_EQ(places.take("carol").code(), Code::kResourceExhausted);
  taken.pop_back();
  EXPECT_TRUE(places.take("carol").ok());
  taken.clear();
  EXPECT_TRUE(places.take("alice").ok());
}

TEST(ShelfGate, OneChangeAtATimeForAName) {
  ShelfGate gate;
  {
    auto pass = gate.enter("a");
    ASSERT_TRUE(pass.ok());
    EXPECT_EQ(gate.enter("a").code(), Code::kUnavailable);
    EXPECT_TRUE(gate.enter("b").ok());
  }
  EXPECT_TRUE(gate.enter("a").ok());
}

TEST(Convert, GrantIdsAreTheBytesOfFrames) {
  const wire::GrantId id{0x0102030405060708, 0x1112131415161718};
  const std::string bytes = id_bytes(id);
  EXPECT_EQ(bytes, "\x08\x07\x06\x05\x04\x03\x02\x01\x18\x17\x16\x15\x14\x13\x12\x11");
  EXPECT_EQ(*grant_id("id", bytes), id);
  EXPECT_EQ(grant_id("id", bytes.substr(1)).code(), Code::kInvalidArgument);
  EXPECT_EQ(grant_id("id", bytes + "x").code(), Code::kInvalidArgument);
}

class LockQueueTest : public testing::Test {
 protected:
  wire::SessionId session(const std::string& name) {
    session::Principal principal;
    principal.name = name;
    return registry.open(principal, "test", "test")->id;
  }
  std::future<Result<uint64_t>> lock(const wire::SessionId& who, bool exclusive, uint32_t wait_ms) {
    auto promise = std::make_shared<std::promise<Result<uint64_t>>>();
    auto future = promise->get_future();
    queue.lock({who, key, exclusive, wait_ms, cancelled,
                [promise](Result<uint64_t> result) { promise->set_value(std::move(result)); }});
    return future;
  }
  static bool is_ready(std::future<Result<uint64_t>>& future) {
    return future.wait_for(std::chrono::milliseconds(60)) == std::future_status::ready;
  }
  void unlock(const wire::SessionId& who, uint64_t id) {
    ASSERT_TRUE(registry.unlock(who, id).ok());
    queue.poke();
  }

  TestClock clock;
  session::Registry registry{{}, clock};
  session::RegionKey key{1, 2, false};
  std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
  LockQueue queue{registry, clock};
};

TEST_F(LockQueueTest, FreeLockIsGivenAtOnce) {
  EXPECT_TRUE(lock(session("a"), true, 0).get().ok());
}

TEST_F(LockQueueTest, HeldLockIsRefusedAtOnceWithoutWaiting) {
  ASSERT_TRUE(lock(session("unix:holder"), true, 0).get().ok());
  const auto refused = lock(session("b"), true, 0).get();
  ASSERT_EQ(refused.code(), Code::kLocked);
  EXPECT_NE(refused.error().message().find("unix:holder"), std::string::npos);
}

TEST_F(LockQueueTest, WaitersAreServedInOrderOfArrivalWhateverTheKind) {
  const auto a = session("a"), b = session("b"), c = session("c");
  const uint64_t held = *lock(a, false, 0).get();
  auto exclusive = lock(b, true, 50'000);
  EXPECT_FALSE(is_ready(exclusive));
  unlock(a, held);
  const uint64_t of_b = *exclusive.get();
  auto first = lock(c, true, 50'000);
  auto second = lock(a, false, 50'000);
  EXPECT_FALSE(is_ready(second));
  unlock(b, of_b);
  const uint64_t of_c = *first.get();
  EXPECT_FALSE(is_ready(second));
  unlock(c, of_c);
  EXPECT_TRUE(second.get().ok());
}

TEST_F(LockQueueTest, WaitEndsWithTheHoldersNameWhenItsTimeIsOver) {
  ASSERT_TRUE(lock(session("unix:holder"), true, 0).get().ok());
  auto waiting = lock(session("b"), true, 1000);
  EXPECT_FALSE(is_ready(waiting));
  clock.advance_ms(1000);
  const auto refused = waiting.get();
  ASSERT_EQ(refused.code(), Code::kLocked);
  EXPECT_NE(refused.error().message().find("unix:holder"), std::string::npos);
}

TEST_F(LockQueueTest, HoldersEndFreesTheLockForWaiters) {
  const auto holder = session("a");
  ASSERT_TRUE(lock(holder, true, 0).get().ok());
  auto waiting = lock(session("b"), true, 50'000);
  registry.close(holder, "test");  // without a poke
  EXPECT_TRUE(waiting.get().ok());
}

TEST_F(LockQueueTest, WaitersOwnEndEndsItsWait) {
  ASSERT_TRUE(lock(session("a"), true, 0).get().ok());
  const auto waiter = session("b");
  auto waiting = lock(waiter, true, 50'000);
  registry.close(waiter, "test");
  EXPECT_EQ(waiting.get().code(), Code::kSessionExpired);
}

TEST_F(LockQueueTest, CancelledWaitTakesNoLock) {
  const auto holder = session("a");
  const uint64_t held = *lock(holder, true, 0).get();
  auto waiting = lock(session("b"), true, 50'000);
  cancelled->store(true);
  queue.poke();
  EXPECT_EQ(waiting.get().code(), Code::kDeadlineExceeded);
  unlock(holder, held);
  EXPECT_EQ(registry.locks_on(key), 0u);
}

TEST_F(LockQueueTest, OneSessionHasABoundedNumberOfWaits) {
  ASSERT_TRUE(lock(session("a"), true, 0).get().ok());
  const auto waiter = session("b");
  std::vector<std::future<Result<uint64_t>>> waits;
  for (uint32_t count = 0; count < kLockWaitersPerSessionMax; ++count) {
    waits.push_back(lock(waiter, true, 50'000));
  }
  EXPECT_EQ(lock(waiter, true, 50'000).get().code(), Code::kResourceExhausted);
  auto other = lock(session("c"), true, 50'000);
  EXPECT_FALSE(is_ready(other));
  queue.stop();
  for (auto& wait : waits) EXPECT_EQ(wait.get().code(), Code::kUnavailable);
  EXPECT_EQ(other.get().code(), Code::kUnavailable);
  EXPECT_EQ(lock(waiter, true, 0).get().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace pmshelf::control
