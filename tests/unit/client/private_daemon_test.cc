// With a shell script in the place of pmshelfd.
#include "client/src/private_daemon.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/unit/client/listener.h"
#include "tests/unit/client/temp_folder.h"

namespace pmshelf::client {
namespace {

class PrivateDaemon : public testing::Test {
 protected:
  PrivateDaemon() : pool_(folder_.path() + "/pool"), socket_(folder_.path() + "/data.sock") {
    std::filesystem::create_directory(pool_);
  }
  void write_lock_file(const std::string& text) { folder_.file("pool/pmshelfd.lock", text); }
  // Appends its arguments to the log, then does what `body` says; $5 is the descriptor's number.
  std::string daemon(const std::string& body) {
    return folder_.file(
        "pmshelfd", "#!/bin/sh\necho \"$@\" >>" + folder_.path() + "/log\n" + body + "\n", 0755);
  }
  std::string log() {
    std::ifstream file(folder_.path() + "/log");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  Result<std::string> find(const std::string& program, std::chrono::milliseconds timeout) {
    return find_or_start_daemon(pool_, program, {}, std::chrono::steady_clock::now() + timeout);
  }
  Result<std::string> find(const std::string& program) {
    return find(program, std::chrono::seconds(20));
  }

  TempFolder folder_;
  const std::string pool_, socket_;
};

TEST_F(PrivateDaemon, ThatServesAlreadyIsUsed) {
  Listener listener(socket_);
  write_lock_file("1\n" + socket_ + "\n");
  auto found = find(daemon("exit 1"));
  ASSERT_TRUE(found.ok()) << found.error().to_string();
  EXPECT_EQ(*found, socket_);
  EXPECT_EQ(log(), "");
}

TEST_F(PrivateDaemon, IsStartedWhereNoneServes) {
  write_lock_file("1\n" + folder_.path() + "/dead.sock\n");
  auto found = find(daemon("echo \"READY " + socket_ + "\" >&3"));
  ASSERT_TRUE(found.ok()) << found.error().to_string();
  EXPECT_EQ(*found, socket_);
  EXPECT_EQ(log(), "--private " + pool_ + " --ready-fd 3\n");
}

TEST_F(PrivateDaemon, LoserOfARaceLooksAgain) {
  // The script finds the lock taken; meanwhile the winner has written its socket.
  Listener listener(socket_);
  const std::string lock = pool_ + "/pmshelfd.lock";
  auto found = find(daemon("printf '1\\n" + socket_ + "\\n' >" + lock +
                           "; echo 'ERROR held by pid 1' >&3; exit 75"));
  ASSERT_TRUE(found.ok()) << found.error().to_string();
  EXPECT_EQ(*found, socket_);
}

TEST_F(PrivateDaemon, HeldByOneThatNeverAnswersEndsAtTheDeadline) {
  const auto found =
      find(daemon("echo 'ERROR held by pid 1' >&3; exit 75"), std::chrono::milliseconds(500));
  // The second when the deadline falls into a start.
  EXPECT_TRUE(found.code() == Code::kUnavailable || found.code() == Code::kDeadlineExceeded);
}

TEST_F(PrivateDaemon, ItsOwnWordsArePassedOnAndItIsTriedOnce) {
  const auto found = find(daemon("echo 'ERROR pool: disk is on fire' >&3; exit 1"));
  ASSERT_EQ(found.code(), Code::kUnavailable);
  EXPECT_NE(found.error().message().find("disk is on fire"), std::string::npos);
  EXPECT_NE(found.error().message().find(pool_), std::string::npos);
  EXPECT_EQ(log(), "--private " + pool_ + " --ready-fd 3\n");
}

TEST_F(PrivateDaemon, DyingSilentlyIsToldWithItsStandardError) {
  auto found = find(daemon("echo 'libfoo.so: not found' >&2; exit 127"));
  ASSERT_EQ(found.code(), Code::kUnavailable);
  EXPECT_NE(found.error().message().find("libfoo.so: not found"), std::string::npos);
  found = find(daemon("exit 3"));
  ASSERT_EQ(found.code(), Code::kUnavailable);
  EXPECT_NE(found.error().message().find("status 3"), std::string::npos);
}

TEST_F(PrivateDaemon, NotReadyInTimeIsAnError) {
  const auto begun = std::chrono::steady_clock::now();
  const auto found = find(daemon("exec sleep 3"), std::chrono::milliseconds(200));
  EXPECT_EQ(found.code(), Code::kDeadlineExceeded);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(2));
}

TEST_F(PrivateDaemon, InheritsNoDescriptorButTheThree) {
  UniqueFd leak(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC
  auto found = find(daemon("ls /proc/self/fd >" + folder_.path() + "/fds; echo READY /x >&3"));
  ASSERT_TRUE(found.ok());
  std::ifstream file(folder_.path() + "/fds");
  const std::string fds{std::istreambuf_iterator<char>(file), {}};
  // 0 to 3, and ls's own.
  EXPECT_EQ(fds, "0\n1\n2\n3\n4\n");
}

TEST_F(PrivateDaemon, MissingProgramOrDirectoryIsNamed) {
  const auto no_program = find(folder_.path() + "/nothing");
  EXPECT_EQ(no_program.code(), Code::kInvalidArgument);
  const auto no_directory = find_or_start_daemon(folder_.path() + "/none", "", {}, {});
  ASSERT_EQ(no_directory.code(), Code::kInvalidArgument);
  EXPECT_NE(no_directory.error().message().find("/none"), std::string::npos);
}

TEST_F(PrivateDaemon, ProgramIsFoundOnThePath) {
  std::filesystem::create_directory(folder_.path() + "/empty");
  const std::string program = daemon("exit 0");
  Environment environment;
  environment.path = ":" + folder_.path() + "/empty:" + folder_.path();
  auto found = find_daemon_program("", environment);
  // Build trees may hold the real one beside this test; then that is found first.
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(*found == program || !found->starts_with(folder_.path())) << *found;
}

TEST_F(PrivateDaemon, LockFileWithoutAUsableSocketIsLikeNone) {
  for (const std::string& text :
       {std::string(), std::string("1"), std::string("1\n"), std::string("1\nrelative.sock\n"),
        "1\n/" + std::string(200, 'x') + "\n"}) {
    write_lock_file(text);
    EXPECT_EQ(socket_in_lock_file(pool_), "") << text;
  }
  write_lock_file("12\n/run/d/data.sock");
  EXPECT_EQ(socket_in_lock_file(pool_), "/run/d/data.sock");
}

}  // namespace
}  // namespace pmshelf::client
