// Promises of locks on files: one holder, named; gone with the descriptor and the process.
#include "server/pool/file_lock.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "temporary_directory.h"

namespace pmshelf::pool {
namespace {

class FileLockTest : public ::testing::Test {
 protected:
  FileLockTest() : fd_(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY)) {}

  // Runs `hold` in a child, which then sleeps until told to end.
  template <class F>
  pid_t hold_in_child(F&& hold) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const bool held = hold();
      (void)!::write(ready[1], held ? "y" : "n", 1);
      for (;;) ::pause();
    }
    char answer = 0;
    EXPECT_EQ(::read(ready[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
    return child;
  }
  static void end(pid_t child) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }

  TemporaryDirectory directory_;
  UniqueFd fd_;
};

using LockFile = FileLockTest;
using LockPoolDirectory = FileLockTest;

TEST_F(LockFile, SecondHolderOfAnyNameIsRefusedUntilTheFirstIsGone) {
  directory_.write("a.map", "x");
  std::filesystem::create_hard_link(directory_ / "a.map", directory_ / "b.map");
  auto first = open_locked(fd_.get(), "a.map");
  ASSERT_TRUE(first.ok());
  const auto second = open_locked(fd_.get(), "b.map");
  ASSERT_EQ(second.code(), Code::kBusy);
  EXPECT_NE(second.error().message().find("b.map"), std::string::npos);
  first->reset();
  EXPECT_TRUE(open_locked(fd_.get(), "b.map").ok());
}

TEST_F(LockFile, RefusalNamesTheOtherProcess) {
  directory_.write("a.map", "x");
  const pid_t child = hold_in_child([&] {
    static auto lock = open_locked(fd_.get(), "a.map");
    return lock.ok();
  });
  const auto refused = open_locked(fd_.get(), "a.map");
  ASSERT_EQ(refused.code(), Code::kBusy);
  EXPECT_NE(refused.error().message().find("pid " + std::to_string(child)), std::string::npos)
      << refused.error().message();
  end(child);
  EXPECT_TRUE(open_locked(fd_.get(), "a.map").ok());
}

TEST_F(LockFile, OnlyRegularFilesAndNoLinks) {
  ASSERT_EQ(::mkfifo((directory_ / "f.map").c_str(), 0600), 0);
  std::filesystem::create_directory(directory_ / "d.map");
  directory_.write("a.map", "x");
  std::filesystem::create_symlink("a.map", directory_ / "l.map");
  EXPECT_EQ(open_locked(fd_.get(), "f.map").code(), Code::kInvalidArgument);
  EXPECT_EQ(open_locked(fd_.get(), "d.map").code(), Code::kInvalidArgument);
  EXPECT_EQ(open_locked(fd_.get(), "l.map").code(), Code::kInvalidArgument);
  EXPECT_EQ(open_locked(fd_.get(), "none.map").code(), Code::kNotFound);
}

TEST_F(LockPoolDirectory, FileHoldsPidAndNoteAndStaysBehind) {
  auto lock = lock_pool_directory(fd_.get(), directory_.path(), "/run/x/data.sock", true);
  ASSERT_TRUE(lock.ok());
  const std::string text = std::to_string(::getpid()) + "\n/run/x/data.sock\n";
  EXPECT_EQ(directory_.read(kPoolLockName), text);
  lock->reset();
  EXPECT_EQ(directory_.read(kPoolLockName), text);
  // A shorter text replaces all of a longer one.
  ASSERT_TRUE(lock_pool_directory(fd_.get(), directory_.path(), "s", true).ok());
  EXPECT_EQ(directory_.read(kPoolLockName), std::to_string(::getpid()) + "\ns\n");
}

TEST_F(LockPoolDirectory, RefusalRepeatsPidAndNote) {
  const pid_t child = hold_in_child([&] {
    static auto lock = lock_pool_directory(fd_.get(), directory_.path(), "/run/y/data.sock", true);
    return lock.ok();
  });
  for (const bool writable : {true, false}) {
    const auto refused = lock_pool_directory(fd_.get(), directory_.path(), "mine", writable);
    ASSERT_EQ(refused.code(), Code::kBusy);
    const std::string& message = refused.error().message();
    EXPECT_NE(message.find("pid " + std::to_string(child)), std::string::npos) << message;
    EXPECT_NE(message.find("/run/y/data.sock"), std::string::npos) << message;
    EXPECT_NE(message.find(directory_.path()), std::string::npos) << message;
  }
  EXPECT_EQ(directory_.read(kPoolLockName), std::to_string(child) + "\n/run/y/data.sock\n");
  end(child);
  EXPECT_TRUE(lock_pool_directory(fd_.get(), directory_.path(), "mine", true).ok());
}

TEST_F(LockPoolDirectory, ReadOnlyMakesNothing) {
  const auto lock = lock_pool_directory(fd_.get(), directory_.path(), "n", false);
  ASSERT_TRUE(lock.ok());
  EXPECT_FALSE(*lock);
  EXPECT_FALSE(directory_.exists(kPoolLockName));
}

TEST_F(LockPoolDirectory, AFifoInItsPlaceIsAnErrorAndNoHang) {
  ASSERT_EQ(::mkfifo((directory_ / kPoolLockName).c_str(), 0600), 0);
  EXPECT_FALSE(lock_pool_directory(fd_.get(), directory_.path(), "n", true).ok());
}

TEST(SystemError, ClassesByWhatTheCallerDoes) {
  EXPECT_EQ(system_error(ENOSPC, "x").code(), Code::kNoSpace);
  EXPECT_EQ(system_error(EDQUOT, "x").code(), Code::kNoSpace);
  EXPECT_EQ(system_error(EACCES, "x").code(), Code::kPermissionDenied);
  EXPECT_EQ(system_error(EROFS, "x").code(), Code::kReadOnly);
  EXPECT_EQ(system_error(ENOENT, "x").code(), Code::kNotFound);
  EXPECT_EQ(system_error(EEXIST, "x").code(), Code::kAlreadyExists);
  EXPECT_EQ(system_error(EIO, "x").code(), Code::kIo);
  const Error descriptors = system_error(EMFILE, "cannot open y");
  EXPECT_EQ(descriptors.code(), Code::kResourceExhausted);
  EXPECT_NE(descriptors.message().find("LimitNOFILE"), std::string::npos);
}

}  // namespace
}  // namespace pmshelf::pool
