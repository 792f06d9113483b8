// Promises of grants: exactly these bytes, these rights, this long; revocation is final.
#include <thread>

#include "fixture.h"

namespace pmshelf::session {
namespace {

using Grants = RegistryTest;

TEST_F(Grants, ReachExactlyTheirBytes) {
  const auto session = open_session("a");
  const auto id = grant(session.id, region_, kReadRight, 100);
  struct Case {
    uint64_t offset, bytes;
    Code code;
  };
  for (const Case& c :
       {Case{0, 100, Code::kOk}, Case{100, 0, Code::kOk}, Case{99, 1, Code::kOk},
        Case{0, 101, Code::kOutOfRange}, Case{100, 1, Code::kOutOfRange},
        Case{101, 0, Code::kOutOfRange}, Case{1, UINT64_MAX, Code::kOutOfRange},
        Case{UINT64_MAX, 1, Code::kOutOfRange}, Case{UINT64_MAX, UINT64_MAX, Code::kOutOfRange}}) {
    EXPECT_EQ(access_code(session.id, id, kReadRight, c.offset, c.bytes), c.code)
        << c.offset << "+" << c.bytes;
  }
}

TEST_F(Grants, GiveOnlyTheirRights) {
  const auto session = open_session("a");
  const auto reader = grant(session.id, region_, kReadRight);
  const auto writer = grant(session.id, region_, kWriteRight);
  EXPECT_EQ(access_code(session.id, reader, kReadRight), Code::kOk);
  EXPECT_EQ(access_code(session.id, reader, kWriteRight), Code::kPermissionDenied);
  EXPECT_EQ(access_code(session.id, writer, kReadRight), Code::kPermissionDenied);
  EXPECT_EQ(access_code(session.id, writer, kWriteRight), Code::kOk);
  EXPECT_EQ(access_code(session.id, writer, kReadRight | kWriteRight), Code::kPermissionDenied);
}

TEST_F(Grants, RefusedAccessLeavesNothingInUse) {
  const auto session = open_session("a");
  const auto id = grant(session.id, region_, kReadRight, 100);
  EXPECT_EQ(access_code(session.id, id, kWriteRight), Code::kPermissionDenied);
  EXPECT_EQ(access_code(session.id, id, kReadRight, 200), Code::kOutOfRange);
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
}

TEST_F(Grants, ForeignAndUnknownIdsReadTheSame) {
  const auto owner = open_session("a");
  const auto stranger = open_session("b");
  const auto id = grant(owner.id, region_);
  const auto foreign = registry_.begin_access(stranger.id, id, kReadRight, 0, 1);
  const auto unknown = registry_.begin_access(stranger.id, {1, 2}, kReadRight, 0, 1);
  const auto zero = registry_.begin_access(stranger.id, {}, kReadRight, 0, 1);
  for (const auto* refused : {&foreign, &unknown, &zero}) {
    ASSERT_EQ(refused->code(), Code::kStaleGrant);
    EXPECT_EQ(refused->error().message(), unknown.error().message());
  }
  registry_.release(stranger.id, id);
  EXPECT_EQ(access_code(owner.id, id), Code::kOk);
}

TEST_F(Grants, ResourceIsReachedWhileInUseAndDroppedAfter) {
  const auto session = open_session("a");
  auto resource = std::make_shared<int>(7);
  const std::weak_ptr<int> watch = resource;
  const auto id = grant(session.id, region_, kReadRight, 8, std::move(resource));
  auto access = registry_.begin_access(session.id, id, kReadRight, 0, 8);
  ASSERT_TRUE(access.ok());
  EXPECT_EQ(*static_cast<int*>(access->resource().get()), 7);
  EXPECT_EQ(access->region(), region_);
  registry_.release(session.id, id);
  EXPECT_EQ(access_code(session.id, id), Code::kStaleGrant);
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(registry_.grants_on(region_), 1u);
  *access = Access();
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(registry_.grants_on(region_), 0u);
  EXPECT_EQ(registry_.list()[0].grants, 0u);
}

TEST_F(Grants, MovedFromAccessHoldsNothing) {
  const auto session = open_session("a");
  const auto first = grant(session.id, region_);
  const auto second = grant(session.id, other_region_);
  Access one = *registry_.begin_access(session.id, first, kReadRight, 0, 1);
  Access two = *registry_.begin_access(session.id, second, kReadRight, 0, 1);
  one = std::move(two);  // ends the access to the first
  EXPECT_FALSE(two);     // NOLINT(bugprone-use-after-move): what it promises
  EXPECT_EQ(one.region(), other_region_);
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
  EXPECT_EQ(registry_.revoke(other_region_, 0).code(), Code::kBusy);
}

TEST_F(Grants, LeaseEndsToTheMillisecondAndForGood) {
  const auto session = open_session("a");
  auto resource = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = resource;
  const auto id = grant(session.id, region_, kReadRight, 8, std::move(resource));
  clock_.advance_ms(400);
  EXPECT_EQ(access_code(session.id, id), Code::kStaleGrant);
  // The session lives (its time-out is 1000), but a late sign of life does not bring grants back.
  const auto lost = registry_.keep_alive(session.id);
  ASSERT_TRUE(lost.ok());
  EXPECT_EQ(*lost, std::vector<wire::GrantId>{id});
  EXPECT_EQ(access_code(session.id, id), Code::kStaleGrant);
  EXPECT_TRUE(watch.expired());
  const auto fresh = grant(session.id, region_);
  clock_.advance_ms(399);
  EXPECT_EQ(access_code(session.id, fresh), Code::kOk);
}

TEST_F(Grants, TouchAndAuthenticateDoNotReviveOverGrantsEither) {
  const auto session = open_session("a");
  const auto first = grant(session.id, region_);
  clock_.advance_ms(400);
  registry_.touch(session.id);
  EXPECT_EQ(access_code(session.id, first), Code::kStaleGrant);
  const auto second = grant(session.id, region_);
  clock_.advance_ms(400);
  EXPECT_TRUE(registry_.authenticate(session.ticket).ok());
  EXPECT_EQ(access_code(session.id, second), Code::kStaleGrant);
  const auto third = grant(session.id, region_);
  clock_.advance_ms(400);
  grant(session.id, region_);
  EXPECT_EQ(access_code(session.id, third), Code::kStaleGrant);
}

TEST_F(Grants, SweepRevokesWhatIsOver) {
  const auto session = open_session("a");
  grant(session.id, region_);
  clock_.advance_ms(399);
  registry_.sweep();
  EXPECT_EQ(registry_.grants_on(region_), 1u);
  clock_.advance_ms(1);
  registry_.sweep();
  EXPECT_EQ(registry_.grants_on(region_), 0u);
  EXPECT_EQ(registry_.keep_alive(session.id)->size(), 1u);
}

TEST_F(Grants, LeaseLongerThanTheSessionEndsWithIt) {
  RegistryLimits limits = small_limits();
  limits.lease_ms = 5000;
  Registry registry(limits, clock_);
  const auto session = *registry.open(Principal{}, "x", "y");
  const auto id = *registry.grant(session.id, {region_, 8, kReadRight, nullptr});
  clock_.advance_ms(1000);
  EXPECT_EQ(registry.begin_access(session.id, id, kReadRight, 0, 1).code(), Code::kStaleGrant);
}

TEST_F(Grants, RevokeEndsAllOfTheRegionAndNoOther) {
  const auto a = open_session("a");
  const auto b = open_session("b");
  const auto first = grant(a.id, region_);
  const auto second = grant(b.id, region_);
  const auto neighbour = grant(a.id, other_region_);
  const auto staged_twin = grant(b.id, {region_.shelf, region_.region, true});
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
  EXPECT_EQ(access_code(a.id, first), Code::kStaleGrant);
  EXPECT_EQ(access_code(b.id, second), Code::kStaleGrant);
  EXPECT_EQ(access_code(a.id, neighbour), Code::kOk);
  EXPECT_EQ(access_code(b.id, staged_twin), Code::kOk);
  EXPECT_EQ(*registry_.keep_alive(a.id), std::vector<wire::GrantId>{first});
  EXPECT_EQ(*registry_.keep_alive(b.id), std::vector<wire::GrantId>{second});
  EXPECT_TRUE(registry_.keep_alive(a.id)->empty());
}

TEST_F(Grants, RevokeShelfEndsAllOfTheShelfAndNoOther) {
  const auto a = open_session("a");
  const auto first = grant(a.id, {5, 0, true});
  const auto last = grant(a.id, {5, UINT64_MAX, true});
  const auto below = grant(a.id, {4, UINT64_MAX, true});
  const auto above = grant(a.id, {6, 0, false});
  const uint64_t fence_before = registry_.fence({5, UINT64_MAX, true});
  EXPECT_TRUE(registry_.revoke_shelf(5, 0).ok());
  EXPECT_GT(registry_.fence({5, UINT64_MAX, true}), fence_before);
  EXPECT_EQ(access_code(a.id, first), Code::kStaleGrant);
  EXPECT_EQ(access_code(a.id, last), Code::kStaleGrant);
  EXPECT_EQ(access_code(a.id, below), Code::kOk);
  EXPECT_EQ(access_code(a.id, above), Code::kOk);
}

TEST_F(Grants, RevokeThatRunsOutOfTimeNamesTheHolderAndHasRevokedAllTheSame) {
  const auto session = open_session("alice");
  const auto id = grant(session.id, region_);
  auto access = registry_.begin_access(session.id, id, kWriteRight, 0, 1);
  const Status busy = registry_.revoke(region_, 20);
  ASSERT_EQ(busy.code(), Code::kBusy);
  EXPECT_NE(busy.error().message().find("unix:alice"), std::string::npos);
  EXPECT_NE(busy.error().message().find("alice 1234"), std::string::npos);
  EXPECT_NE(busy.error().message().find("1 operations running"), std::string::npos);
  EXPECT_EQ(access_code(session.id, id), Code::kStaleGrant);
  EXPECT_EQ(registry_.revoke(region_, 0).code(), Code::kBusy);
  *access = Access();
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
}

TEST_F(Grants, RevokeWaitsForAccessesThatWereReleasedOrOrphanedBefore) {
  const auto released = open_session("released");
  const auto closed = open_session("closed");
  const auto first = grant(released.id, region_);
  const auto second = grant(closed.id, region_);
  auto one = registry_.begin_access(released.id, first, kWriteRight, 0, 1);
  auto two = registry_.begin_access(closed.id, second, kWriteRight, 0, 1);
  registry_.release(released.id, first);
  registry_.close(closed.id, "test");
  EXPECT_EQ(registry_.revoke(region_, 0).code(), Code::kBusy);
  *one = Access();
  EXPECT_EQ(registry_.revoke(region_, 0).code(), Code::kBusy);
  *two = Access();
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
}

TEST_F(Grants, RevokeReturnsWhenTheLastAccessEndsWithTheResourceDropped) {
  const auto session = open_session("a");
  auto resource = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = resource;
  const auto id = grant(session.id, region_, kWriteRight, 8, std::move(resource));
  auto access = registry_.begin_access(session.id, id, kWriteRight, 0, 1);
  std::thread revoker([&] {
    EXPECT_TRUE(registry_.revoke(region_, 60'000).ok());
    EXPECT_TRUE(watch.expired());
  });
  // Stale from the moment of the mark, long before the wait is over.
  while (access_code(session.id, id, kWriteRight) == Code::kOk) std::this_thread::yield();
  *access = Access();
  revoker.join();
}

TEST_F(Grants, SessionEndDoesNotWaitForRunningAccesses) {
  const auto session = open_session("a");
  auto resource = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = resource;
  const auto id = grant(session.id, region_, kWriteRight, 8, std::move(resource));
  auto access = registry_.begin_access(session.id, id, kWriteRight, 0, 1);
  registry_.close(session.id, "test");
  EXPECT_EQ(access_code(session.id, id), Code::kStaleGrant);
  EXPECT_FALSE(watch.expired());
  *access = Access();
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(registry_.counts().grants, 0u);
}

TEST_F(Grants, AccessMayOutliveTheRegistry) {
  auto registry = std::make_unique<Registry>(small_limits(), clock_);
  const auto session = *registry->open(Principal{}, "x", "y");
  auto resource = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = resource;
  const auto id = *registry->grant(session.id, {region_, 8, kReadRight, std::move(resource)});
  auto access = registry->begin_access(session.id, id, kReadRight, 0, 1);
  registry->release(session.id, id);
  registry.reset();
  EXPECT_FALSE(watch.expired());
  *access = Access();
  EXPECT_TRUE(watch.expired());
}

TEST_F(Grants, LimitPerSessionCountsWhatIsStillInUseAndIsNamed) {
  const auto session = open_session("a");
  const auto id = grant(session.id, region_);
  for (int index = 1; index < 4; ++index) grant(session.id, region_);
  auto access = registry_.begin_access(session.id, id, kReadRight, 0, 1);
  registry_.release(session.id, id);
  const auto refused = registry_.grant(session.id, {region_, 8, kReadRight, nullptr});
  ASSERT_EQ(refused.code(), Code::kResourceExhausted);
  EXPECT_NE(refused.error().message().find("grants_per_session_max (4)"), std::string::npos);
  *access = Access();
  EXPECT_TRUE(registry_.grant(session.id, {region_, 8, kReadRight, nullptr}).ok());
}

TEST_F(Grants, NoGrantForAnEndedSession) {
  const auto session = open_session("a");
  registry_.close(session.id, "test");
  EXPECT_EQ(registry_.grant(session.id, {region_, 8, kReadRight, nullptr}).code(),
            Code::kSessionExpired);
}

TEST_F(Grants, FenceRisesWithEveryRevokeOfTheRegion) {
  const uint64_t before = registry_.fence(region_);
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
  const uint64_t between = registry_.fence(region_);
  EXPECT_GT(between, before);
  grant(open_session("a").id, region_);
  EXPECT_EQ(registry_.fence(region_), between);
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
  EXPECT_GT(registry_.fence(region_), between);
}

TEST_F(Grants, RekeyMovesAStagedGrantToItsRegion) {
  const auto session = open_session("a");
  const RegionKey staged{1, 77, true};
  const auto id = grant(session.id, staged);
  auto before = registry_.begin_access(session.id, id, kReadRight, 0, 1);
  registry_.rekey(staged, region_);
  EXPECT_EQ(before->region(), staged);
  EXPECT_EQ(registry_.grants_on(staged), 0u);
  EXPECT_EQ(registry_.grants_on(region_), 1u);
  EXPECT_EQ(registry_.begin_access(session.id, id, kReadRight, 0, 1)->region(), region_);
  EXPECT_TRUE(registry_.revoke(staged, 0).ok());
  EXPECT_EQ(registry_.revoke(region_, 0).code(), Code::kBusy);
  *before = Access();
  EXPECT_EQ(registry_.grants_on(region_), 0u);
}

}  // namespace
}  // namespace pmshelf::session
