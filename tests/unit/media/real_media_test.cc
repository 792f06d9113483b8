// Promises of files through libpmem2: what may be opened, what a flush is worth, who is told when
// the file system fails.
#include "common/media/real_media.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpmem2.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "common/media/medium.h"
#include "tests/unit/media/test_support.h"

// The calls by which the media make things durable, counted, and failing when told to.
namespace {
std::atomic<int> fsync_calls = 0;
std::atomic<int> msync_calls = 0;
std::atomic<int> sync_error = 0;       // errno of the next fsync or msync
std::atomic<int> fallocate_error = 0;  // of the next posix_fallocate, after it did its work
std::atomic<int> seek_data_calls = 0;
std::atomic<int> seek_hole_calls = 0;
}  // namespace

extern "C" off_t lseek(int fd, off_t offset, int whence) {
  if (whence == SEEK_DATA) ++seek_data_calls;
  if (whence == SEEK_HOLE) ++seek_hole_calls;
  return syscall(SYS_lseek, fd, offset, whence);
}

extern "C" int fsync(int fd) {
  ++fsync_calls;
  if (const int error = sync_error.exchange(0); error != 0) {
    errno = error;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fsync, fd));
}

extern "C" int msync(void* address, size_t length, int flags) {
  ++msync_calls;
  if (const int error = sync_error.exchange(0); error != 0) {
    errno = error;
    return -1;
  }
  return static_cast<int>(syscall(SYS_msync, address, length, flags));
}

extern "C" int posix_fallocate(int fd, off_t offset, off_t length) {
  if (syscall(SYS_fallocate, fd, 0, offset, length) != 0) return errno;
  return fallocate_error.exchange(0);
}

namespace pmshelf::media {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kBytes = 1 << 20;

uint64_t file_bytes(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(stat(path.c_str(), &status), 0);
  return static_cast<uint64_t>(status.st_size);
}

uint64_t allocated_bytes(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(stat(path.c_str(), &status), 0);
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

class RealMedia : public ::testing::Test {
 protected:
  void SetUp() override { unsetenv("PMEM2_FORCE_GRANULARITY"); }
  void TearDown() override { unsetenv("PMEM2_FORCE_GRANULARITY"); }

  std::unique_ptr<Media> must_open(const OpenFile& options) {
    auto media = open_file(options);
    EXPECT_OK(media);
    return media.ok() ? *std::move(media) : nullptr;
  }
  std::unique_ptr<Media> create(const TemporaryDirectory& directory, bool preallocate = true,
                                uint64_t bytes = kBytes) {
    return must_open({.path = directory.file("media"),
                      .create = true,
                      .create_bytes = bytes,
                      .preallocate = preallocate});
  }
  Error open_error(const std::string& path) {
    auto media = open_file({.path = path});
    EXPECT_FALSE(media.ok()) << path;
    return media.ok() ? Error(Code::kOk, "") : media.error();
  }

  TemporaryDirectory tmpfs_{"/dev/shm"};
  TemporaryDirectory disk_{PMSHELF_TEST_SCRATCH};
};

// ---- what may be opened

TEST_F(RealMedia, OnlyFilesAndDaxDevicesAreOpenedAndTheMessageNamesThePath) {
  const std::string fifo = disk_.file("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string link = disk_.file("dangling");
  ASSERT_EQ(symlink("nowhere", link.c_str()), 0);
  const std::string name = disk_.file("socket");
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  ASSERT_LT(name.size(), sizeof(address.sun_path));
  name.copy(address.sun_path, name.size());
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  for (const std::string& path :
       {fifo, link, name, disk_.path(), std::string("/dev/null"), std::string("/dev/zero")}) {
    const Error error = open_error(path);
    EXPECT_EQ(error.code(), Code::kInvalidArgument) << error.to_string();
    EXPECT_THAT(error.message(), HasSubstr(path));
  }
  close(listener);
}

TEST_F(RealMedia, MissingFileIsNotFoundAndEmptyFileIsCorrupt) {
  EXPECT_EQ(open_error(disk_.file("missing")).code(), Code::kNotFound);
  const std::string empty = disk_.file("empty");
  close(open(empty.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  EXPECT_EQ(open_error(empty).code(), Code::kCorrupt);
}

TEST_F(RealMedia, LinkToAFileIsFollowed) {
  create(disk_);
  const std::string link = disk_.file("link");
  ASSERT_EQ(symlink("media", link.c_str()), 0);
  EXPECT_EQ(must_open({.path = link})->bytes(), kBytes);
}

TEST_F(RealMedia, CreateNeverTouchesWhatIsThere) {
  create(disk_);
  const auto again = open_file({.path = disk_.file("media"), .create = true, .create_bytes = 4096});
  EXPECT_EQ(again.code(), Code::kAlreadyExists);
  EXPECT_EQ(file_bytes(disk_.file("media")), kBytes);
  EXPECT_EQ(open_file({.path = disk_.file("none"), .create = true}).code(), Code::kInvalidArgument);
}

TEST_F(RealMedia, CreatedFileHasItsModeLengthBlocksAndIsSynced) {
  const int before = fsync_calls;
  auto media = must_open(
      {.path = disk_.file("media"), .create = true, .create_bytes = kBytes, .create_mode = 0640});
  EXPECT_GT(fsync_calls, before);
  struct stat status = {};
  ASSERT_EQ(fstat(media->fd(), &status), 0);
  const mode_t mask = umask(0);
  umask(mask);
  EXPECT_EQ(status.st_mode & 07777, 0640u & ~mask);
  EXPECT_GE(static_cast<uint64_t>(status.st_blocks) * 512, kBytes);
  EXPECT_NE(fcntl(media->fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(RealMedia, FailedCreateLeavesNoFile) {
  fallocate_error = ENOSPC;
  EXPECT_EQ(open_file({.path = disk_.file("a"), .create = true, .create_bytes = kBytes}).code(),
            Code::kNoSpace);
  EXPECT_NE(access(disk_.file("a").c_str(), F_OK), 0);
  sync_error = EIO;
  EXPECT_EQ(open_file({.path = disk_.file("b"), .create = true, .create_bytes = kBytes}).code(),
            Code::kIo);
  EXPECT_NE(access(disk_.file("b").c_str(), F_OK), 0);
}

TEST_F(RealMedia, OddLengthIsServedToTheLastByte) {
  auto media = create(disk_, true, 10001);
  EXPECT_OK(media->store(10000, bytes_of("x")));
  EXPECT_EQ(media->store(10000, bytes_of("xy")).code(), Code::kOutOfRange);
  EXPECT_EQ(read_text(*media, 10000, 1), "x");
}

TEST_F(RealMedia, ReadOnlyRefusesEveryChange) {
  ASSERT_OK(create(disk_)->store(0, bytes_of("kept")));
  auto media = must_open({.path = disk_.file("media"), .read_only = true});
  EXPECT_EQ(media->store(0, bytes_of("lost")).code(), Code::kReadOnly);
  EXPECT_EQ(media->store8(0, 1).code(), Code::kReadOnly);
  EXPECT_EQ(media->zero(0, 8).code(), Code::kReadOnly);
  EXPECT_EQ(media->zero(0, 1 << 19).code(), Code::kReadOnly);
  EXPECT_EQ(media->resize(2 * kBytes).code(), Code::kReadOnly);
  EXPECT_FALSE(media->can_discard());
  EXPECT_OK(media->flush(0, 8));
  EXPECT_OK(media->drain());
  EXPECT_EQ(read_text(*media, 0, 4), "kept");
  EXPECT_EQ(fcntl(media->fd(), F_GETFL) & O_ACCMODE, O_RDONLY);
}

TEST_F(RealMedia, BytesAreThereAfterReopening) {
  {
    auto media = create(disk_);
    ASSERT_OK(media->store(5000, bytes_of("persistent")));
    ASSERT_OK(media->flush(5000, 10));
    ASSERT_OK(media->drain());
  }
  EXPECT_EQ(read_text(*must_open({.path = disk_.file("media")}), 5000, 10), "persistent");
}

// ---- what a flush is worth

TEST_F(RealMedia, TmpfsIsVolatileWithCacheLines) {
  auto media = create(tmpfs_);
  EXPECT_EQ(media->storage_class(), StorageClass::kVolatile);
  EXPECT_EQ(media->flush_granularity_bytes(), 64u);
}

TEST_F(RealMedia, FileOfTheBuildTreeIsOfClassFileWithPages) {
  auto media = create(disk_);
  EXPECT_EQ(media->storage_class(), StorageClass::kFile);
  EXPECT_EQ(media->flush_granularity_bytes(), 4096u);
}

TEST_F(RealMedia, ForcedGranularityIsHonouredAndNeverRaisesTheClass) {
  const std::vector<std::pair<const char*, uint32_t>> forced = {
      {"BYTE", 8}, {"cache_line", 64}, {"CACHELINE", 64}, {"PAGE", 4096}};
  create(disk_);
  create(tmpfs_);
  for (const auto& [value, granularity] : forced) {
    setenv("PMEM2_FORCE_GRANULARITY", value, 1);
    auto file = must_open({.path = disk_.file("media")});
    EXPECT_EQ(file->flush_granularity_bytes(), granularity) << value;
    EXPECT_EQ(file->storage_class(),
              granularity == 4096 ? StorageClass::kFile : StorageClass::kVolatile)
        << value;
    auto memory = must_open({.path = tmpfs_.file("media")});
    EXPECT_EQ(memory->flush_granularity_bytes(), granularity) << value;
    EXPECT_EQ(memory->storage_class(), StorageClass::kVolatile) << value;
    ASSERT_OK(memory->store(100, bytes_of("forced")));
    EXPECT_OK(memory->flush(100, 6));
    EXPECT_OK(memory->drain());
    EXPECT_OK(memory->deep_flush(100, 6));
  }
  setenv("PMEM2_FORCE_GRANULARITY", "nonsense", 1);
  EXPECT_EQ(must_open({.path = disk_.file("media")})->flush_granularity_bytes(), 4096u);
  EXPECT_EQ(must_open({.path = tmpfs_.file("media")})->flush_granularity_bytes(), 64u);
}

TEST(ForcedClass, FinerFlushesThanTheMediumsOwnMakeNothingDurable) {
  using enum StorageClass;
  constexpr auto kByte = PMEM2_GRANULARITY_BYTE;
  constexpr auto kLine = PMEM2_GRANULARITY_CACHE_LINE;
  constexpr auto kPage = PMEM2_GRANULARITY_PAGE;
  EXPECT_EQ(forced_class(kPersistent, kLine, std::nullopt), kPersistent);
  EXPECT_EQ(forced_class(kPersistent, kLine, kLine), kPersistent);
  EXPECT_EQ(forced_class(kPersistent, kLine, kPage), kPersistent);
  EXPECT_EQ(forced_class(kPersistent, kLine, kByte), kVolatile);
  EXPECT_EQ(forced_class(kFile, kPage, kPage), kFile);
  EXPECT_EQ(forced_class(kFile, kPage, kLine), kVolatile);
  EXPECT_EQ(forced_class(kFile, kPage, kByte), kVolatile);
  EXPECT_EQ(forced_class(kVolatile, kLine, kPage), kVolatile);
}

TEST(StorageClassName, IsTheGlossarysWord) {
  EXPECT_EQ(storage_class_name(StorageClass::kPersistent), "persistent");
  EXPECT_EQ(storage_class_name(StorageClass::kFile), "file");
  EXPECT_EQ(storage_class_name(StorageClass::kVolatile), "volatile");
}

TEST_F(RealMedia, DaxDeviceIsKnownByItsSubsystemAndPersistentOnlyOnAnNvdimmBus) {
  namespace fs = std::filesystem;
  const fs::path sysfs = disk_.file("sys");
  const auto add = [&](const std::string& number, const std::string& place,
                       const std::string& subsystem) {
    fs::create_directories(sysfs / "bus" / subsystem);
    fs::create_directories(sysfs / "devices" / place);
    fs::create_directories(sysfs / "dev" / "char");
    fs::create_symlink(sysfs / "bus" / subsystem, sysfs / "devices" / place / "subsystem");
    fs::create_symlink(sysfs / "devices" / place, sysfs / "dev" / "char" / number);
  };
  add("250:0", "platform/e820_pmem/ndbus0/region0/dax0.0", "dax");
  add("250:1", "platform/hmem.0/dax1.0", "dax");
  add("1:3", "virtual/mem/null", "mem");
  EXPECT_EQ(dax_device_class(sysfs, makedev(250, 0)), StorageClass::kPersistent);
  EXPECT_EQ(dax_device_class(sysfs, makedev(250, 1)), StorageClass::kVolatile);
  EXPECT_EQ(dax_device_class(sysfs, makedev(1, 3)), std::nullopt);
  EXPECT_EQ(dax_device_class(sysfs, makedev(9, 9)), std::nullopt);
}

// ---- durability of page-cache files

TEST_F(RealMedia, DrainOfAFileIsOneMsyncForAllFlushedRanges) {
  auto media = create(disk_);
  ASSERT_OK(media->store(0, bytes_of("a")));
  ASSERT_OK(media->store(500000, bytes_of("b")));
  const int msyncs = msync_calls;
  const int fsyncs = fsync_calls;
  ASSERT_OK(media->flush(0, 1));
  ASSERT_OK(media->flush(500000, 1));
  EXPECT_EQ(msync_calls, msyncs);
  ASSERT_OK(media->drain());
  EXPECT_EQ(msync_calls, msyncs + 1);
  EXPECT_EQ(fsync_calls, fsyncs);
  ASSERT_OK(media->drain());
  EXPECT_EQ(msync_calls, msyncs + 1) << "nothing was flushed in between";
}

TEST_F(RealMedia, DrainOnCacheLinesStaysOutOfTheKernel) {
  auto media = create(tmpfs_);
  const int calls = msync_calls + fsync_calls;
  ASSERT_OK(media->store(0, bytes_of("a")));
  ASSERT_OK(media->flush(0, 1));
  ASSERT_OK(media->drain());
  EXPECT_EQ(msync_calls + fsync_calls, calls);
}

TEST_F(RealMedia, HolesAreMadeDurableByFsyncAtTheNextDrain) {
  for (const TemporaryDirectory* directory : {&disk_, &tmpfs_}) {
    auto media = create(*directory, /*preallocate=*/false);
    ASSERT_OK(media->zero(0, kBytes));
    ASSERT_OK(media->flush(0, kBytes));
    const int fsyncs = fsync_calls;
    ASSERT_OK(media->drain());
    EXPECT_EQ(fsync_calls, fsyncs + 1);
    ASSERT_OK(media->drain());
    EXPECT_EQ(fsync_calls, fsyncs + 1);
  }
}

TEST_F(RealMedia, FailedSyncFailsEveryLaterDrain) {
  auto media = create(disk_);
  ASSERT_OK(media->store(0, bytes_of("a")));
  ASSERT_OK(media->flush(0, 1));
  sync_error = EIO;
  const Status first = media->drain();
  EXPECT_EQ(first.code(), Code::kIo);
  EXPECT_THAT(first.error().message(), HasSubstr(media->name()));
  EXPECT_EQ(media->drain().code(), Code::kIo);
  ASSERT_OK(media->flush(0, 1));
  EXPECT_EQ(media->drain().code(), Code::kIo);
}

TEST_F(RealMedia, InterruptedSyncIsRepeated) {
  auto media = create(disk_);
  ASSERT_OK(media->flush(0, 1));
  sync_error = EINTR;
  EXPECT_OK(media->drain());
}

TEST_F(RealMedia, FullDiskAtWriteBackIsAFailureToMakeDurableNotNoSpace) {
  auto media = create(disk_);
  ASSERT_OK(media->flush(0, 1));
  sync_error = ENOSPC;
  EXPECT_EQ(media->drain().code(), Code::kIo);
}

// ---- truncation behind our back

TEST_F(RealMedia, TruncatedFileGivesErrorsNotDeath) {
  for (const TemporaryDirectory* directory : {&disk_, &tmpfs_}) {
    auto media = create(*directory, false);
    const std::string big(100000, 'x');
    std::string target(8, '\0');
    ASSERT_EQ(truncate(media->name().c_str(), 8192), 0);
    EXPECT_OK(media->store(0, bytes_of("in what is left")));
    EXPECT_EQ(media->store(16384, bytes_of("gone")).code(), Code::kIo);
    EXPECT_EQ(media->store(16384, bytes_of(big)).code(), Code::kIo);
    EXPECT_EQ(media->store8(16384, 1).code(), Code::kIo);
    EXPECT_EQ(media->zero(16384, 64).code(), Code::kIo);
    const Status read = media->read(16384, std::as_writable_bytes(std::span(target)));
    EXPECT_EQ(read.code(), Code::kIo);
    EXPECT_THAT(read.error().message(), HasSubstr(media->name()));
    const bool flushed = media->flush(0, kBytes).ok() && media->drain().ok();
    EXPECT_FALSE(flushed) << "claimed to be durable beyond the end of the file";
    EXPECT_EQ(media->flush(16384, 64).ok() && media->drain().ok(), false);
  }
}

TEST_F(RealMedia, TruncatedFileIsNotGrownBackOverTheDamage) {
  auto media = create(disk_, false);
  ASSERT_EQ(truncate(media->name().c_str(), 8192), 0);
  EXPECT_EQ(media->resize(2 * kBytes).code(), Code::kIo);
  EXPECT_EQ(file_bytes(media->name()), 8192u);
}

// ---- holes

TEST_F(RealMedia, ZeroOfATebibyteOfHolesTakesMilliseconds) {
  constexpr uint64_t kTebibyte = uint64_t{1} << 40;
  for (const TemporaryDirectory* directory : {&disk_, &tmpfs_}) {
    auto media = create(*directory, /*preallocate=*/false, kTebibyte);
    ASSERT_OK(media->store(kTebibyte / 2, bytes_of("something")));
    const auto start = std::chrono::steady_clock::now();
    ASSERT_OK(media->zero(0, kTebibyte));
    ASSERT_OK(media->flush(0, kTebibyte));
    ASSERT_OK(media->drain());
    const auto took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took, std::chrono::seconds(2)) << directory->path();  // writing it takes minutes
    EXPECT_EQ(read_text(*media, kTebibyte / 2, 9), std::string(9, '\0'));
    EXPECT_LT(allocated_bytes(media->name()), uint64_t{1} << 20) << directory->path();
  }
}

TEST_F(RealMedia, FlushFillsNoMoreThanTheSurroundingsOfDataWithBlocks) {
  constexpr uint64_t kStep = 64 << 10;
  auto media = create(tmpfs_, /*preallocate=*/false, 64 * kBytes);
  for (uint64_t i = 0; i < 8; ++i) {
    ASSERT_OK(media->store(i * 8 * kBytes + 100, bytes_of("data")));
  }
  ASSERT_OK(media->flush(0, 64 * kBytes));
  EXPECT_LE(allocated_bytes(media->name()), 8 * kStep);
}

// SEEK_HOLE on tmpfs walks all data up to the next hole: once, each flush of 64 KiB of a full file
// took milliseconds.
TEST_F(RealMedia, FlushNeverAsksWhereAHoleBegins) {
  auto media = create(tmpfs_, /*preallocate=*/false);
  ASSERT_OK(media->store(0, bytes_of(std::string(kBytes, 'x'))));
  const int data_seeks = seek_data_calls;
  const int hole_seeks = seek_hole_calls;
  ASSERT_OK(media->flush(0, kBytes));
  EXPECT_LE(seek_data_calls - data_seeks, 16);
  EXPECT_GT(seek_data_calls, data_seeks) << "the counter does not count";
  EXPECT_EQ(seek_hole_calls, hole_seeks);
}

TEST_F(RealMedia, PreallocatedBlocksStayAfterZero) {
  auto media = create(disk_);
  const uint64_t before = allocated_bytes(media->name());
  ASSERT_OK(media->store(0, bytes_of(std::string(kBytes, 'x'))));
  ASSERT_OK(media->zero(0, kBytes));
  ASSERT_OK(media->flush(0, kBytes));
  ASSERT_OK(media->drain());
  EXPECT_EQ(read_text(*media, 0, kBytes), std::string(kBytes, '\0'));
  EXPECT_GE(allocated_bytes(media->name()), before);
  EXPECT_FALSE(media->can_discard());
}

TEST_F(RealMedia, DiscardGivesBlocksBack) {
  for (const TemporaryDirectory* directory : {&disk_, &tmpfs_}) {
    auto media = create(*directory, /*preallocate=*/false);
    ASSERT_TRUE(media->can_discard()) << directory->path();
    ASSERT_OK(media->store(0, bytes_of(std::string(kBytes, 'x'))));
    ASSERT_OK(media->flush(0, kBytes));
    ASSERT_OK(media->drain());
    const uint64_t before = allocated_bytes(media->name());
    ASSERT_OK(media->discard(0, kBytes));
    EXPECT_LE(allocated_bytes(media->name()) + kBytes / 2, before);
    EXPECT_EQ(file_bytes(media->name()), kBytes);
  }
}

// ---- growing and shrinking

TEST_F(RealMedia, GrowthBeyondTheFileSystemIsNoSpaceWithTheFileAsItWas) {
  for (const TemporaryDirectory* directory : {&disk_, &tmpfs_}) {
    auto media = create(*directory);
    ASSERT_OK(media->store(0, bytes_of("kept")));
    struct statvfs space = {};
    ASSERT_EQ(statvfs(directory->path().c_str(), &space), 0);
    const uint64_t too_much =
        kBytes + uint64_t{space.f_bfree} * space.f_frsize + (uint64_t{1} << 30);
    for (const uint64_t bytes : {too_much, uint64_t{1} << 62, ~uint64_t{0}}) {
      EXPECT_EQ(media->resize(bytes).code(), Code::kNoSpace) << bytes;
      EXPECT_EQ(media->bytes(), kBytes);
      EXPECT_EQ(file_bytes(media->name()), kBytes);
    }
    EXPECT_EQ(read_text(*media, 0, 4), "kept");
    EXPECT_OK(media->resize(2 * kBytes));
  }
}

TEST_F(RealMedia, SpaceThatRunsOutInTheMiddleIsGivenBack) {
  auto media = create(disk_);
  fallocate_error = ENOSPC;
  EXPECT_EQ(media->resize(8 * kBytes).code(), Code::kNoSpace);
  EXPECT_EQ(file_bytes(media->name()), kBytes);
  EXPECT_EQ(media->bytes(), kBytes);
  EXPECT_OK(media->drain());
}

TEST_F(RealMedia, GrowthIsDurableAndPreallocatedWhenItReturns) {
  auto media = create(disk_);
  const int fsyncs = fsync_calls;
  ASSERT_OK(media->resize(4 * kBytes));
  EXPECT_GT(fsync_calls, fsyncs);
  EXPECT_GE(allocated_bytes(media->name()), 4 * kBytes);
  EXPECT_EQ(file_bytes(media->name()), 4 * kBytes);
  EXPECT_EQ(media->resize(0).code(), Code::kInvalidArgument);
}

TEST_F(RealMedia, FailedSyncOfGrowthIsReported) {
  auto media = create(disk_);
  sync_error = EIO;
  EXPECT_EQ(media->resize(4 * kBytes).code(), Code::kIo);
  EXPECT_EQ(media->bytes(), kBytes);
  EXPECT_EQ(media->drain().code(), Code::kIo);
}

TEST_F(RealMedia, ManySmallGrowthsKeepOldMappingsAndUseFewNewOnes) {
  auto media = create(tmpfs_, false, 4096);
  const auto first = media->mapping();
  const std::byte* base = nullptr;
  int moves = 0;
  for (uint64_t pages = 2; pages <= 4096; ++pages) {
    ASSERT_OK(media->resize(pages * 4096));
    const std::byte* const now = media->mapping()->data;
    moves += now != base ? 1 : 0;
    base = now;
  }
  EXPECT_LE(moves, 6);  // 2 MiB of address space to 16 MiB, at least doubling
  ASSERT_OK(media->store(0, bytes_of("coherent")));
  EXPECT_EQ(std::memcmp(first->data, "coherent", 8), 0);
}

TEST_F(RealMedia, ReadersMayRunWhileTheFileGrowsAndShrinks) {
  auto media = create(tmpfs_, false);
  ASSERT_OK(media->store(0, bytes_of("constant")));
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&] {
      std::string text(8, '\0');
      std::string tail(4096, '\0');
      while (!stop) {
        if (!media->read(0, std::as_writable_bytes(std::span(text))).ok()) ++wrong;
        if (text != "constant") ++wrong;
        // The end moves: any answer but a crash is right.
        const uint64_t end = media->bytes();
        (void)media->read(end - 4096, std::as_writable_bytes(std::span(tail)));
        if (media->mapping() == nullptr) ++wrong;
      }
    });
  }
  for (uint64_t round = 0; round < 200; ++round) {
    EXPECT_OK(media->resize(kBytes + (round % 20) * kBytes));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace pmshelf::media
