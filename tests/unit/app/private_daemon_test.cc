// Promises of private daemons: found by the directory itself, quiet, gone when nobody needs them.
#include "server/app/private_daemon.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "server/app/background.h"
#include "server/app/folders.h"
#include "server/app/options.h"

namespace pmshelf::app {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class Private : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("pmshelf-private-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_ / "pool");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const char* name) const { return (folder_ / name).string(); }
  std::filesystem::path folder_;
};

TEST_F(Private, FolderNameFollowsTheDirectoryNotItsPath) {
  std::filesystem::create_symlink("pool", path("alias"));
  const Result<std::string> name = private_folder_name(path("pool"));
  ASSERT_TRUE(name.ok());
  EXPECT_THAT(*name, MatchesRegex("p-[0-9a-f]+-[0-9a-f]+"));
  EXPECT_EQ(*name, *private_folder_name(path("alias")));
  EXPECT_EQ(*name, *private_folder_name(path("pool/../pool")));
  EXPECT_NE(*name, *private_folder_name(folder_.string()));
}

TEST_F(Private, WhatIsNoDirectoryIsNamed) {
  std::ofstream(path("plain")).put('x');
  EXPECT_EQ(private_folder_name(path("none")).code(), Code::kNotFound);
  EXPECT_THAT(private_folder_name(path("none")).error().message(), HasSubstr(path("none")));
  EXPECT_EQ(private_folder_name(path("plain")).code(), Code::kInvalidArgument);
}

TEST_F(Private, ConfigurationListensOnNoPortAndPassesTheCheck) {
  const Environment environment{.uid = 1000, .user = "alice", .xdg_runtime_dir = "/run/user/1000"};
  const Result<Config> config = private_config(path("pool"), environment);
  ASSERT_TRUE(config.ok());
  EXPECT_THAT(config->control_listen, IsEmpty());
  EXPECT_THAT(config->data_listen, IsEmpty());
  EXPECT_THAT(config->runtime_dir, StartsWith("/run/user/1000/pmshelf/p-"));
  ASSERT_EQ(config->pools.size(), 1U);
  EXPECT_EQ(config->pools[0].path, path("pool"));
  const Status good = check_config(*config);
  EXPECT_TRUE(good.ok()) << good.error().message();
}

TEST(IdleWatch, EndsAfterTheLastSession) {
  IdleWatch used(10'000, 1000);
  EXPECT_FALSE(used.check(true, 1, 50'000));
  EXPECT_FALSE(used.check(false, 1, 59'999));
  EXPECT_FALSE(used.check(true, 1, 60'000));
  EXPECT_FALSE(used.check(false, 1, 69'999));
  EXPECT_TRUE(used.check(false, 1, 70'000));
}

TEST(IdleWatch, EndsWhenNobodyCame) {
  IdleWatch nobody(10'000, 1000);
  EXPECT_FALSE(nobody.check(false, 0, 1000 + kNobodyCameMs - 1));
  EXPECT_TRUE(nobody.check(false, 0, 1000 + kNobodyCameMs));
}

TEST(IdleWatch, SessionsThatComeAndGoBetweenTwoLooksCount) {
  IdleWatch quick(10'000, 1000);
  EXPECT_FALSE(quick.check(false, 1, 2000));
  EXPECT_FALSE(quick.check(false, 2, 12'000));
  EXPECT_FALSE(quick.check(false, 2, 21'999));
  EXPECT_TRUE(quick.check(false, 2, 22'000));
}

// Runs go_to_background in a process of its own; `body` plays the daemon. Returns the exit status
// of the process that was started and the line on the ready descriptor.
template <class Body>
std::pair<int, std::string> started(Body body) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    const int null_fd = ::open("/dev/null", O_WRONLY);
    ::dup2(null_fd, STDERR_FILENO);
    ReadyReport report = go_to_background(ends[1]);
    body(report);
    std::_Exit(0);
  }
  ::close(ends[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  std::array<char, 256> line{};
  const ssize_t count = ::read(ends[0], line.data(), line.size());
  ::close(ends[0]);
  return {WEXITSTATUS(status),
          std::string(line.data(), static_cast<size_t>(std::max<ssize_t>(count, 0)))};
}

TEST(Background, StarterEndsWithZeroWhenReady) {
  const auto [status, line] =
      started([](ReadyReport& report) { report.ready("/run/x/data.sock"); });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(line, "READY /run/x/data.sock\n");
}

TEST(Background, StarterEndsWithTheStatusOfAFailureOnOneLine) {
  const auto [status, line] =
      started([](ReadyReport& report) { report.failed(75, "pid 7 has it\nreally"); });
  EXPECT_EQ(status, 75);
  EXPECT_EQ(line, "ERROR pid 7 has it really\n");
}

TEST(Background, DeathBeforeTheReportIsAnErrorNotAWait) {
  const auto [status, line] = started([](ReadyReport&) { std::_Exit(0); });
  EXPECT_EQ(status, kExitFailure);
  EXPECT_THAT(line, StartsWith("ERROR pmshelfd died"));
}

TEST(Background, HasASessionOfItsOwnAndNoForeignDescriptors) {
  const int leaked = ::open("/dev/null", O_RDONLY);
  const pid_t our_session = ::getsid(0);
  const auto [status, line] = started([=](ReadyReport& report) {
    const bool detached = ::getsid(0) == ::getpid() && ::getsid(0) != our_session;
    const bool closed = ::fcntl(leaked, F_GETFD) < 0;
    report.ready(std::string(detached ? "detached " : "") + (closed ? "closed" : ""));
  });
  ::close(leaked);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(line, "READY detached closed\n");
}

TEST(Background, LongMessagesAreCutNotLost) {
  const auto [status, line] =
      started([](ReadyReport& report) { report.failed(1, std::string(10'000, 'x')); });
  EXPECT_EQ(status, 1);
  EXPECT_THAT(line, StartsWith("ERROR xxxx"));
}

class Folders : public Private {};

TEST_F(Folders, AreMadeWithTheirModeWhateverTheUmask) {
  const mode_t before = ::umask(0077);
  EXPECT_TRUE(make_folder(path("a/b/c"), 0755).ok());
  ::umask(before);
  struct stat status{};
  ASSERT_EQ(::stat(path("a/b/c").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0755U);
  EXPECT_TRUE(make_folder(path("a/b/c"), 0700).ok());  // taken as it is
  ASSERT_EQ(::stat(path("a/b/c").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0755U);
}

TEST_F(Folders, WhatIsInTheWayIsNamed) {
  std::ofstream(path("plain")).put('x');
  EXPECT_EQ(make_folder(path("plain"), 0700).code(), Code::kInvalidArgument);
  EXPECT_THAT(make_folder(path("plain/x"), 0700).error().message(), HasSubstr(path("plain")));
  EXPECT_EQ(make_folder("relative", 0700).code(), Code::kInvalidArgument);
}

TEST_F(Folders, RuntimeFolderUnderTmpMustBeOursAlone) {
  const std::string top = "/tmp/pmshelf-test-" + std::to_string(::getpid());
  EXPECT_TRUE(make_runtime_folder(top + "/p-1-2", 0700).ok());
  ASSERT_EQ(::chmod(top.c_str(), 0755), 0);
  EXPECT_EQ(make_runtime_folder(top + "/p-1-2", 0700).code(), Code::kPermissionDenied);
  std::filesystem::remove_all(top);
  std::filesystem::create_symlink(path("pool"), top);
  const Status link = make_runtime_folder(top + "/p-1-2", 0700);
  EXPECT_EQ(link.code(), Code::kPermissionDenied);
  EXPECT_THAT(link.error().message(), HasSubstr(top));
  std::filesystem::remove(top);
}

}  // namespace
}  // namespace pmshelf::app
