// Promises of locks: exclusion, upgrade rules, freed with the session.
#include "fixture.h"

namespace pmshelf::session {
namespace {

using Locks = RegistryTest;

TEST_F(Locks, ExclusiveExcludesAllAndNamesItsHolder) {
  const auto a = open_session("alice");
  const auto b = open_session("bob");
  ASSERT_TRUE(registry_.lock(a.id, region_, true).ok());
  for (const bool exclusive : {false, true}) {
    const auto refused = registry_.lock(b.id, region_, exclusive);
    ASSERT_EQ(refused.code(), Code::kLocked);
    EXPECT_NE(refused.error().message().find("unix:alice"), std::string::npos);
    EXPECT_NE(refused.error().message().find("alice 1234"), std::string::npos);
  }
  EXPECT_TRUE(registry_.lock(b.id, other_region_, true).ok());
}

TEST_F(Locks, SharedAdmitsSharedOnly) {
  const auto a = open_session("a");
  const auto b = open_session("b");
  const auto c = open_session("c");
  const auto first = registry_.lock(a.id, region_, false);
  const auto second = registry_.lock(b.id, region_, false);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(registry_.locks_on(region_), 2u);
  EXPECT_EQ(registry_.lock(c.id, region_, true).code(), Code::kLocked);
  EXPECT_TRUE(registry_.unlock(a.id, *first).ok());
  EXPECT_EQ(registry_.lock(c.id, region_, true).code(), Code::kLocked);
  EXPECT_TRUE(registry_.unlock(b.id, *second).ok());
  EXPECT_TRUE(registry_.lock(c.id, region_, true).ok());
}

TEST_F(Locks, RelockingReturnsTheSameLock) {
  const auto a = open_session("a");
  const auto id = registry_.lock(a.id, region_, true);
  EXPECT_EQ(*registry_.lock(a.id, region_, true), *id);
  EXPECT_EQ(registry_.locks_on(region_), 1u);
  EXPECT_TRUE(registry_.unlock(a.id, *id).ok());
  EXPECT_EQ(registry_.locks_on(region_), 0u);
  EXPECT_EQ(registry_.unlock(a.id, *id).code(), Code::kNotFound);
}

TEST_F(Locks, OnlyHolderUpgradesAndDowngrades) {
  const auto a = open_session("a");
  const auto b = open_session("b");
  const auto id = registry_.lock(a.id, region_, false);
  EXPECT_EQ(*registry_.lock(a.id, region_, true), *id);
  EXPECT_EQ(registry_.lock(b.id, region_, false).code(), Code::kLocked);
  EXPECT_EQ(*registry_.lock(a.id, region_, false), *id);
  EXPECT_TRUE(registry_.lock(b.id, region_, false).ok());
}

TEST_F(Locks, UpgradeBesideOthersIsRefusedAndTheSharedLockStays) {
  const auto a = open_session("a");
  const auto b = open_session("b");
  const auto c = open_session("c");
  const auto id = registry_.lock(a.id, region_, false);
  ASSERT_TRUE(registry_.lock(b.id, region_, false).ok());
  const auto refused = registry_.lock(a.id, region_, true);
  ASSERT_EQ(refused.code(), Code::kLocked);
  EXPECT_NE(refused.error().message().find("unix:b"), std::string::npos);
  EXPECT_EQ(registry_.locks_on(region_), 2u);
  EXPECT_TRUE(registry_.lock(c.id, region_, false).ok());
  EXPECT_EQ(*registry_.lock(a.id, region_, false), *id);
}

TEST_F(Locks, AreFreedWithTheSession) {
  const auto a = open_session("a");
  const auto b = open_session("b");
  const auto id = registry_.lock(a.id, region_, true);
  registry_.close(a.id, "test");
  EXPECT_EQ(registry_.locks_on(region_), 0u);
  EXPECT_EQ(registry_.unlock(a.id, *id).code(), Code::kSessionExpired);
  EXPECT_TRUE(registry_.lock(b.id, region_, true).ok());
  EXPECT_EQ(registry_.lock(a.id, other_region_, true).code(), Code::kSessionExpired);
}

TEST_F(Locks, AreFreedWhenTheSessionTimesOut) {
  const auto a = open_session("a");
  ASSERT_TRUE(registry_.lock(a.id, region_, true).ok());
  clock_.advance_ms(1000);
  registry_.sweep();
  EXPECT_EQ(registry_.counts().locks, 0u);
}

TEST_F(Locks, ForeignLocksCannotBeFreed) {
  const auto a = open_session("a");
  const auto b = open_session("b");
  const auto id = registry_.lock(a.id, region_, false);
  ASSERT_TRUE(registry_.lock(b.id, region_, false).ok());
  EXPECT_EQ(registry_.unlock(b.id, *id).code(), Code::kNotFound);
  EXPECT_EQ(registry_.unlock(b.id, 999).code(), Code::kNotFound);
  EXPECT_EQ(registry_.locks_on(region_), 2u);
}

TEST_F(Locks, LimitPerSessionIsNamed) {
  const auto a = open_session("a");
  for (uint64_t region = 0; region < 3; ++region) {
    ASSERT_TRUE(registry_.lock(a.id, {1, region, false}, false).ok());
  }
  const auto refused = registry_.lock(a.id, {1, 3, false}, false);
  ASSERT_EQ(refused.code(), Code::kResourceExhausted);
  EXPECT_NE(refused.error().message().find("locks_per_session_max (3)"), std::string::npos);
  EXPECT_TRUE(registry_.lock(a.id, {1, 0, false}, true).ok());
  EXPECT_EQ(registry_.locks_on({1, 3, false}), 0u);
}

}  // namespace
}  // namespace pmshelf::session
