// Promises of mapped grants: revocation asks back and waits; only unmapped() ends a mapping.
#include <thread>

#include "fixture.h"

namespace pmshelf::session {
namespace {

using Mappings = RegistryTest;

TEST_F(Mappings, RevokeAsksBackAndWaitsForUnmapped) {
  const auto session = open_session("a");
  const auto id = grant(session.id, region_);
  std::thread client;
  ASSERT_TRUE(registry_
                  .set_mapped(session.id, id,
                              [&] {
                                // As a connection does: the answer comes later, from another
                                // thread.
                                client = std::thread([&] { registry_.unmapped(session.id, id); });
                              })
                  .ok());
  EXPECT_TRUE(registry_.revoke(region_, 60'000).ok());
  client.join();
  EXPECT_EQ(registry_.counts().grants, 0u);
}

TEST_F(Mappings, AskBackMayAnswerAtOnce) {
  const auto session = open_session("a");
  const auto id = grant(session.id, region_);
  ASSERT_TRUE(
      registry_.set_mapped(session.id, id, [&] { registry_.unmapped(session.id, id); }).ok());
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
}

TEST_F(Mappings, HolderThatKeepsItsMappingIsNamed) {
  const auto session = open_session("alice");
  auto resource = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = resource;
  const auto id = grant(session.id, region_, kReadRight, 8, std::move(resource));
  int asked = 0;
  ASSERT_TRUE(registry_.set_mapped(session.id, id, [&] { ++asked; }).ok());
  const Status busy = registry_.revoke(region_, 5);
  ASSERT_EQ(busy.code(), Code::kBusy);
  EXPECT_NE(busy.error().message().find("unix:alice"), std::string::npos);
  EXPECT_NE(busy.error().message().find("mapped"), std::string::npos);
  EXPECT_EQ(registry_.revoke(region_, 5).code(), Code::kBusy);
  EXPECT_EQ(asked, 2);
  EXPECT_FALSE(watch.expired());
  registry_.unmapped(session.id, id);
  EXPECT_TRUE(watch.expired());
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
  EXPECT_EQ(asked, 2);
}

TEST_F(Mappings, OutliveReleaseAndTheSessionUntilUnmapped) {
  const auto a = open_session("a");
  const auto b = open_session("b");
  const auto released = grant(a.id, region_);
  const auto orphaned = grant(b.id, region_);
  int asked = 0;
  ASSERT_TRUE(registry_.set_mapped(a.id, released, [&] { ++asked; }).ok());
  ASSERT_TRUE(registry_.set_mapped(b.id, orphaned, [&] { ++asked; }).ok());
  registry_.release(a.id, released);
  registry_.close(b.id, "test");
  EXPECT_EQ(asked, 0);
  EXPECT_EQ(registry_.grants_on(region_), 2u);
  EXPECT_EQ(registry_.revoke(region_, 0).code(), Code::kBusy);
  EXPECT_EQ(asked, 2);
  registry_.unmapped(a.id, released);
  registry_.unmapped(b.id, orphaned);
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
  EXPECT_EQ(registry_.counts().grants, 0u);
}

TEST_F(Mappings, StaleGrantsCannotBeMapped) {
  const auto session = open_session("a");
  const auto stranger = open_session("b");
  const auto id = grant(session.id, region_);
  EXPECT_EQ(registry_.set_mapped(stranger.id, id, [] {}).code(), Code::kStaleGrant);
  EXPECT_EQ(registry_.set_mapped(session.id, {1, 2}, [] {}).code(), Code::kStaleGrant);
  clock_.advance_ms(400);
  EXPECT_EQ(registry_.set_mapped(session.id, id, [] {}).code(), Code::kStaleGrant);
  const auto revoked = grant(session.id, region_);
  auto access = registry_.begin_access(session.id, revoked, kReadRight, 0, 1);
  registry_.release(session.id, revoked);
  EXPECT_EQ(registry_.set_mapped(session.id, revoked, [] {}).code(), Code::kStaleGrant);
}

TEST_F(Mappings, MappingTwiceIsOneMapping) {
  const auto session = open_session("a");
  const auto id = grant(session.id, region_);
  int first = 0, second = 0;
  ASSERT_TRUE(registry_.set_mapped(session.id, id, [&] { ++first; }).ok());
  ASSERT_TRUE(registry_.set_mapped(session.id, id, [&] { ++second; }).ok());
  EXPECT_EQ(registry_.revoke(region_, 0).code(), Code::kBusy);
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 1);
  registry_.unmapped(session.id, id);
  EXPECT_TRUE(registry_.revoke(region_, 0).ok());
}

TEST_F(Mappings, UnmappedOfAStrangerOrTwiceChangesNothing) {
  const auto session = open_session("a");
  const auto stranger = open_session("b");
  const auto id = grant(session.id, region_);
  ASSERT_TRUE(registry_.set_mapped(session.id, id, [] {}).ok());
  registry_.unmapped(stranger.id, id);
  EXPECT_EQ(registry_.revoke(region_, 0).code(), Code::kBusy);
  registry_.unmapped(session.id, id);
  registry_.unmapped(session.id, id);

  const auto unmapped_but_in_use = grant(session.id, region_);
  auto access = registry_.begin_access(session.id, unmapped_but_in_use, kReadRight, 0, 1);
  registry_.unmapped(session.id, unmapped_but_in_use);
  EXPECT_EQ(registry_.revoke(region_, 0).code(), Code::kBusy);
}

}  // namespace
}  // namespace pmshelf::session
