// Promises of StoreHost: nothing is acknowledged before it is durable, waiting mutations share
// records, a failed write is final for everybody.
#include "server/pool/store_host.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/base/clock.h"
#include "common/base/units.h"
#include "common/media/forwarding_media.h"
#include "common/media/recording_media.h"
#include "server/store/attributes.h"
#include "server/store/format.h"

namespace pmshelf::pool {
namespace {

// What the test holds of a medium whose drains it stops, counts and fails.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool closed = false;
  bool failing = false;
  int waiting = 0;
  int drains = 0;

  Status pass() {
    std::unique_lock lock(mutex);
    ++waiting;
    changed.notify_all();
    changed.wait(lock, [this] { return !closed; });
    --waiting;
    ++drains;
    if (failing) return Error(Code::kIo, "made to fail");
    return {};
  }
  void close() {
    std::lock_guard lock(mutex);
    closed = true;
  }
  void open() {
    std::lock_guard lock(mutex);
    closed = false;
    changed.notify_all();
  }
  void await_one() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return waiting == 1; });
  }
};

class GatedMedia final : public media::ForwardingMedia {
 public:
  GatedMedia(std::unique_ptr<media::Media> inner, Gate& gate, uint32_t granularity)
      : ForwardingMedia(std::move(inner)), gate_(gate), granularity_(granularity) {}
  uint32_t flush_granularity_bytes() const override { return granularity_; }
  Status drain() override {
    PMSHELF_TRY(gate_.pass());
    return ForwardingMedia::drain();
  }

 private:
  Gate& gate_;
  const uint32_t granularity_;
};

class StoreHostTest : public ::testing::Test {
 protected:
  explicit StoreHostTest(uint32_t granularity = 4096) {
    auto map = media::make_memory_media(std::vector<std::byte>(store::kMetadataBytesMin));
    auto data = media::make_memory_media(std::vector<std::byte>(10 * kMiB));
    EXPECT_TRUE(store::Store::format(*map, data.get(), {}, clock_).ok());
    auto opened = store::Store::open(
        std::make_unique<GatedMedia>(std::move(map), gate_, granularity),
        std::make_unique<GatedMedia>(std::move(data), data_gate_, granularity), {}, clock_);
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    host_ = std::make_unique<StoreHost>(*std::move(opened));
    store::ShelfInfo info;
    info.name = "s";
    info.capacity_bytes = 8 * kMiB;
    auto shelf = host_->mutate([&](store::Store& s) { return s.create_shelf(info, {}); });
    EXPECT_TRUE(shelf.ok()) << shelf.error().to_string();
    shelf_ = *shelf;
    gate_.drains = 0;
  }
  ~StoreHostTest() override { gate_.open(); }

  Result<store::RegionId> create(const std::string& name, const std::string& attributes = "") {
    return host_->mutate(
        [&](store::Store& s) { return s.create(shelf_, name, 0, attributes, {}); });
  }
  bool present(const std::string& name) {
    return host_->query([&](const store::Store& s) { return s.find(shelf_, name).ok(); });
  }
  void await_present(const std::string& name) {
    while (!present(name)) std::this_thread::yield();
  }

  ManualClock clock_;
  Gate gate_, data_gate_;
  std::unique_ptr<StoreHost> host_;
  store::ShelfId shelf_ = 0;
};

class OnMemory : public StoreHostTest {
 protected:
  OnMemory() : StoreHostTest(64) {}
};
using Mutate = StoreHostTest;
using Exclusive = StoreHostTest;
using Close = StoreHostTest;

TEST_F(Mutate, WaitingOnesShareOneRecord) {
  EXPECT_TRUE(host_->blocking());
  gate_.close();
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_TRUE(create("leader").ok()); });
  gate_.await_one();
  for (int index = 0; index < 5; ++index) {
    threads.emplace_back([&, index] { EXPECT_TRUE(create("r" + std::to_string(index)).ok()); });
  }
  // Staged at once, while the leader waits for the medium: queries and staging go on.
  for (int index = 0; index < 5; ++index) await_present("r" + std::to_string(index));
  gate_.open();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(gate_.drains, 2);
}

TEST_F(Mutate, ReturnsOnlyWhenDurable) {
  gate_.close();
  std::atomic<bool> acknowledged{false};
  std::thread thread([&] {
    EXPECT_TRUE(create("a").ok());
    acknowledged = true;
  });
  gate_.await_one();
  EXPECT_TRUE(present("a"));
  EXPECT_FALSE(acknowledged);
  gate_.open();
  thread.join();
  EXPECT_TRUE(acknowledged);
}

TEST_F(Mutate, AFailingStageReturnsAtOnce) {
  gate_.close();
  std::thread leader([&] { EXPECT_TRUE(create("a").ok()); });
  gate_.await_one();
  EXPECT_EQ(create("a").code(), Code::kAlreadyExists);
  EXPECT_EQ(create("").code(), Code::kInvalidArgument);
  gate_.open();
  leader.join();
  EXPECT_EQ(gate_.drains, 1);
}

TEST_F(Mutate, AStageThatFindsItsWorkDoneWaitsUntilThatIsDurable) {
  gate_.close();
  std::thread leader([&] { EXPECT_TRUE(create("a").ok()); });
  gate_.await_one();
  std::atomic<bool> answered{false};
  std::thread retry([&] {
    EXPECT_TRUE(host_->mutate([](store::Store&) { return Status(); }).ok());
    answered = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(answered);
  gate_.open();
  leader.join();
  retry.join();
  EXPECT_EQ(gate_.drains, 1);  // and writes nothing itself
}

TEST_F(Mutate, AFailedWriteIsEverybodysAndFinal) {
  gate_.close();
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_EQ(create("leader").code(), Code::kIo); });
  gate_.await_one();
  for (int index = 0; index < 3; ++index) {
    threads.emplace_back(
        [&, index] { EXPECT_EQ(create("r" + std::to_string(index)).code(), Code::kIo); });
  }
  for (int index = 0; index < 3; ++index) await_present("r" + std::to_string(index));
  gate_.failing = true;
  gate_.open();
  for (auto& thread : threads) thread.join();
  gate_.failing = false;
  EXPECT_TRUE(host_->offline());
  ASSERT_TRUE(host_->failure().has_value());
  EXPECT_NE(host_->failure()->message().find("made to fail"), std::string::npos);
  EXPECT_EQ(create("later").code(), Code::kIo);
  EXPECT_EQ(host_->exclusive([](store::Store&) { return Status(); }).code(), Code::kIo);
  EXPECT_EQ(host_->close().code(), Code::kIo);
  EXPECT_EQ(gate_.drains, 1);
}

TEST_F(Mutate, AFullBatchIsWrittenAndTheStageTriedAgain) {
  constexpr int kThreads = 70;  // of 32 KiB each: more than two records of 1 MiB hold
  const std::string attributes = *store::encode_attributes({{"k", std::string(32'000, 'v')}});
  gate_.close();
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_TRUE(create("leader").ok()); });
  gate_.await_one();
  for (int index = 0; index < kThreads; ++index) {
    threads.emplace_back([&, index] {
      const auto id = create("r" + std::to_string(index), attributes);
      EXPECT_TRUE(id.ok()) << id.error().to_string();
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  gate_.open();
  for (auto& thread : threads) thread.join();
  for (int index = 0; index < kThreads; ++index) EXPECT_TRUE(present("r" + std::to_string(index)));
  EXPECT_GE(gate_.drains, 4);
}

TEST_F(Mutate, FailIsFinalToo) {
  host_->fail(Error(Code::kIo, "a flush of a region failed"));
  host_->fail(Error(Code::kIo, "and another"));
  EXPECT_EQ(create("a").code(), Code::kIo);
  EXPECT_NE(host_->failure()->message().find("a flush of a region failed"), std::string::npos);
}

TEST_F(OnMemory, EachMutationIsWrittenByItsOwnCaller) {
  EXPECT_FALSE(host_->blocking());
  EXPECT_TRUE(create("a").ok());
  EXPECT_TRUE(create("b").ok());
  EXPECT_EQ(gate_.drains, 2);
}

TEST_F(Exclusive, RunsAloneWithEverythingBeforeDurable) {
  gate_.close();
  std::thread leader([&] { EXPECT_TRUE(create("a").ok()); });
  gate_.await_one();
  std::thread follower([&] { EXPECT_TRUE(create("b").ok()); });
  await_present("b");
  std::atomic<int> drains_seen{0};
  std::thread alone([&] {
    EXPECT_TRUE(host_
                    ->exclusive([&](store::Store& s) -> Status {
                      drains_seen = gate_.drains;
                      EXPECT_FALSE(s.has_staged_operations());
                      return {};
                    })
                    .ok());
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(drains_seen, 0);
  gate_.open();
  leader.join();
  follower.join();
  alone.join();
  EXPECT_EQ(drains_seen, 2);
}

TEST_F(Exclusive, ErrorOfTheWorkIsReturnedAndLeavesTheStoreOnline) {
  const Status refused = host_->exclusive(
      [](store::Store&) -> Status { return Error(Code::kNoSpace, "the file system is full"); });
  EXPECT_EQ(refused.code(), Code::kNoSpace);
  EXPECT_TRUE(create("a").ok());
}

TEST_F(Close, WaitsForTheBatchInFlightAndIsIdempotent) {
  gate_.close();
  std::thread leader([&] { EXPECT_TRUE(create("a").ok()); });
  gate_.await_one();
  std::thread closer([&] { EXPECT_TRUE(host_->close().ok()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  gate_.open();
  leader.join();
  closer.join();
  EXPECT_TRUE(host_->close().ok());
  EXPECT_EQ(create("b").code(), Code::kUnavailable);
  EXPECT_FALSE(host_->offline());
}

}  // namespace
}  // namespace pmshelf::pool
