// Promises of sessions: tickets, signs of life, ends, limits.
#include <set>

#include "fixture.h"

namespace pmshelf::session {
namespace {

using Sessions = RegistryTest;

TEST_F(Sessions, TicketAndSecretsAreDifferentInEverySession) {
  std::set<Ticket> tickets;
  std::set<wire::Secret> secrets;
  std::set<wire::SessionId> ids;
  for (int index = 0; index < 8; ++index) {
    const auto opened = open_session("a");
    tickets.insert(opened.ticket);
    secrets.insert(opened.data_secret);
    ids.insert(opened.id);
  }
  EXPECT_EQ(tickets.size(), 8u);
  EXPECT_EQ(secrets.size(), 8u);
  EXPECT_EQ(ids.size(), 8u);
}

TEST_F(Sessions, OnlyTheWholeTicketAuthenticates) {
  const auto opened = open_session("a");
  EXPECT_EQ(*registry_.authenticate(opened.ticket), opened.id);
  for (size_t index = 0; index < opened.ticket.size(); ++index) {
    Ticket wrong = opened.ticket;
    wrong[index] ^= std::byte{1};
    EXPECT_EQ(registry_.authenticate(wrong).code(), Code::kSessionExpired) << index;
  }
  EXPECT_EQ(registry_.authenticate(Ticket{}).code(), Code::kSessionExpired);
}

TEST_F(Sessions, KnowsPrincipalAndDataSecret) {
  const auto opened = open_session("alice");
  EXPECT_EQ(registry_.principal(opened.id)->name, "unix:alice");
  EXPECT_EQ(*registry_.data_secret(opened.id), opened.data_secret);
  EXPECT_EQ(registry_.principal({}).code(), Code::kSessionExpired);
  EXPECT_EQ(registry_.data_secret({}).code(), Code::kSessionExpired);
  EXPECT_EQ(registry_.keep_alive({}).code(), Code::kSessionExpired);
}

TEST_F(Sessions, EndsAtTheTimeoutToTheMillisecond) {
  const auto opened = open_session("a");
  clock_.advance_ms(999);
  EXPECT_TRUE(registry_.principal(opened.id).ok());
  clock_.advance_ms(1);
  EXPECT_EQ(registry_.authenticate(opened.ticket).code(), Code::kSessionExpired);
  EXPECT_EQ(registry_.principal(opened.id).code(), Code::kSessionExpired);
  EXPECT_EQ(registry_.keep_alive(opened.id).code(), Code::kSessionExpired);
}

TEST_F(Sessions, EverySignOfLifeRenews) {
  const auto opened = open_session("a");
  const auto id = grant(opened.id, region_);
  for (int round = 0; round < 3; ++round) {
    clock_.advance_ms(399);
    EXPECT_TRUE(registry_.authenticate(opened.ticket).ok());
    clock_.advance_ms(399);
    EXPECT_TRUE(registry_.keep_alive(opened.id).ok());
    clock_.advance_ms(399);
    registry_.touch(opened.id);
    clock_.advance_ms(399);
    EXPECT_EQ(access_code(opened.id, id), Code::kOk);
    registry_.sweep();
  }
  EXPECT_EQ(access_code(opened.id, id), Code::kOk);
}

TEST_F(Sessions, ATimedOutSessionCannotBeRevived) {
  const auto opened = open_session("a");
  clock_.advance_ms(1000);
  registry_.touch(opened.id);
  EXPECT_EQ(registry_.authenticate(opened.ticket).code(), Code::kSessionExpired);
  EXPECT_EQ(registry_.counts().sessions, 1u);
  registry_.sweep();
  EXPECT_EQ(registry_.counts().sessions, 0u);
}

TEST_F(Sessions, SweepEndsOnlySilentOnes) {
  const auto silent = open_session("silent");
  clock_.advance_ms(600);
  const auto live = open_session("live");
  clock_.advance_ms(400);
  registry_.sweep();
  EXPECT_FALSE(registry_.principal(silent.id).ok());
  EXPECT_TRUE(registry_.principal(live.id).ok());
}

TEST_F(Sessions, CloseRunsHooksOnceInOrderWithTheSessionGone) {
  const auto opened = open_session("a");
  std::string order;
  ASSERT_TRUE(registry_
                  .on_end(opened.id,
                          [&] {
                            order += "1";
                            // Outside the locks: a hook may call the registry, and finds the
                            // session ended.
                            EXPECT_EQ(registry_.principal(opened.id).code(), Code::kSessionExpired);
                            registry_.close(opened.id, "again");
                          })
                  .ok());
  ASSERT_TRUE(registry_.on_end(opened.id, [&] { order += "2"; }).ok());
  registry_.close(opened.id, "test");
  registry_.close(opened.id, "test");
  EXPECT_EQ(order, "12");
  EXPECT_EQ(registry_.on_end(opened.id, [] {}).code(), Code::kSessionExpired);
}

TEST_F(Sessions, SweepRunsHooksOfTheSilent) {
  const auto opened = open_session("a");
  int runs = 0;
  ASSERT_TRUE(registry_.on_end(opened.id, [&] { ++runs; }).ok());
  clock_.advance_ms(999);
  registry_.sweep();
  EXPECT_EQ(runs, 0);
  clock_.advance_ms(1);
  registry_.sweep();
  registry_.sweep();
  EXPECT_EQ(runs, 1);
}

TEST_F(Sessions, LimitsAreEnforcedAndNamed) {
  const auto opened = open_session("a");
  for (int index = 1; index < 8; ++index) open_session("b");
  auto refused = registry_.open(Principal{}, "x", "y");
  ASSERT_EQ(refused.code(), Code::kResourceExhausted);
  EXPECT_NE(refused.error().message().find("sessions_max (8)"), std::string::npos);

  for (uint32_t index = 0; index < kSessionHooksMax; ++index) {
    ASSERT_TRUE(registry_.on_end(opened.id, [] {}).ok());
  }
  EXPECT_EQ(registry_.on_end(opened.id, [] {}).code(), Code::kResourceExhausted);
  for (uint32_t index = 0; index < kSessionPathsMax; ++index) {
    ASSERT_TRUE(registry_.add_path(opened.id, "tcp").ok());
  }
  EXPECT_EQ(registry_.add_path(opened.id, "tcp").code(), Code::kResourceExhausted);
  registry_.remove_path(opened.id, "tcp");
  EXPECT_TRUE(registry_.add_path(opened.id, "local").ok());

  registry_.close(opened.id, "room");
  EXPECT_TRUE(registry_.open(Principal{}, "x", "y").ok());
}

TEST_F(Sessions, ListShowsWhoWhatAndHowLong) {
  const auto opened = open_session("alice");
  clock_.advance_ms(50);
  registry_.touch(opened.id);
  clock_.advance_ms(20);
  ASSERT_TRUE(registry_.add_path(opened.id, "tcp").ok());
  ASSERT_TRUE(registry_.add_path(opened.id, "local").ok());
  registry_.remove_path(opened.id, "tcp");
  registry_.remove_path(opened.id, "rdma");
  const auto views = registry_.list();
  ASSERT_EQ(views.size(), 1u);
  EXPECT_EQ(views[0].id, opened.id);
  EXPECT_EQ(views[0].principal.name, "unix:alice");
  EXPECT_EQ(views[0].client_name, "alice 1234");
  EXPECT_EQ(views[0].peer, "local");
  EXPECT_EQ(views[0].idle_ms, 20u);
  EXPECT_EQ(views[0].age_ms, 70u);
  EXPECT_EQ(views[0].grants, 0u);
  EXPECT_EQ(views[0].locks, 0u);
  EXPECT_EQ(views[0].paths, std::vector<std::string>{"local"});
}

TEST_F(Sessions, ListCountsGrantsAndLocks) {
  const auto opened = open_session("alice");
  grant(opened.id, region_);
  ASSERT_TRUE(registry_.lock(opened.id, region_, true).ok());
  const auto views = registry_.list();
  EXPECT_EQ(views[0].grants, 1u);
  EXPECT_EQ(views[0].locks, 1u);
  const auto counts = registry_.counts();
  EXPECT_EQ(counts.sessions, 1u);
  EXPECT_EQ(counts.grants, 1u);
  EXPECT_EQ(counts.locks, 1u);
}

TEST_F(Sessions, OverlongClientNamesAreCut) {
  ASSERT_TRUE(registry_.open(Principal{}, std::string(100'000, 'x'), "peer").ok());
  EXPECT_EQ(registry_.list()[0].client_name.size(), kClientNameBytesMax);
}

}  // namespace
}  // namespace pmshelf::session
