// Promises of the mirror: the file behind holds what was flushed and drained, or evicted, and
// nothing else, whatever happens to the process.
#include "common/media/mirror_media.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "common/media/faulty_media.h"
#include "common/media/real_media.h"
#include "common/media/recording_media.h"
#include "tests/unit/media/test_support.h"

namespace pmshelf::media {
namespace {

constexpr uint64_t kBytes = 1 << 20;
constexpr MirrorOptions kNoEviction = {.evict_ppm = 0};

class MirrorMedia : public ::testing::Test {
 protected:
  std::unique_ptr<Media> open(const MirrorOptions& options, bool create = true) {
    auto file = open_file({.path = path_,
                           .create = create,
                           .create_bytes = create ? kBytes : 0,
                           .preallocate = false});
    EXPECT_OK(file);
    auto mirror = open_mirror(*std::move(file), options);
    EXPECT_OK(mirror);
    return *std::move(mirror);
  }

  // What is in the file now, past every cache of ours.
  std::string in_file(uint64_t offset, uint64_t length) {
    std::string text(length, '?');
    const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(pread(fd, text.data(), length, static_cast<off_t>(offset)),
              static_cast<ssize_t>(length));
    close(fd);
    return text;
  }

  TemporaryDirectory directory_{"/dev/shm"};
  std::string path_ = directory_.file("media");
};

const std::string kNothing(8, '\0');

TEST_F(MirrorMedia, StoreReachesTheFileByFlushAndDrainOnly) {
  auto mirror = open(kNoEviction);
  ASSERT_OK(mirror->store(0, bytes_of("durable!")));
  ASSERT_OK(mirror->store(128, bytes_of("flushed!")));
  ASSERT_OK(mirror->store(256, bytes_of("stored!!")));
  ASSERT_OK(mirror->flush(0, 8));
  EXPECT_EQ(in_file(0, 8), kNothing);
  ASSERT_OK(mirror->drain());
  ASSERT_OK(mirror->flush(128, 8));
  EXPECT_EQ(in_file(0, 8), "durable!");
  EXPECT_EQ(in_file(128, 8), kNothing);
  EXPECT_EQ(in_file(256, 8), kNothing);
  EXPECT_EQ(read_text(*mirror, 256, 8), "stored!!");
}

TEST_F(MirrorMedia, ReceivedBytesReachTheFileByFlushAndDrainOnly) {
  auto mirror = open(kNoEviction);
  std::memcpy(mirror->mapping()->data + 512, "received", 8);
  ASSERT_OK(mirror->drain());
  EXPECT_EQ(in_file(512, 8), kNothing);
  ASSERT_OK(mirror->flush(512, 8));
  ASSERT_OK(mirror->drain());
  EXPECT_EQ(in_file(512, 8), "received");
}

TEST_F(MirrorMedia, FlushTakesWhatTheLineHoldsAtThatMoment) {
  auto mirror = open(kNoEviction);
  ASSERT_OK(mirror->store(0, bytes_of("at flush")));
  ASSERT_OK(mirror->flush(0, 8));
  ASSERT_OK(mirror->store(0, bytes_of("later!!!")));
  ASSERT_OK(mirror->drain());
  EXPECT_EQ(in_file(0, 8), "at flush");
}

TEST_F(MirrorMedia, LaterFlushOfALineWins) {
  auto mirror = open(kNoEviction);
  for (const char* text : {"first!!!", "second!!", "third!!!"}) {
    ASSERT_OK(mirror->store(0, bytes_of(text)));
    ASSERT_OK(mirror->flush(0, 8));
  }
  ASSERT_OK(mirror->drain());
  EXPECT_EQ(in_file(0, 8), "third!!!");
}

TEST_F(MirrorMedia, WholeLinesTravelAndNoOthers) {
  auto mirror = open(kNoEviction);
  ASSERT_OK(mirror->store(0, bytes_of(std::string(256, 'x'))));
  ASSERT_OK(mirror->flush(100, 1));
  ASSERT_OK(mirror->drain());
  EXPECT_EQ(in_file(0, 256), std::string(64, '\0') + std::string(64, 'x') + std::string(128, '\0'));
}

TEST_F(MirrorMedia, PageFilesTravelByPages) {
  TemporaryDirectory disk(PMSHELF_TEST_SCRATCH);
  path_ = disk.file("media");
  auto mirror = open(kNoEviction);
  ASSERT_EQ(mirror->flush_granularity_bytes(), 4096u);
  ASSERT_OK(mirror->store(0, bytes_of(std::string(12288, 'x'))));
  ASSERT_OK(mirror->flush(5000, 1));
  ASSERT_OK(mirror->drain());
  EXPECT_EQ(in_file(0, 12288),
            std::string(4096, '\0') + std::string(4096, 'x') + std::string(4096, '\0'));
}

TEST_F(MirrorMedia, EvictionBringsStoredLinesToTheFileAndNoOthers) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  auto mirror = open({.evict_ppm = 100'000, .seed = kSeed});
  for (uint64_t line = 0; line < 1000; line += 2) {
    ASSERT_OK(mirror->store8(line * 64, ~uint64_t{0}));
  }
  int evicted = 0;
  for (uint64_t line = 0; line < 1000; ++line) {
    const bool there = in_file(line * 64, 8) != kNothing;
    if (line % 2 == 1) {
      EXPECT_FALSE(there) << line;
    }
    evicted += there ? 1 : 0;
  }
  EXPECT_GT(evicted, 20);  // 50 expected of 500
  EXPECT_LT(evicted, 100);
}

TEST_F(MirrorMedia, ChanceOfZeroEvictsNothing) {
  auto mirror = open(kNoEviction);
  for (uint64_t line = 0; line < 1000; ++line) ASSERT_OK(mirror->store8(line * 64, 1));
  EXPECT_EQ(in_file(0, 64000), std::string(64000, '\0'));
}

TEST_F(MirrorMedia, FlushedLinesAreNoLongerEvicted) {
  auto mirror = open({.evict_ppm = 1'000'000});
  ASSERT_OK(mirror->store8(0, 1));  // evicted at once
  std::memcpy(mirror->mapping()->data, "received", 8);
  ASSERT_OK(mirror->flush(0, 8));
  ASSERT_OK(mirror->store8(640, 2));
  EXPECT_EQ(in_file(0, 8), std::string("\1\0\0\0\0\0\0\0", 8));
}

TEST_F(MirrorMedia, ZeroReachesTheFileLikeAStore) {
  for (const uint64_t length : {uint64_t{100}, uint64_t{300000}}) {
    path_ = directory_.file("zero" + std::to_string(length));
    auto mirror = open(kNoEviction);
    ASSERT_OK(mirror->store(0, bytes_of(std::string(kBytes, 'x'))));
    ASSERT_OK(mirror->flush(0, kBytes));
    ASSERT_OK(mirror->drain());
    ASSERT_OK(mirror->zero(64, length));
    EXPECT_EQ(in_file(0, kBytes), std::string(kBytes, 'x'));
    ASSERT_OK(mirror->flush(64, length));
    ASSERT_OK(mirror->drain());
    std::string expected(kBytes, 'x');
    expected.replace(64, length, length, '\0');
    EXPECT_EQ(in_file(0, kBytes), expected);
  }
}

TEST_F(MirrorMedia, ResizeIsOfTheFileAtOnceButNotOfUnflushedBytes) {
  auto mirror = open(kNoEviction);
  ASSERT_OK(mirror->store(0, bytes_of("unflush!")));
  ASSERT_OK(mirror->store(64, bytes_of("flushed!")));
  ASSERT_OK(mirror->flush(64, 8));
  ASSERT_OK(mirror->resize(2 * kBytes));
  EXPECT_EQ(std::filesystem::file_size(path_), 2 * kBytes);
  EXPECT_EQ(in_file(0, 8), kNothing);
  ASSERT_OK(mirror->store(2 * kBytes - 8, bytes_of("new end!")));
  ASSERT_OK(mirror->flush(2 * kBytes - 8, 8));
  ASSERT_OK(mirror->drain());
  EXPECT_EQ(in_file(2 * kBytes - 8, 8), "new end!");
  ASSERT_OK(mirror->resize(4096));
  EXPECT_EQ(std::filesystem::file_size(path_), 4096u);
  EXPECT_EQ(in_file(64, 8), "flushed!");
}

TEST_F(MirrorMedia, WhatWasFlushedBeforeAShrinkIsDrainedAsFarAsItIsLeft) {
  auto mirror = open(kNoEviction);
  ASSERT_OK(mirror->store(0, bytes_of(std::string(kBytes, 'x'))));
  ASSERT_OK(mirror->flush(0, kBytes));
  ASSERT_OK(mirror->resize(4096));
  EXPECT_OK(mirror->drain());
  EXPECT_EQ(in_file(0, 4096), std::string(4096, 'x'));
}

TEST_F(MirrorMedia, DiscardIsOfImageAndFile) {
  auto mirror = open(kNoEviction);
  ASSERT_OK(mirror->store(0, bytes_of(std::string(kBytes, 'x'))));
  ASSERT_OK(mirror->flush(0, kBytes));
  ASSERT_OK(mirror->drain());
  ASSERT_OK(mirror->discard(0, kBytes / 2));
  EXPECT_EQ(in_file(0, kBytes / 2), std::string(kBytes / 2, '\0'));
  EXPECT_EQ(read_text(*mirror, 0, kBytes / 2), std::string(kBytes / 2, '\0'));
}

TEST_F(MirrorMedia, ImageBeginsWithTheFile) {
  {
    auto mirror = open(kNoEviction);
    ASSERT_OK(mirror->store(70000, bytes_of("from before")));
    ASSERT_OK(mirror->flush(70000, 11));
    ASSERT_OK(mirror->drain());
  }
  auto mirror = open(kNoEviction, /*create=*/false);
  EXPECT_EQ(read_text(*mirror, 70000, 11), "from before");
  EXPECT_EQ(mirror->bytes(), kBytes);
  EXPECT_EQ(mirror->name(), path_);
  EXPECT_EQ(mirror->storage_class(), StorageClass::kVolatile);
}

TEST_F(MirrorMedia, DescriptorShowsTheImageToOtherProcesses) {
  auto mirror = open(kNoEviction);
  void* const address = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, mirror->fd(), 0);
  ASSERT_NE(address, MAP_FAILED);
  auto* const theirs = static_cast<char*>(address);
  ASSERT_OK(mirror->store(8, bytes_of("ours")));
  EXPECT_EQ(std::memcmp(theirs + 8, "ours", 4), 0);
  std::memcpy(theirs + 16, "yours", 5);
  EXPECT_EQ(read_text(*mirror, 16, 5), "yours");
  EXPECT_EQ(in_file(8, 8), kNothing);
  munmap(address, kBytes);
}

TEST_F(MirrorMedia, ImageTruncatedByAPeerGivesErrorsNotDeath) {
  auto mirror = open({.evict_ppm = 1'000'000});
  ASSERT_EQ(ftruncate(mirror->fd(), 4096), 0);
  EXPECT_EQ(mirror->store(8192, bytes_of("gone")).code(), Code::kIo);
  EXPECT_EQ(mirror->store8(8192, 1).code(), Code::kIo);
  std::string text(8, '?');
  EXPECT_EQ(mirror->read(8192, std::as_writable_bytes(std::span(text))).code(), Code::kIo);
  EXPECT_OK(mirror->store(0, bytes_of("here")));
}

TEST(MirrorFailure, FailedDrainFailsEveryLaterOne) {
  FaultPlan plan{.code = Code::kIo};
  auto mirror = open_mirror(
      make_faulty_media(make_memory_media(std::vector<std::byte>(4096)), plan), kNoEviction);
  ASSERT_OK(mirror);
  ASSERT_OK((*mirror)->store(0, bytes_of("lost")));
  ASSERT_OK((*mirror)->flush(0, 4));
  plan.fail_at_call = plan.calls;
  EXPECT_EQ((*mirror)->drain().code(), Code::kIo);
  EXPECT_EQ((*mirror)->drain().code(), Code::kIo);
}

TEST(MirrorFailure, FileThatCannotGrowLeavesTheMirrorAsItWas) {
  FaultPlan plan{.code = Code::kNoSpace};
  auto mirror = open_mirror(
      make_faulty_media(make_memory_media(std::vector<std::byte>(4096)), plan), kNoEviction);
  ASSERT_OK(mirror);
  plan.fail_at_call = plan.calls;
  EXPECT_EQ((*mirror)->resize(8192).code(), Code::kNoSpace);
  EXPECT_EQ((*mirror)->bytes(), 4096u);
  EXPECT_OK((*mirror)->resize(8192));
  EXPECT_EQ(read_text(**mirror, 4096, 4096), std::string(4096, '\0'));
}

TEST_F(MirrorMedia, MoreThanItsBufferIsDrainedByTheFlush) {
  constexpr uint64_t kMuch = 65 << 20;
  auto mirror = open(kNoEviction);
  ASSERT_OK(mirror->resize(kMuch));
  ASSERT_OK(mirror->store(0, bytes_of(std::string(kMuch, 'x'))));
  ASSERT_OK(mirror->flush(0, kMuch));
  EXPECT_EQ(in_file(kMuch - 8, 8), "xxxxxxxx");
}

TEST_F(MirrorMedia, KilledProcessLeavesExactlyWhatWasFlushedAndDrained) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto mirror = open(kNoEviction);
    bool ok = mirror->store(0, bytes_of("durable!")).ok() && mirror->flush(0, 8).ok() &&
              mirror->drain().ok();
    ok = ok && mirror->store(128, bytes_of("flushed!")).ok() && mirror->flush(128, 8).ok();
    ok = ok && mirror->store(256, bytes_of("stored!!")).ok();
    std::memcpy(mirror->mapping()->data + 512, "received", 8);
    if (ok) kill(getpid(), SIGKILL);
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the child's calls failed";
  EXPECT_EQ(in_file(0, 8), "durable!");
  EXPECT_EQ(in_file(8, kBytes - 8), std::string(kBytes - 8, '\0'));
}

TEST_F(MirrorMedia, NoDrainReturnsBeforeItsOwnLineIsInTheFile) {
  auto mirror = open(kNoEviction);
  auto file = open_file({.path = path_, .read_only = true});
  ASSERT_OK(file);
  std::atomic<int> early = 0;
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint64_t round = 1; round <= 300; ++round) {
        const uint64_t offset = thread * 64;
        uint64_t seen = 0;
        const bool ok = mirror->store8(offset, round).ok() && mirror->flush(offset, 8).ok() &&
                        mirror->drain().ok() &&
                        (*file)->read(offset, std::as_writable_bytes(std::span(&seen, 1))).ok();
        if (!ok || seen != round) ++early;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(early, 0);
}

}  // namespace
}  // namespace pmshelf::media
