// What control calls do about lost answers, lost sessions and lost daemons.
#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/client/fake_test.h"

namespace pmshelf::client {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

using ControlCall = FakeDaemonTest;

TEST_F(ControlCall, LostAnswerIsAskedForAgainUnderTheSameRequestId) {
  const Client client = connect();
  daemon_.lose_answers("Regions.Create", 2);
  EXPECT_TRUE(shelf(client).create_region("r", 10).ok());
  EXPECT_EQ(daemon_.calls("Regions.Create"), 3);
  EXPECT_EQ(daemon_.applied("Regions.Create"), 1);
}

TEST_F(ControlCall, LostAnswerThatNeverComesIsAnUnknownOutcome) {
  ConnectOptions options = daemon_.options();
  options.reconnect_timeout = milliseconds(200);
  const Client client = connect(options);
  daemon_.lose_answers("Shelves.Erase", 1000);
  const auto begun = Clock::now();
  EXPECT_EQ(client.erase_shelf("s").code(), Code::kUnknownOutcome);
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(5));
  EXPECT_EQ(daemon_.applied("Shelves.Erase"), 1);
}

TEST_F(ControlCall, DaemonThatIsGoneLeavesNoDoubt) {
  ConnectOptions options = daemon_.options();
  options.reconnect_timeout = milliseconds(200);
  const Client client = connect(options);
  daemon_.stop();
  // The first attempt may still meet the old connection; after that nothing can have been sent.
  (void)client.erase_shelf("s").ok();
  EXPECT_EQ(client.erase_shelf("s").code(), Code::kUnavailable);
}

TEST_F(ControlCall, ReadingCallsAreNeverOfUnknownOutcome) {
  ConnectOptions options = daemon_.options();
  options.reconnect_timeout = milliseconds(200);
  const Client client = connect(options);
  const Shelf s = shelf(client);
  daemon_.lose_answers("Regions.Stat", 1000);
  EXPECT_EQ(s.stat_region("r").code(), Code::kUnavailable);
}

TEST_F(ControlCall, RefusalIsGivenBackAtOnce) {
  const Client client = connect();
  const Shelf s = shelf(client);
  daemon_.refuse("Regions.Create", 1, Code::kNoSpace);
  const auto made = s.create_region("r", 10);
  ASSERT_EQ(made.code(), Code::kNoSpace);
  EXPECT_NE(made.error().message().find("refused by the test"), std::string::npos);
  EXPECT_EQ(daemon_.calls("Regions.Create"), 1);
}

TEST_F(ControlCall, RefusalAfterALostAnswerIsExact) {
  const Client client = connect();
  const Shelf s = shelf(client);
  daemon_.refuse("Regions.Create", 1, Code::kUnavailable);
  EXPECT_TRUE(s.create_region("r", 10).ok());
  EXPECT_EQ(s.create_region("r", 10).code(), Code::kAlreadyExists);
}

TEST_F(ControlCall, LostSessionIsOpenedAgainAndTheCallRepeated) {
  const Client client = connect();
  const Shelf s = shelf(client);
  daemon_.forget_sessions();
  EXPECT_TRUE(s.create_region("r", 10).ok());
  EXPECT_EQ(daemon_.calls("Sessions.Open"), 2);
}

TEST_F(ControlCall, OneSessionIsOpenedHoweverManyThreadsLostTheirs) {
  const Client client = connect();
  const Shelf s = shelf(client);
  daemon_.forget_sessions();
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int index = 0; index < 8; ++index) {
    threads.emplace_back([&] { good += s.stat_region("r").ok() ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 8);
  EXPECT_EQ(daemon_.calls("Sessions.Open"), 2);
}

TEST_F(ControlCall, RestartedDaemonIsMetAgainByItself) {
  const Client client = connect();
  const Shelf s = shelf(client);
  daemon_.stop();
  std::thread later([this] {
    std::this_thread::sleep_for(milliseconds(300));
    daemon_.start();
  });
  EXPECT_TRUE(s.stat_region("r").ok());
  later.join();
}

TEST_F(ControlCall, DeadlineOfTheCallEndsIt) {
  ConnectOptions options = daemon_.options();
  options.call_timeout = milliseconds(100);
  const Client client = connect(options);
  const Shelf s = shelf(client);
  daemon_.delay("Regions.Stat", milliseconds(1000));
  EXPECT_EQ(s.stat_region("r").code(), Code::kDeadlineExceeded);
}

TEST_F(ControlCall, ConnectingToNobodyFailsFastAndSaysWhatToStart) {
  daemon_.stop();
  const auto begun = Clock::now();
  const auto core = Core::connect(daemon_.options(), Environment{}, daemon_.dialer());
  ASSERT_EQ(core.code(), Code::kUnavailable);
  EXPECT_NE(core.error().message().find("control.sock"), std::string::npos);
  EXPECT_NE(core.error().message().find("pmshelfd"), std::string::npos);
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(3));
}

TEST_F(ControlCall, RefusedSessionIsNotTriedAgain) {
  daemon_.refuse("Sessions.Open", 1000, Code::kPermissionDenied);
  EXPECT_EQ(Core::connect(daemon_.options(), Environment{}, daemon_.dialer()).code(),
            Code::kPermissionDenied);
  EXPECT_EQ(daemon_.calls("Sessions.Open"), 1);
}

TEST_F(ControlCall, SessionIsKeptAliveInTime) {
  daemon_.keep_alive_ms = 150;
  const Client client = connect();
  std::this_thread::sleep_for(milliseconds(600));
  EXPECT_GE(daemon_.calls("Sessions.KeepAlive"), 4);
}

TEST_F(ControlCall, KeepAliveFindsALostSessionBeforeTheUserDoes) {
  daemon_.keep_alive_ms = 150;
  const Client client = connect();
  daemon_.forget_sessions();
  for (int tries = 0; tries < 100 && daemon_.sessions() == 0; ++tries) {
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_EQ(daemon_.sessions(), 1);
}

TEST_F(ControlCall, BadOptionsAreNamed) {
  ConnectOptions options = daemon_.options();
  options.call_timeout = milliseconds(0);
  EXPECT_EQ(Core::connect(options, Environment{}, daemon_.dialer()).code(), Code::kInvalidArgument);
  options = daemon_.options();
  options.client_name = "\xff";
  EXPECT_EQ(Core::connect(options, Environment{}, daemon_.dialer()).code(), Code::kInvalidArgument);
  options = daemon_.options();
  options.path = Path::kTcp;  // the fake offers the local path only
  EXPECT_EQ(Core::connect(options, Environment{}, daemon_.dialer()).code(), Code::kUnsupported);
  options.path = Path::kRdma;
  EXPECT_EQ(Core::connect(options, Environment{}, daemon_.dialer()).code(), Code::kUnsupported);
}

TEST_F(ControlCall, TargetOfTheEnvironmentIsUsedWhenNoneIsGiven) {
  ConnectOptions options = daemon_.options();
  Environment environment;
  environment.target = std::exchange(options.target, "");
  EXPECT_TRUE(Core::connect(options, environment, daemon_.dialer()).ok());
}

// ---- locks

TEST_F(ControlCall, LockOfALostSessionSaysSo) {
  const Client client = connect();
  auto lock = shelf(client).lock("r", true);
  ASSERT_TRUE(lock.ok());
  daemon_.forget_sessions();
  EXPECT_EQ(lock->unlock().code(), Code::kSessionExpired);
  EXPECT_TRUE(lock->unlock().ok());
}

TEST_F(ControlCall, LockIsNeverGivenBackInAnotherSession) {
  const Client client = connect();
  const Shelf s = shelf(client);
  auto lock = s.lock("r", true);
  ASSERT_TRUE(lock.ok());
  daemon_.forget_sessions();
  ASSERT_TRUE(s.stat_region("r").ok());  // in the new session
  EXPECT_EQ(lock->unlock().code(), Code::kSessionExpired);
  EXPECT_EQ(daemon_.calls("Regions.Unlock"), 0);
}

TEST_F(ControlCall, UnlockIsIdempotentAndDroppingUnlocks) {
  const Client client = connect();
  const Shelf s = shelf(client);
  auto lock = s.lock("r", true);
  ASSERT_TRUE(lock.ok());
  EXPECT_TRUE(lock->unlock().ok());
  EXPECT_TRUE(lock->unlock().ok());
  EXPECT_EQ(daemon_.calls("Regions.Unlock"), 1);
  {
    auto dropped = s.lock("r", true);
    ASSERT_TRUE(dropped.ok());
  }
  for (int tries = 0; tries < 100 && daemon_.calls("Regions.Unlock") < 2; ++tries) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(daemon_.calls("Regions.Unlock"), 2);
}

// ---- the end

TEST_F(ControlCall, CloseEndsTheSessionAndRefusesFurtherCalls) {
  Client client = connect();
  const Shelf s = shelf(client);
  const Region r = region(client, 10);
  client.close();
  client.close();
  EXPECT_EQ(daemon_.sessions(), 0);
  EXPECT_EQ(s.stat_region("r").code(), Code::kUnavailable);
  EXPECT_EQ(r.flush(0, 1).code(), Code::kUnavailable);
  EXPECT_EQ(r.flush_async(0, 1).get().code(), Code::kUnavailable);
  EXPECT_EQ(client.ping().code(), Code::kUnavailable);
}

TEST_F(ControlCall, LastHandleEndsTheSession) {
  {
    std::optional<Region> kept;
    {
      const Client client = connect();
      kept = region(client, 10);
    }
    EXPECT_EQ(daemon_.sessions(), 1);
    EXPECT_TRUE(kept->flush(0, 10).ok());
  }
  EXPECT_EQ(daemon_.sessions(), 0);
}

TEST_F(ControlCall, CloseCancelsCallsThatWait) {
  Client client = connect();
  const Shelf s = shelf(client);
  daemon_.delay("Regions.Stat", milliseconds(3000));
  const auto begun = Clock::now();
  std::thread closer([&] {
    std::this_thread::sleep_for(milliseconds(200));
    client.close();
  });
  EXPECT_EQ(s.stat_region("r").code(), Code::kUnavailable);
  EXPECT_LT(Clock::now() - begun, std::chrono::milliseconds(2500));
  closer.join();
}

TEST_F(ControlCall, CloseEndsTheWaitForALostDaemon) {
  Client client = connect();
  const Shelf s = shelf(client);
  daemon_.stop();
  const auto begun = Clock::now();
  std::thread closer([&] {
    std::this_thread::sleep_for(milliseconds(200));
    client.close();
  });
  EXPECT_FALSE(s.stat_region("r").ok());
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(5));
  closer.join();
}

TEST_F(ControlCall, GrantsAreGivenBackWithTheirLastHandle) {
  const Client client = connect();
  {
    const Region r = region(client, 10);
    const Region copy = r;
    EXPECT_EQ(copy.id(), r.id());
  }
  for (int tries = 0; tries < 100 && daemon_.released().empty(); ++tries) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(daemon_.released().size(), 1u);
}

}  // namespace
}  // namespace pmshelf::client
