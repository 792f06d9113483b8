// Promises of the SIGBUS guard: faults inside are errors, faults outside keep their effect.
#include "common/media/guard.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

// A sanitizer that reports SIGBUS itself would hide what the guard passes on.
#define PMSHELF_SANITIZER_OPTIONS "handle_sigbus=0"
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return PMSHELF_SANITIZER_OPTIONS; }
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return PMSHELF_SANITIZER_OPTIONS; }

namespace pmshelf::media {
namespace {

constexpr size_t kFileBytes = 2 * 4096;

// A mapped memfd of two pages whose second page was cut off.
class CutFile {
 public:
  CutFile() : fd_(memfd_create("guard-test", MFD_CLOEXEC)) {
    EXPECT_EQ(ftruncate(fd_, kFileBytes), 0);
    void* const address = mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    EXPECT_NE(address, MAP_FAILED);
    data_ = static_cast<std::byte*>(address);
    EXPECT_EQ(ftruncate(fd_, kFileBytes / 2), 0);
  }
  ~CutFile() {
    munmap(data_, kFileBytes);
    close(fd_);
  }
  CutFile(const CutFile&) = delete;
  CutFile& operator=(const CutFile&) = delete;
  std::byte* there() const { return data_; }
  std::byte* gone() const { return data_ + kFileBytes / 2; }

 private:
  int fd_;
  std::byte* data_ = nullptr;
};

class Guard : public ::testing::Test {
 protected:
  void SetUp() override { install_sigbus_guard(); }
  CutFile file_;
  std::array<std::byte, 64> buffer_{};
};
using GuardDeathTest = Guard;

TEST_F(Guard, AccessToWhatIsThereSucceeds) {
  buffer_.fill(std::byte{7});
  EXPECT_TRUE(guarded_copy(file_.there(), buffer_.data(), buffer_.size()));
  EXPECT_EQ(file_.there()[63], std::byte{7});
  EXPECT_TRUE(guarded_store8(file_.there(), 0x0102030405060708));
  EXPECT_EQ(file_.there()[0], std::byte{8});
  EXPECT_TRUE(guarded_fill_zero(file_.there(), 64));
  EXPECT_EQ(file_.there()[0], std::byte{0});
}

TEST_F(Guard, LoadAndStoreOfATruncatedPageReturnFalse) {
  EXPECT_FALSE(guarded_copy(buffer_.data(), file_.gone(), buffer_.size()));
  EXPECT_FALSE(guarded_copy(file_.gone(), buffer_.data(), buffer_.size()));
  EXPECT_FALSE(guarded_fill_zero(file_.gone(), 64));
  EXPECT_FALSE(guarded_store8(file_.gone(), 1));
}

TEST_F(Guard, EachByteIsOldOrNewAfterAFault) {
  const std::vector<std::byte> source(kFileBytes, std::byte{9});
  EXPECT_FALSE(guarded_copy(file_.there(), source.data(), source.size()));
  for (size_t i = 0; i < kFileBytes / 2; ++i) {
    ASSERT_TRUE(file_.there()[i] == std::byte{0} || file_.there()[i] == std::byte{9}) << i;
  }
}

TEST_F(Guard, SecondFaultIsCaughtAsTheFirst) {
  for (int round = 0; round < 1000; ++round) {
    ASSERT_FALSE(guarded_store8(file_.gone(), 1));
    ASSERT_TRUE(guarded_store8(file_.there(), 1));
  }
}

TEST_F(Guard, FaultInANestedCallReturnsToTheInnerOne) {
  bool inner = true;
  int after = 0;
  const bool outer = guarded([&] {
    inner = guarded_store8(file_.gone(), 1);
    after = 1;
  });
  EXPECT_TRUE(outer);
  EXPECT_FALSE(inner);
  EXPECT_EQ(after, 1);
  EXPECT_FALSE(guarded([&] {
    EXPECT_TRUE(guarded_store8(file_.there(), 1));
    *reinterpret_cast<volatile char*>(file_.gone()) = 1;
  }));
}

TEST_F(Guard, EveryThreadHasItsOwn) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([this, thread, &wrong] {
      std::array<std::byte, 64> target;
      for (int round = 0; round < 500; ++round) {
        const bool bad = (round + thread) % 2 == 0;
        const std::byte* const source = bad ? file_.gone() : file_.there();
        if (guarded_copy(target.data(), source, target.size()) == bad) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(GuardDeathTest, FaultOutsideAGuardedCallKills) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(*reinterpret_cast<volatile char*>(file_.gone()) = 1,
              ::testing::KilledBySignal(SIGBUS), "");
}

TEST_F(GuardDeathTest, SignalSentByAProcessKillsEvenInsideAGuardedCall) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(guarded([] { raise(SIGBUS); }), ::testing::KilledBySignal(SIGBUS), "");
}

void exit_with_42(int, siginfo_t*, void*) { _exit(42); }

// The child installs another handler before the guard: the guard must hand it what is not its own.
void fault_below_an_older_handler(std::byte* inside, std::byte* outside) {
  struct sigaction action = {};
  action.sa_sigaction = exit_with_42;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
  install_sigbus_guard();
  if (guarded_store8(inside, 1)) _exit(1);
  *reinterpret_cast<volatile char*>(outside) = 1;
}

}  // namespace

// Not in the fixture: in this process the guard must not be installed yet (death tests of the
// "threadsafe" style run the child from main on, and only this test).
TEST(GuardChainDeathTest, FaultOutsideGoesToTheHandlerInstalledBefore) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  CutFile file;
  EXPECT_EXIT(fault_below_an_older_handler(file.gone(), file.gone()), ::testing::ExitedWithCode(42),
              "");
}

}  // namespace pmshelf::media
