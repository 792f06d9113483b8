// What a broken connection promises: every request completes exactly once, and says truthfully
// whether it may have happened.
#include "tests/conformance/transport_fixture.h"

namespace pmshelf::transport {
namespace {

class Transport_Break : public TransportTest {
 protected:
  // What was submitted, and how it ended. Lives until the channel is gone.
  struct Outcomes {
    struct One {
      bool mutation = false;
      int completions = 0;
      Code code = Code::kOk;
    };
    std::vector<One> all;
    std::mutex mutex;

    Channel::Done expect(bool mutation) {
      const std::lock_guard lock(mutex);
      all.push_back({mutation, 0, Code::kOk});
      return [this, i = all.size() - 1](const Status& status) {
        const std::lock_guard guard(mutex);
        ++all[i].completions;
        all[i].code = status.code();
      };
    }
    bool complete() {
      const std::lock_guard lock(mutex);
      for (const One& one : all) {
        if (one.completions == 0) return false;
      }
      return true;
    }
    size_t ok_count() {
      const std::lock_guard lock(mutex);
      return static_cast<size_t>(
          std::ranges::count_if(all, [](const One& one) { return one.code == Code::kOk; }));
    }
    // Once each; lost mutations are unknown or did not happen, the rest did not happen.
    void check(const std::string& when) {
      const std::lock_guard lock(mutex);
      for (const One& one : all) {
        ASSERT_EQ(one.completions, 1) << when;
        const bool lost =
            one.code == Code::kUnavailable || (one.mutation && one.code == Code::kUnknownOutcome);
        ASSERT_TRUE(one.code == Code::kOk || lost) << when << ": " << code_name(one.code);
      }
    }
  };

  // One of each kind, small and large.
  void submit_mix(Channel& channel, Outcomes& outcomes) {
    channel.write(grant_, 0, large_, Durability::kDurable, outcomes.expect(true));
    channel.read(grant_, 0, target_, outcomes.expect(false));
    channel.write(grant_, 64, small_, Durability::kVisible, outcomes.expect(true));
    channel.flush(grant_, 0, 100, outcomes.expect(true));
    channel.atomic_write8(grant_, 8, 1, outcomes.expect(true));
    channel.read_ranges(grant_, ranges_, small_target_, outcomes.expect(false));
    channel.put(shelf_, {.name = "key"}, false, small_, outcomes.expect(true));
    channel.ping(outcomes.expect(false));
  }

  const wire::GrantId grant_ = world().add_region(1 << 20);
  const uint64_t shelf_ = world().add_shelf();
  const Bytes large_ = pattern(20'000, 1), small_ = pattern(100, 2);
  Bytes target_ = Bytes(20'000), small_target_ = Bytes(100);
  const std::vector<wire::Range> ranges_ = {{0, 50}, {100, 50}};
};
INSTANTIATE_TEST_SUITE_P(All, Transport_Break, testing::ValuesIn(world_kinds()), world_name);

TEST_P(Transport_Break, AtEveryRequestCompletesEachOnce) {
  for (uint64_t at = 1; at <= 10; ++at) {
    Outcomes outcomes;
    world().break_at(at);
    const auto channel = connect();
    {
      const DriveScope scope(*channel);
      submit_mix(*channel, outcomes);
      submit_mix(*channel, outcomes);
      ASSERT_TRUE(channel->drive_until([&] { return outcomes.complete(); }, 20'000).ok()) << at;
    }
    outcomes.check("break at " + std::to_string(at));
    EXPECT_TRUE(eventually([&] { return do_ping(*channel).code() == Code::kUnavailable; }));
    EXPECT_FALSE(channel->connected());
  }
}

// Every byte position of a conversation, in both directions, in steps that are no divisor of
// anything; the own thread drives.
TEST_P(Transport_Break, AtAnyByteCompletesEachOnce) {
  if (world().connect_cut(-1, -1) == nullptr) GTEST_SKIP() << "no bytes to relay";
  size_t ok_count = 0;
  for (int64_t at = 0; at < 50'000; at = at < 1000 ? at + 37 : at + 4099) {
    for (const bool to_server : {true, false}) {
      Outcomes outcomes;
      auto channel = world().connect_cut(to_server ? at : -1, to_server ? -1 : at);
      submit_mix(*channel, outcomes);
      ASSERT_TRUE(eventually([&] { return outcomes.complete(); })) << at << to_server;
      outcomes.check("cut after " + std::to_string(at) + (to_server ? " sent" : " received"));
      channel.reset();
      outcomes.check("closed after " + std::to_string(at));
      ok_count += outcomes.ok_count();
    }
  }
  EXPECT_GT(ok_count, 0u);
}

TEST_P(Transport_Break, NothingSentMeansNothingHappened) {
  const auto channel = connect();
  Outcomes outcomes;
  const DriveScope scope(*channel);  // holds the requests back
  submit_mix(*channel, outcomes);
  channel->close();
  ASSERT_TRUE(outcomes.complete());
  outcomes.check("closed");
  if (GetParam().name == "Fake") GTEST_SKIP() << "the fake does not tell queued from sent";
  for (const auto& one : outcomes.all) EXPECT_EQ(one.code, Code::kUnavailable);
}

TEST_P(Transport_Break, CloseCompletesWhatIsInFlightAndIsIdempotent) {
  const auto channel = connect();
  if (world().service() != nullptr) world().service()->hold = true;
  Outcomes outcomes;
  submit_mix(*channel, outcomes);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  channel->close();
  EXPECT_TRUE(outcomes.complete());
  channel->close();
  outcomes.check("closed");
  EXPECT_EQ(do_ping(*channel).code(), Code::kUnavailable);
  EXPECT_FALSE(channel->connected());
}

TEST_P(Transport_Break, CloseFromACompletionCompletesTheRest) {
  const auto channel = connect();
  Outcomes outcomes;
  const DriveScope scope(*channel);
  channel->ping([&](const Status&) { channel->close(); });
  submit_mix(*channel, outcomes);
  ASSERT_TRUE(channel->drive_until([&] { return outcomes.complete(); }, 20'000).ok());
  outcomes.check("closed");
}

TEST_P(Transport_Break, DestructionCompletesWhatIsInFlight) {
  Outcomes outcomes;
  auto channel = connect();
  if (world().service() != nullptr) world().service()->hold = true;
  submit_mix(*channel, outcomes);
  channel.reset();
  EXPECT_TRUE(outcomes.complete());
  outcomes.check("destroyed");
}

TEST_P(Transport_Break, CloseReleasesThreadsThatDrive) {
  const auto channel = connect();
  std::vector<std::thread> threads;
  std::atomic<int> released{0};
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      if (channel->drive_until([] { return false; }, 0).code() == Code::kUnavailable) ++released;
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  channel->close();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(released, 3);
}

TEST_P(Transport_Break, ServerForgetsOperationsAndHandlersOfLostConnections) {
  MemoryService* service = world().service();
  if (service == nullptr) GTEST_SKIP() << "the fake has no server";
  Outcomes outcomes;
  auto channel = connect();
  service->hold = true;
  const uint64_t begun = service->begun_count();
  submit_mix(*channel, outcomes);
  ASSERT_TRUE(eventually([&] { return service->begun_count() >= begun + 8; }));
  channel.reset();
  EXPECT_GT(service->handler_count(), 0u);  // operations that run keep their handler
  service->hold = false;
  service->release_held();
  EXPECT_TRUE(eventually([&] { return service->operation_count() == 0; }));
  EXPECT_TRUE(eventually([&] { return service->handler_count() == 0; }));
}

// The payload of a refused request is dropped; one that is accepted and cut is never run.
TEST_P(Transport_Break, RefusedLargeWritesAreSentWholeAndAnswered) {
  const auto channel = connect();
  const Bytes source(4 << 20);
  int left = 20;
  const DriveScope scope(*channel);
  for (int i = 0; i < 20; ++i) {
    channel->write({9, 9}, 0, source, Durability::kDurable, [&](const Status& status) {
      EXPECT_EQ(status.code(), Code::kStaleGrant);
      --left;
    });
  }
  ASSERT_TRUE(channel->drive_until([&] { return left == 0; }, 20'000).ok());
  EXPECT_TRUE(do_ping(*channel).ok());
}

}  // namespace
}  // namespace pmshelf::transport
