// Promises when the file system is full, on a tmpfs of 1 MiB that only a child process sees.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/media/real_media.h"
#include "tests/unit/media/test_support.h"

namespace pmshelf::media {
namespace {

constexpr uint64_t kFileSystemBytes = 1 << 20;
constexpr int kNotPermitted = 77;

uint64_t file_bytes(const std::string& path) {
  struct stat status = {};
  return stat(path.c_str(), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

bool mount_small_tmpfs(const std::string& path) {
  const bool alone = unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
  return alone && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("none", path.c_str(), "tmpfs", 0, "size=1m") == 0;
}

// Runs `check` in a child below a full-size directory; it returns what went wrong, or "".
void in_small_file_system(std::string (*check)(const std::string& directory)) {
  TemporaryDirectory directory("/dev/shm");
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!mount_small_tmpfs(directory.path())) _exit(kNotPermitted);
    const std::string problem = check(directory.path());
    if (!problem.empty()) fprintf(stderr, "in the child: %s\n", problem.c_str());
    _exit(problem.empty() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  if (WEXITSTATUS(status) == kNotPermitted) GTEST_SKIP() << "no right to mount a tmpfs here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

std::string check_create(const std::string& directory) {
  const std::string path = directory + "/media";
  const auto media =
      open_file({.path = path, .create = true, .create_bytes = 4 * kFileSystemBytes});
  if (media.code() != Code::kNoSpace) return "preallocated creation was not refused";
  if (access(path.c_str(), F_OK) == 0) return "the file of a failed creation is left";
  return "";
}

TEST(FullFileSystem, CreationOfWhatDoesNotFitIsNoSpaceAndLeavesNoFile) {
  in_small_file_system(check_create);
}

std::string check_growth(const std::string& directory) {
  const std::string path = directory + "/media";
  auto media = open_file({.path = path, .create = true, .create_bytes = kFileSystemBytes / 2});
  if (!media.ok()) return media.error().to_string();
  if (!(*media)->store(0, bytes_of("kept")).ok()) return "store failed";
  if ((*media)->resize(4 * kFileSystemBytes).code() != Code::kNoSpace) return "growth not refused";
  if (file_bytes(path) != kFileSystemBytes / 2) return "the file changed its length";
  if ((*media)->bytes() != kFileSystemBytes / 2) return "the media changed its length";
  if (read_text(**media, 0, 4) != "kept") return "the bytes changed";
  return "";
}

TEST(FullFileSystem, GrowthIsNoSpaceWithTheFileAsItWas) { in_small_file_system(check_growth); }

std::string check_sparse(const std::string& directory) {
  constexpr uint64_t kStep = 64 << 10;
  auto media = open_file({.path = directory + "/media",
                          .create = true,
                          .create_bytes = 4 * kFileSystemBytes,
                          .preallocate = false});
  if (!media.ok()) return media.error().to_string();
  const std::string step(kStep, 'x');
  uint64_t offset = 0;
  Status status;
  while (offset < 4 * kFileSystemBytes && status.ok()) {
    status = (*media)->store(offset, bytes_of(step));
    offset += kStep;
  }
  if (status.code() != Code::kIo) return "a store without space did not fail as it should";
  if (read_text(**media, 0, kStep) != step) return "what was stored before is gone";
  if (!(*media)->discard(0, kFileSystemBytes / 2).ok()) return "discard failed";
  if (!(*media)->store(offset - kStep, bytes_of(step)).ok()) return "no store after a discard";
  return "";
}

TEST(FullFileSystem, StoreIntoAHoleIsAnErrorNotDeathAndDiscardHelps) {
  in_small_file_system(check_sparse);
}

}  // namespace
}  // namespace pmshelf::media
