// Promises of directory pools: shelves are there or not, whole, under one name, applied once.
#include <fcntl.h>
#include <sys/mman.h>

#include "pool_fixture.h"

namespace pmshelf::pool {
namespace {

using Names = std::vector<std::string>;
using DirectoryPool = PoolTest;
using CreateShelf = PoolTest;
using EraseShelf = PoolTest;
using RenameShelf = PoolTest;
using ResizeShelf = PoolTest;
using UpdateShelf = PoolTest;
using HandOver = PoolTest;

TEST_F(DirectoryPool, BytesSurviveReopening) {
  auto pool = open_pool();
  put(*make_shelf(*pool, "one"), "w", "hello");
  put(*make_shelf(*pool, "two"), "w", "world");
  reopen(pool);
  EXPECT_EQ(shelf_names(*pool), (Names{"one", "two"}));
  EXPECT_EQ(get(*get_shelf(*pool, "one"), "w"), "hello");
  EXPECT_EQ(get(*get_shelf(*pool, "two"), "w"), "world");
  EXPECT_TRUE(get_shelf(*pool, "one")->recovery().was_clean);
}

TEST_F(DirectoryPool, WithoutCloseEverythingAcknowledgedIsThereAndTheStopIsCounted) {
  auto pool = open_pool();
  put(*make_shelf(*pool, "one"), "w", "hello");
  pool.reset();
  pool = open_pool();
  const auto shelf = get_shelf(*pool, "one");
  EXPECT_EQ(get(*shelf, "w"), "hello");
  EXPECT_FALSE(shelf->recovery().was_clean);
  EXPECT_EQ(shelf->recovery().unsafe_shutdowns, 1u);
}

TEST_F(DirectoryPool, AfterCloseCallsAreUnavailable) {
  auto pool = open_pool();
  const auto shelf = make_shelf(*pool, "one");
  put(*shelf, "w", "hello");
  ASSERT_TRUE(pool->close().ok());
  ASSERT_TRUE(pool->close().ok());
  EXPECT_EQ(shelf->create("x", 1, "", {}).code(), Code::kUnavailable);
  EXPECT_EQ(shelf->open("w").code(), Code::kUnavailable);
}

TEST_F(DirectoryPool, StatTellsPlaceSpaceAndClass) {
  auto pool = open_pool();
  PoolStat stat = pool->stat();
  EXPECT_EQ(stat.name, "p");
  EXPECT_EQ(stat.path, directory_.path());
  EXPECT_FALSE(stat.device);
  EXPECT_EQ(stat.storage_class, media::StorageClass::kVolatile);
  EXPECT_EQ(stat.shelf_count, 0u);
  EXPECT_GT(stat.total_bytes, 0u);
  EXPECT_LE(stat.available_bytes, stat.total_bytes);
  EXPECT_TRUE(stat.trouble.empty());
  const auto shelf = make_shelf(*pool, "one");
  EXPECT_EQ(pool->stat().shelf_count, 1u);
  EXPECT_EQ(shelf->storage_class(), media::StorageClass::kVolatile);
  EXPECT_FALSE(shelf->blocking());
  EXPECT_EQ(shelf->pool_name(), "p");
  EXPECT_EQ(shelf->trouble(), "");
}

TEST_F(DirectoryPool, ForeignFilesAreIgnored) {
  directory_.write("README.txt", "hands off");
  std::filesystem::create_directory(directory_ / "lost+found");
  auto pool = open_pool();
  EXPECT_TRUE(pool->shelves().empty());
  EXPECT_TRUE(pool->stat().trouble.empty());
  EXPECT_EQ(directory_.read("README.txt"), "hands off");
}

TEST_F(DirectoryPool, UnknownShelfIsNotFound) {
  auto pool = open_pool();
  for (const char* name : {"none", "", "../etc", "a/b"}) {
    EXPECT_EQ(pool->shelf(name).code(), Code::kNotFound) << name;
    EXPECT_EQ(pool->erase_shelf(name, {}).code(), Code::kNotFound) << name;
    EXPECT_EQ(pool->rename_shelf(name, "x", {}).code(), Code::kNotFound) << name;
    EXPECT_EQ(pool->resize_shelf(name, 4 * kMiB, {}).code(), Code::kNotFound) << name;
  }
  EXPECT_EQ(pool->update_shelf(shelf_info("none"), {}).code(), Code::kNotFound);
}

TEST_F(DirectoryPool, KeysAreNeverReused) {
  auto pool = open_pool();
  const uint64_t first = make_shelf(*pool, "one")->key();
  const uint64_t second = make_shelf(*pool, "two")->key();
  ASSERT_TRUE(pool->erase_shelf("one", {}).ok());
  const uint64_t again = make_shelf(*pool, "one")->key();
  EXPECT_NE(first, second);
  EXPECT_NE(first, again);
  EXPECT_NE(second, again);
}

// ---- create

TEST_F(CreateShelf, RoundsTheCapacityUp) {
  auto pool = open_pool();
  EXPECT_EQ(make_shelf(*pool, "zero", 0)->info().capacity_bytes, 2 * kMiB);
  EXPECT_EQ(make_shelf(*pool, "one", 1)->info().capacity_bytes, 2 * kMiB);
  EXPECT_EQ(make_shelf(*pool, "even", 2 * kMiB)->info().capacity_bytes, 2 * kMiB);
  EXPECT_EQ(make_shelf(*pool, "odd", 2 * kMiB + 1)->info().capacity_bytes, 4 * kMiB);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "odd.data"), 6 * kMiB);
}

TEST_F(CreateShelf, KeepsOwnerAccessAndPolicy) {
  auto pool = open_pool();
  auto info = shelf_info("s");
  info.acl = {{"token:ci", 3}, {"unix:*", 1}};
  info.same_host = store::SameHostPolicy::kCopy;
  ASSERT_TRUE(pool->create_shelf(info, {}).ok());
  reopen(pool);
  const auto found = get_shelf(*pool, "s")->info();
  EXPECT_EQ(found.name, "s");
  EXPECT_EQ(found.owner, "unix:alice");
  EXPECT_EQ(found.acl, info.acl);
  EXPECT_EQ(found.same_host, store::SameHostPolicy::kCopy);
  EXPECT_EQ(found.created_unix_ms, clock_.unix_ms());
}

TEST_F(CreateShelf, RefusesBadNamesAndAbsurdSizesAndLeavesNothing) {
  auto pool = open_pool();
  for (const std::string& name : {std::string(), std::string(".a"), std::string("a/b"),
                                  std::string("../a"), std::string(201, 'x')}) {
    EXPECT_EQ(pool->create_shelf(shelf_info(name), {}).code(), Code::kInvalidArgument) << name;
  }
  EXPECT_EQ(pool->create_shelf(shelf_info("s", kCapacityBytesMax + 1), {}).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(pool->create_shelf(shelf_info("s", UINT64_MAX), {}).code(), Code::kInvalidArgument);
  const auto absurd = pool->create_shelf(shelf_info("s", kCapacityBytesMax), {});
  ASSERT_EQ(absurd.code(), Code::kNoSpace);
  EXPECT_NE(absurd.error().message().find(directory_.path()), std::string::npos);
  EXPECT_EQ(directory_.names(), Names{});
}

TEST_F(CreateShelf, RefusesTakenNamesAndFilesInTheWay) {
  auto pool = open_pool();
  make_shelf(*pool, "s");
  EXPECT_EQ(pool->create_shelf(shelf_info("s"), {}).code(), Code::kAlreadyExists);
  directory_.write("t.data", "precious");
  const auto refused = pool->create_shelf(shelf_info("t"), {});
  ASSERT_EQ(refused.code(), Code::kAlreadyExists);
  EXPECT_NE(refused.error().message().find("t.data"), std::string::npos);
  EXPECT_EQ(directory_.read("t.data"), "precious");
}

TEST_F(CreateShelf, WithoutPreallocationTakesNoBlocksForData) {
  auto sparse = options();
  sparse.preallocate = false;
  auto pool = open_pool(sparse);
  auto shelf = make_shelf(*pool, "big", 64 * kGiB);
  ASSERT_NE(shelf, nullptr);
  struct stat facts{};
  ASSERT_EQ(::stat((directory_ / "big.data").c_str(), &facts), 0);
  EXPECT_EQ(static_cast<uint64_t>(facts.st_size), 64 * kGiB + 2 * kMiB);
  EXPECT_LT(static_cast<uint64_t>(facts.st_blocks) * 512, 4 * kMiB);
  put(*shelf, "w", "hello");
  shelf.reset();
  reopen(pool, sparse);
  EXPECT_EQ(get(*get_shelf(*pool, "big"), "w"), "hello");
}

TEST_F(CreateShelf, PreallocatesDataOtherwise) {
  auto pool = open_pool();
  make_shelf(*pool, "s", 8 * kMiB);
  struct stat facts{};
  ASSERT_EQ(::stat((directory_ / "s.data").c_str(), &facts), 0);
  EXPECT_GE(static_cast<uint64_t>(facts.st_blocks) * 512, 10 * kMiB);
}

TEST_F(CreateShelf, RepeatedRequestIsAppliedOnce) {
  auto pool = open_pool();
  const uint64_t first = make_shelf(*pool, "s", 4 * kMiB, request(1))->key();
  EXPECT_EQ(make_shelf(*pool, "s", 4 * kMiB, request(1))->key(), first);
  EXPECT_EQ(pool->create_shelf(shelf_info("s"), request(2)).code(), Code::kAlreadyExists);
  EXPECT_EQ(pool->create_shelf(shelf_info("other"), request(1, 2)).code(), Code::kConflict);
  // Also after a restart, and by whatever name it goes then.
  reopen(pool);
  EXPECT_EQ(make_shelf(*pool, "s", 4 * kMiB, request(1)), get_shelf(*pool, "s"));
  ASSERT_TRUE(pool->rename_shelf("s", "t", {}).ok());
  reopen(pool);
  EXPECT_EQ(make_shelf(*pool, "s", 4 * kMiB, request(1))->info().name, "t");
  EXPECT_EQ(shelf_names(*pool), Names{"t"});
}

// ---- erase

TEST_F(EraseShelf, RemovesTheFilesAndEndsTheHandle) {
  auto pool = open_pool();
  const auto shelf = make_shelf(*pool, "s");
  put(*shelf, "w", "hello");
  ASSERT_TRUE(pool->erase_shelf("s", {}).ok());
  EXPECT_EQ(directory_.names(), Names{});
  EXPECT_EQ(pool->shelf("s").code(), Code::kNotFound);
  EXPECT_EQ(shelf->create("x", 1, "", {}).code(), Code::kNotFound);
  EXPECT_EQ(shelf->open("w").code(), Code::kNotFound);
  EXPECT_EQ(shelf->stat("w").code(), Code::kNotFound);
  EXPECT_EQ(shelf->data_fd(), -1);
  EXPECT_EQ(shelf->data_fd_read_only(), -1);
  EXPECT_EQ(shelf->info().name, "s");
  EXPECT_EQ(shelf->space().capacity_bytes, 0u);
  EXPECT_TRUE(shelf->offline());
  reopen(pool);
  EXPECT_TRUE(pool->shelves().empty());
}

TEST_F(EraseShelf, NewShelfOfTheSameNameIsEmpty) {
  auto pool = open_pool();
  put(*make_shelf(*pool, "s"), "w", "secret");
  ASSERT_TRUE(pool->erase_shelf("s", {}).ok());
  const auto shelf = make_shelf(*pool, "s");
  EXPECT_EQ(shelf->stat("w").code(), Code::kNotFound);
  ASSERT_TRUE(shelf->create("w", 6, "", {}).ok());
  EXPECT_EQ(get(*shelf, "w"), std::string(6, '\0'));
}

TEST_F(EraseShelf, IsBusyWhileRegionsAreOpenAndThenChangesNothing) {
  auto pool = open_pool();
  const auto shelf = make_shelf(*pool, "s");
  put(*shelf, "w", "hello");
  auto region = *shelf->open("w");
  auto staged = *shelf->reserve(100, true);
  for (int holders = 2; holders > 0; --holders) {
    const Status busy = pool->erase_shelf("s", {});
    ASSERT_EQ(busy.code(), Code::kBusy);
    EXPECT_NE(busy.error().message().find("'s'"), std::string::npos);
    EXPECT_EQ(directory_.names(), (Names{"s.data", "s.map"}));
    EXPECT_EQ(get(*shelf, "w"), "hello");
    if (holders == 2) staged.ref.reset();
  }
  region.reset();
  EXPECT_TRUE(pool->erase_shelf("s", {}).ok());
}

TEST_F(EraseShelf, RepeatedRequestIsOkUntilTheRestart) {
  auto pool = open_pool();
  make_shelf(*pool, "s");
  ASSERT_TRUE(pool->erase_shelf("s", request(1)).ok());
  EXPECT_TRUE(pool->erase_shelf("s", request(1)).ok());
  EXPECT_EQ(pool->erase_shelf("s", request(1, 2)).code(), Code::kConflict);
  EXPECT_EQ(pool->erase_shelf("s", request(2)).code(), Code::kNotFound);
  // It does not hit a new shelf of that name either.
  make_shelf(*pool, "s");
  EXPECT_TRUE(pool->erase_shelf("s", request(1)).ok());
  EXPECT_EQ(shelf_names(*pool), Names{"s"});
  clock_.advance_ms(store::kRequestKeepMs + 1);
  EXPECT_TRUE(pool->erase_shelf("s", request(1)).ok());
  EXPECT_EQ(shelf_names(*pool), Names{});
  reopen(pool);
  EXPECT_EQ(pool->erase_shelf("s", request(1)).code(), Code::kNotFound);
}

// ---- rename

TEST_F(RenameShelf, MovesTheFilesUnderOpenRegions) {
  auto pool = open_pool();
  auto shelf = make_shelf(*pool, "a");
  put(*shelf, "w", "hello");
  auto region = *shelf->open("w");
  ASSERT_TRUE(pool->rename_shelf("a", "b", {}).ok());
  EXPECT_EQ(directory_.names(), (Names{"b.data", "b.map"}));
  EXPECT_EQ(pool->shelf("a").code(), Code::kNotFound);
  EXPECT_EQ(get_shelf(*pool, "b"), shelf);
  EXPECT_EQ(shelf->info().name, "b");
  EXPECT_EQ(shelf->data_path(), directory_ / "b.data");
  ASSERT_TRUE(region->store(0, bytes_of("HELLO")).ok());
  ASSERT_TRUE(region->flush(0, 5).ok());
  make_shelf(*pool, "a");  // the old name is free again
  region.reset();
  shelf.reset();
  reopen(pool);
  EXPECT_EQ(shelf_names(*pool), (Names{"a", "b"}));
  EXPECT_EQ(get(*get_shelf(*pool, "b"), "w"), "HELLO");
  EXPECT_EQ(get_shelf(*pool, "b")->trouble(), "");
}

TEST_F(RenameShelf, RefusesTakenAndBadNames) {
  auto pool = open_pool();
  make_shelf(*pool, "a");
  make_shelf(*pool, "b");
  EXPECT_EQ(pool->rename_shelf("a", "b", {}).code(), Code::kAlreadyExists);
  EXPECT_EQ(pool->rename_shelf("a", "a", {}).code(), Code::kAlreadyExists);
  EXPECT_EQ(pool->rename_shelf("a", "../c", {}).code(), Code::kInvalidArgument);
  directory_.write("c.data", "precious");
  EXPECT_EQ(pool->rename_shelf("a", "c", {}).code(), Code::kAlreadyExists);
  EXPECT_EQ(directory_.read("c.data"), "precious");
  EXPECT_EQ(shelf_names(*pool), (Names{"a", "b"}));
}

TEST_F(RenameShelf, RepeatedRequestIsAppliedOnceAlsoAfterARestart) {
  auto pool = open_pool();
  make_shelf(*pool, "a");
  ASSERT_TRUE(pool->rename_shelf("a", "b", request(1)).ok());
  EXPECT_TRUE(pool->rename_shelf("a", "b", request(1)).ok());
  EXPECT_EQ(pool->rename_shelf("a", "c", request(1, 2)).code(), Code::kConflict);
  reopen(pool);
  make_shelf(*pool, "a");
  EXPECT_TRUE(pool->rename_shelf("a", "b", request(1)).ok());
  EXPECT_EQ(shelf_names(*pool), (Names{"a", "b"}));
}

TEST_F(RenameShelf, CrashBeforeTheRecordIsCompletedByRecoveryAndKnownToTheRetry) {
  auto pool = open_pool();
  put(*make_shelf(*pool, "a"), "w", "hello");
  pool.reset();
  // As the crash leaves it: the map has its new name, the record the old one.
  std::filesystem::create_hard_link(directory_ / "a.data", directory_ / "b.data");
  std::filesystem::rename(directory_ / "a.map", directory_ / "b.map");
  pool = open_pool();
  EXPECT_EQ(directory_.names(), (Names{"b.data", "b.map"}));
  EXPECT_EQ(get_shelf(*pool, "b")->info().name, "b");
  EXPECT_EQ(get_shelf(*pool, "b")->trouble(), "");
  EXPECT_EQ(get(*get_shelf(*pool, "b"), "w"), "hello");
  EXPECT_TRUE(pool->rename_shelf("a", "b", request(1)).ok());
  EXPECT_EQ(pool->rename_shelf("c", "b", request(2)).code(), Code::kNotFound);
  // Known of that shelf, not of any other of its name.
  ASSERT_TRUE(pool->rename_shelf("b", "d", {}).ok());
  make_shelf(*pool, "b");
  EXPECT_EQ(pool->rename_shelf("a", "b", request(3)).code(), Code::kNotFound);
  reopen(pool);
  EXPECT_EQ(get_shelf(*pool, "b")->info().name, "b");
}

TEST_F(RenameShelf, CrashBeforeTheCommitPointIsUndone) {
  auto pool = open_pool();
  put(*make_shelf(*pool, "a"), "w", "hello");
  pool.reset();
  std::filesystem::create_hard_link(directory_ / "a.data", directory_ / "b.data");
  pool = open_pool();
  EXPECT_EQ(directory_.names(), (Names{"a.data", "a.map"}));
  EXPECT_EQ(get(*get_shelf(*pool, "a"), "w"), "hello");
  EXPECT_EQ(get_shelf(*pool, "a")->trouble(), "");
  EXPECT_TRUE(pool->rename_shelf("a", "b", request(1)).ok());
}

// ---- resize

TEST_F(ResizeShelf, GrowsAndShrinksFileAndCapacity) {
  auto pool = open_pool();
  auto shelf = make_shelf(*pool, "s", 2 * kMiB);
  put(*shelf, "w", "hello");
  auto region = *shelf->open("w");
  EXPECT_EQ(shelf->create("big", 4 * kMiB, "", {}).code(), Code::kNoSpace);
  ASSERT_TRUE(pool->resize_shelf("s", 8 * kMiB - 1, {}).ok());
  EXPECT_EQ(shelf->info().capacity_bytes, 8 * kMiB);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "s.data"), 10 * kMiB);
  ASSERT_TRUE(shelf->create("big", 4 * kMiB, "", {}).ok());
  EXPECT_EQ(get(*shelf, "big"), std::string(4 * kMiB, '\0'));
  EXPECT_EQ(read_text(*region, 0, 5), "hello");  // through its older mapping
  ASSERT_TRUE(shelf->erase(shelf->stat("big")->id, {}).ok());
  ASSERT_TRUE(pool->resize_shelf("s", 2 * kMiB, {}).ok());
  EXPECT_EQ(shelf->info().capacity_bytes, 2 * kMiB);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "s.data"), 4 * kMiB);
  EXPECT_EQ(read_text(*region, 0, 5), "hello");
  region.reset();
  shelf.reset();
  reopen(pool);
  EXPECT_EQ(get_shelf(*pool, "s")->info().capacity_bytes, 2 * kMiB);
  EXPECT_EQ(get(*get_shelf(*pool, "s"), "w"), "hello");
}

TEST_F(ResizeShelf, ToLessThanIsUsedIsRefusedAndChangesNothing) {
  auto pool = open_pool();
  const auto shelf = make_shelf(*pool, "s", 8 * kMiB);
  ASSERT_TRUE(shelf->create("big", 6 * kMiB, "", {}).ok());
  EXPECT_EQ(pool->resize_shelf("s", 4 * kMiB, {}).code(), Code::kNoSpace);
  EXPECT_EQ(shelf->info().capacity_bytes, 8 * kMiB);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "s.data"), 10 * kMiB);
}

TEST_F(ResizeShelf, AbsurdAndImpossibleSizesChangeNothing) {
  auto pool = open_pool();
  const auto shelf = make_shelf(*pool, "s", 2 * kMiB);
  EXPECT_EQ(pool->resize_shelf("s", UINT64_MAX, {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(pool->resize_shelf("s", uint64_t{1} << 50, {}).code(), Code::kNoSpace);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "s.data"), 4 * kMiB);
  EXPECT_EQ(shelf->info().capacity_bytes, 2 * kMiB);
  put(*shelf, "w", "still serving");
}

TEST_F(ResizeShelf, RepeatedRequestIsAppliedOnce) {
  auto pool = open_pool();
  const auto shelf = make_shelf(*pool, "s", 2 * kMiB);
  ASSERT_TRUE(pool->resize_shelf("s", 4 * kMiB, request(1)).ok());
  ASSERT_TRUE(pool->resize_shelf("s", 8 * kMiB, request(2)).ok());
  EXPECT_TRUE(pool->resize_shelf("s", 4 * kMiB, request(1)).ok());
  EXPECT_EQ(shelf->info().capacity_bytes, 8 * kMiB);
  EXPECT_EQ(pool->resize_shelf("s", 4 * kMiB, request(1, 2)).code(), Code::kConflict);
}

TEST_F(ResizeShelf, FileLeftTooLongByACrashIsCutAtTheNextOpening) {
  auto pool = open_pool();
  make_shelf(*pool, "s", 2 * kMiB);
  pool.reset();
  // Grown, not yet recorded; or shrunk, not yet cut.
  std::filesystem::resize_file(directory_ / "s.data", 20 * kMiB);
  pool = open_pool();
  EXPECT_EQ(std::filesystem::file_size(directory_ / "s.data"), 4 * kMiB);
  EXPECT_EQ(get_shelf(*pool, "s")->trouble(), "");
}

// ---- update

TEST_F(UpdateShelf, ChangesOwnerAccessAndPolicyOnly) {
  auto pool = open_pool();
  auto info = make_shelf(*pool, "s")->info();
  info.owner = "unix:bob";
  info.acl = {{"unix:carol", 1}};
  info.same_host = store::SameHostPolicy::kOff;
  info.capacity_bytes = 0;
  info.created_unix_ms = 1;
  info.id = 77;
  ASSERT_TRUE(pool->update_shelf(info, request(1)).ok());
  info.owner = "unix:dave";
  EXPECT_TRUE(pool->update_shelf(info, request(1)).ok());
  EXPECT_EQ(pool->update_shelf(info, request(1, 2)).code(), Code::kConflict);
  reopen(pool);
  const auto found = get_shelf(*pool, "s")->info();
  EXPECT_EQ(found.owner, "unix:bob");
  EXPECT_EQ(found.acl, info.acl);
  EXPECT_EQ(found.same_host, store::SameHostPolicy::kOff);
  EXPECT_EQ(found.capacity_bytes, 4 * kMiB);
  EXPECT_EQ(found.created_unix_ms, clock_.unix_ms());
}

// ---- descriptors

TEST_F(HandOver, DescriptorsShowTheRegionAtItsFileOffset) {
  auto pool = open_pool();
  const auto shelf = make_shelf(*pool, "s");
  put(*shelf, "w", "hello");
  const auto region = *shelf->open("w");
  ASSERT_GE(region->file_offset(), 2 * kMiB);
  for (const int fd : {shelf->data_fd(), shelf->data_fd_read_only()}) {
    ASSERT_GE(fd, 0);
    char text[5] = {};
    ASSERT_EQ(::pread(fd, text, sizeof text, static_cast<off_t>(region->file_offset())), 5);
    EXPECT_EQ(std::string(text, 5), "hello");
  }
  EXPECT_EQ(std::memcmp(region->data(), "hello", 5), 0);
}

TEST_F(HandOver, ReadOnlyDescriptorCannotWriteInAnyWay) {
  auto pool = open_pool();
  const auto shelf = make_shelf(*pool, "s");
  const int fd = shelf->data_fd_read_only();
  EXPECT_EQ(shelf->data_fd_read_only(), fd);
  EXPECT_EQ(::pwrite(fd, "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(fd, 0), -1);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  void* mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  EXPECT_EQ(::mprotect(mapped, 4096, PROT_READ | PROT_WRITE), -1);
  ::munmap(mapped, 4096);
}

TEST_F(HandOver, ADescriptorThatLivesOnDoesNotKeepThePoolLocked) {
  auto pool = open_pool();
  auto shelf = make_shelf(*pool, "s");
  const int writable = ::dup(shelf->data_fd());
  const int read_only = ::dup(shelf->data_fd_read_only());
  pool.reset();
  EXPECT_EQ(open_pool()->shelf("s").code(), Code::kBusy);  // the handle lives: so does the store
  shelf.reset();
  auto again = open_pool();
  EXPECT_TRUE(again->stat().trouble.empty());
  ::close(writable);
  ::close(read_only);
}

}  // namespace
}  // namespace pmshelf::pool
