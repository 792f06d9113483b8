// Promises of device pools, on a plain file that stands in for the device.
#include "pool_fixture.h"

namespace pmshelf::pool {
namespace {

using Names = std::vector<std::string>;

class DevicePoolTest : public PoolTest {
 protected:
  DevicePoolTest() { make_device(64 * kMiB); }

  void make_device(uint64_t bytes) {
    std::ofstream(device()).close();
    std::filesystem::resize_file(device(), bytes);
  }
  std::string device() const { return directory_ / "dax0.0"; }
  PoolOptions device_options(bool format) const {
    PoolOptions options;
    options.name = "d";
    options.path = device();
    options.device = true;
    options.format = format;
    return options;
  }
};

using FormatDevice = DevicePoolTest;
using DevicePool = DevicePoolTest;

TEST_F(FormatDevice, OnlyWhenAskedAndOnlyOnce) {
  const auto refused = Pool::open(device_options(false), clock_);
  ASSERT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_NE(refused.error().message().find("format"), std::string::npos);
  EXPECT_EQ(contents(device()), std::string(64 * kMiB, '\0'));
  auto pool = open_pool(device_options(true));
  put(*make_shelf(*pool, "s"), "w", "hello");
  reopen(pool, device_options(true));  // never over a store
  EXPECT_EQ(get(*get_shelf(*pool, "s"), "w"), "hello");
  reopen(pool, device_options(false));
  EXPECT_EQ(get(*get_shelf(*pool, "s"), "w"), "hello");
}

TEST_F(FormatDevice, NeverOverData) {
  for (const uint64_t offset : {uint64_t{1024}, 5 * kMiB, 63 * kMiB, 64 * kMiB - 1}) {
    make_device(64 * kMiB);
    std::fstream file(device(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write("x", 1);
    file.close();
    const std::string before = contents(device());
    EXPECT_FALSE(Pool::open(device_options(true), clock_).ok()) << offset;
    EXPECT_EQ(contents(device()) == before, true) << offset;
  }
}

TEST_F(FormatDevice, NotTheTailOfALargerOneEither) {
  make_device(256 * kMiB);
  std::fstream file(device(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(256 * kMiB - 4096));
  file.write("RAID", 4);
  file.close();
  EXPECT_EQ(Pool::open(device_options(true), clock_).code(), Code::kInvalidArgument);
}

TEST_F(FormatDevice, TooSmallIsRefused) {
  make_device(1 * kMiB);
  EXPECT_FALSE(Pool::open(device_options(true), clock_).ok());
}

TEST_F(DevicePool, HoldsManyShelvesInOneStore) {
  auto pool = open_pool(device_options(true));
  for (const char* name : {"a", "b", "c"}) put(*make_shelf(*pool, name), "w", name);
  ASSERT_TRUE(pool->rename_shelf("b", "z", {}).ok());
  ASSERT_TRUE(pool->erase_shelf("c", {}).ok());
  reopen(pool, device_options(false));
  EXPECT_EQ(shelf_names(*pool), (Names{"a", "z"}));
  EXPECT_EQ(get(*get_shelf(*pool, "a"), "w"), "a");
  EXPECT_EQ(get(*get_shelf(*pool, "z"), "w"), "b");
  const auto stat = pool->stat();
  EXPECT_TRUE(stat.device);
  EXPECT_EQ(stat.shelf_count, 2u);
  EXPECT_EQ(stat.total_bytes, 64 * kMiB);
}

TEST_F(DevicePool, GivesNoDescriptor) {
  auto pool = open_pool(device_options(true));
  const auto shelf = make_shelf(*pool, "a");
  EXPECT_EQ(shelf->data_fd(), -1);
  EXPECT_EQ(shelf->data_fd_read_only(), -1);
  EXPECT_EQ(shelf->data_path(), device());
}

TEST_F(DevicePool, AShelfReachesOnlyItsOwnRegions) {
  auto pool = open_pool(device_options(true));
  const auto a = make_shelf(*pool, "a");
  const auto b = make_shelf(*pool, "b");
  put(*a, "w", "of a");
  put(*b, "own", "of b");
  const auto foreign = a->stat("w")->id, own = b->stat("own")->id;
  EXPECT_EQ(b->stat("w").code(), Code::kNotFound);
  EXPECT_EQ(b->open("w").code(), Code::kNotFound);
  EXPECT_EQ(b->attributes(foreign).code(), Code::kNotFound);
  EXPECT_EQ(b->erase(foreign, {}).code(), Code::kNotFound);
  EXPECT_EQ(b->rename(foreign, "x", false, {}).code(), Code::kNotFound);
  EXPECT_EQ(b->swap(own, foreign, {}).code(), Code::kNotFound);
  EXPECT_EQ(b->swap(foreign, own, {}).code(), Code::kNotFound);
  EXPECT_EQ(b->resize(foreign, 1, {}).code(), Code::kNotFound);
  EXPECT_EQ(b->set_attributes(foreign, "", {}).code(), Code::kNotFound);
  const store::WriteRange ranges[] = {{own, 0, bytes_of("x")}, {foreign, 0, bytes_of("x")}};
  EXPECT_EQ(b->transact(ranges, {}).code(), Code::kNotFound);
  auto staged = *a->reserve(4, true);
  store::Publish item;
  item.staged = staged.id;
  item.name = "stolen";
  EXPECT_FALSE(b->publish({&item, 1}, {}).ok());
  EXPECT_EQ(get(*a, "w"), "of a");
  EXPECT_EQ(get(*b, "own"), "of b");
}

TEST_F(DevicePool, CapacitiesAreBoundedByTheDevice) {
  auto pool = open_pool(device_options(true));
  const uint64_t available = pool->stat().available_bytes;
  EXPECT_GE(available, 48 * kMiB);
  EXPECT_EQ(pool->create_shelf(shelf_info("s", available + 1), {}).code(), Code::kNoSpace);
  const auto whole = make_shelf(*pool, "s", align_down(available, 2 * kMiB));
  EXPECT_LT(pool->stat().available_bytes, 2 * kMiB);
  EXPECT_EQ(pool->create_shelf(shelf_info("t", 2 * kMiB), {}).code(), Code::kNoSpace);
  ASSERT_TRUE(pool->resize_shelf("s", 8 * kMiB, {}).ok());
  make_shelf(*pool, "t", 2 * kMiB);
}

TEST_F(DevicePool, RequestsAreAppliedOnceAlsoAfterARestart) {
  auto pool = open_pool(device_options(true));
  make_shelf(*pool, "a", 4 * kMiB, request(1));
  make_shelf(*pool, "b", 4 * kMiB, request(2));
  ASSERT_TRUE(pool->erase_shelf("b", request(3)).ok());
  ASSERT_TRUE(pool->rename_shelf("a", "c", request(4)).ok());
  ASSERT_TRUE(pool->resize_shelf("c", 8 * kMiB, request(5)).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(make_shelf(*pool, "a", 4 * kMiB, request(1))->info().name, "c");
    EXPECT_EQ(pool->create_shelf(shelf_info("b"), request(2)).code(), Code::kNotFound);
    EXPECT_EQ(pool->create_shelf(shelf_info("x"), request(1, 2)).code(), Code::kConflict);
    EXPECT_TRUE(pool->erase_shelf("b", request(3)).ok());
    EXPECT_TRUE(pool->rename_shelf("a", "c", request(4)).ok());
    EXPECT_TRUE(pool->resize_shelf("c", 8 * kMiB, request(5)).ok());
    EXPECT_EQ(shelf_names(*pool), Names{"c"});
    reopen(pool, device_options(false));
  }
}

TEST_F(DevicePool, EraseIsBusyWhileRegionsAreOpen) {
  auto pool = open_pool(device_options(true));
  const auto shelf = make_shelf(*pool, "a");
  make_shelf(*pool, "b");
  put(*shelf, "w", "hello");
  auto region = *shelf->open("w");
  EXPECT_EQ(pool->erase_shelf("a", {}).code(), Code::kBusy);
  EXPECT_EQ(get(*shelf, "w"), "hello");
  region.reset();
  EXPECT_TRUE(pool->erase_shelf("a", {}).ok());
  EXPECT_EQ(shelf->open("w").code(), Code::kNotFound);
  EXPECT_EQ(shelf->info().name, "a");
  put(*get_shelf(*pool, "b"), "w", "lives");
}

TEST_F(DevicePool, SecondOpenerIsRefused) {
  auto pool = open_pool(device_options(true));
  const auto refused = Pool::open(device_options(false), clock_);
  ASSERT_EQ(refused.code(), Code::kBusy);
  EXPECT_NE(refused.error().message().find("dax0.0"), std::string::npos);
}

TEST_F(DevicePool, RefusesBadNames) {
  auto pool = open_pool(device_options(true));
  make_shelf(*pool, "a");
  EXPECT_EQ(pool->create_shelf(shelf_info("a/b"), {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(pool->create_shelf(shelf_info("a"), {}).code(), Code::kAlreadyExists);
  EXPECT_EQ(pool->rename_shelf("a", ".x", {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(pool->rename_shelf("a", "a", {}).code(), Code::kAlreadyExists);
}

}  // namespace
}  // namespace pmshelf::pool
