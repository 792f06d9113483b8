// Promises about damage: one bad shelf does not stop the others, says what is wrong with it, and is
// not touched.
#include <fcntl.h>
#include <sys/resource.h>

#include <csignal>

#include "pool_fixture.h"

namespace pmshelf::pool {
namespace {

using Names = std::vector<std::string>;

class TroubleTest : public PoolTest {
 protected:
  // A pool of "bad" and "good", closed clean.
  TroubleTest() {
    auto pool = open_pool();
    put(*make_shelf(*pool, "bad"), "w", "of bad");
    put(*make_shelf(*pool, "good"), "w", "of good");
    EXPECT_TRUE(pool->close().ok());
  }

  // Opens the pool with "bad" broken, and returns what is said about it.
  std::string trouble_of_bad() {
    const std::string map = contents(directory_ / "bad.map");
    const std::string data = contents(directory_ / "bad.data");
    auto pool = open_pool();
    EXPECT_EQ(shelf_names(*pool), Names{"good"});
    EXPECT_EQ(get(*get_shelf(*pool, "good"), "w"), "of good");
    const auto good = get_shelf(*pool, "good");
    put(*good, "more", "works");
    EXPECT_TRUE(good->erase(good->stat("more")->id, {}).ok());
    const auto refused = pool->shelf("bad");
    EXPECT_FALSE(refused.ok());
    EXPECT_NE(refused.code(), Code::kNotFound);
    EXPECT_EQ(pool->create_shelf(shelf_info("bad"), {}).code(), Code::kAlreadyExists);
    EXPECT_FALSE(pool->erase_shelf("bad", {}).ok());
    EXPECT_FALSE(pool->rename_shelf("good", "bad", {}).ok());
    EXPECT_TRUE(contents(directory_ / "bad.map") == map) << "the map was touched";
    EXPECT_TRUE(contents(directory_ / "bad.data") == data) << "the data was touched";
    const std::string trouble = only_trouble(*pool);
    EXPECT_NE(trouble.find("shelf 'bad'"), std::string::npos) << trouble;
    EXPECT_TRUE(pool->close().ok());
    return trouble;
  }
};

using TruncatedFile = TroubleTest;
using ForeignFile = TroubleTest;
using HardLink = TroubleTest;
using Offline = TroubleTest;
using DamagedShelf = TroubleTest;

TEST_F(TruncatedFile, DataByOneByteToAPageToNothing) {
  const uint64_t whole = std::filesystem::file_size(directory_ / "bad.data");
  for (const uint64_t bytes : {whole - 1, uint64_t{4096}, uint64_t{0}}) {
    std::filesystem::resize_file(directory_ / "bad.data", bytes);
    EXPECT_NE(trouble_of_bad(), "") << bytes;
  }
}

TEST_F(TruncatedFile, MapByOneByteToAPageToNothing) {
  const uint64_t whole = std::filesystem::file_size(directory_ / "bad.map");
  for (const uint64_t bytes : {whole - 1, uint64_t{4096}, uint64_t{0}}) {
    std::filesystem::resize_file(directory_ / "bad.map", bytes);
    EXPECT_NE(trouble_of_bad(), "") << bytes;
  }
}

TEST_F(ForeignFile, DataOfAnotherShelf) {
  std::filesystem::copy_file(directory_ / "good.data", directory_ / "bad.data",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(trouble_of_bad(), "");
}

TEST_F(ForeignFile, MapThatIsNone) {
  std::string garbage(5 * kMiB, 'x');
  directory_.write("bad.map", garbage);
  EXPECT_NE(trouble_of_bad(), "");
}

TEST_F(ForeignFile, MapWithoutData) {
  std::filesystem::remove(directory_ / "bad.data");
  const std::string trouble = trouble_of_bad();
  EXPECT_NE(trouble.find("bad.data"), std::string::npos) << trouble;
}

TEST_F(ForeignFile, LinksAndFifosAreNotOpened) {
  std::filesystem::rename(directory_ / "bad.map", directory_ / "elsewhere");
  std::filesystem::create_symlink("elsewhere", directory_ / "bad.map");
  EXPECT_NE(trouble_of_bad().find("symbolic link"), std::string::npos);
  std::filesystem::remove(directory_ / "bad.map");
  ASSERT_EQ(::mkfifo((directory_ / "bad.map").c_str(), 0600), 0);
  auto pool = open_pool();
  EXPECT_NE(only_trouble(*pool).find("not a regular file"), std::string::npos);
}

TEST_F(HardLink, TheSameFilesUnderAnotherNameAreNotOpenedTwice) {
  std::filesystem::remove(directory_ / "bad.map");
  std::filesystem::remove(directory_ / "bad.data");
  std::filesystem::create_hard_link(directory_ / "good.map", directory_ / "twin.map");
  std::filesystem::create_hard_link(directory_ / "good.data", directory_ / "twin.data");
  auto pool = open_pool();
  EXPECT_EQ(shelf_names(*pool), Names{"good"});
  const std::string trouble = only_trouble(*pool);
  EXPECT_NE(trouble.find("shelf 'twin'"), std::string::npos) << trouble;
  EXPECT_NE(trouble.find("locked by this process"), std::string::npos) << trouble;
  EXPECT_NE(get_shelf(*pool, "good")->trouble().find("hard links"), std::string::npos);
  EXPECT_EQ(get(*get_shelf(*pool, "good"), "w"), "of good");
}

TEST_F(HardLink, ASharedDataFileBehindACopiedMapIsNotOpenedTwice) {
  std::filesystem::remove(directory_ / "bad.map");
  std::filesystem::remove(directory_ / "bad.data");
  std::filesystem::copy_file(directory_ / "good.map", directory_ / "twin.map");
  std::filesystem::create_hard_link(directory_ / "good.data", directory_ / "twin.data");
  auto pool = open_pool();
  EXPECT_EQ(shelf_names(*pool), Names{"good"});
  EXPECT_NE(only_trouble(*pool).find("twin.data is locked"), std::string::npos);
}

TEST_F(DamagedShelf, OpensReadOnlyAndSaysWhy) {
  {
    auto pool = open_pool();
    const auto shelf = get_shelf(*pool, "bad");
    for (int index = 0; index < 50; ++index) {
      ASSERT_TRUE(shelf->create("r" + std::to_string(index), 8, "", {}).ok());
    }
    ASSERT_TRUE(pool->close().ok());
  }
  // The same early record overwritten in both copies of the log, which begin at 4 MiB.
  std::fstream map(directory_ / "bad.map", std::ios::in | std::ios::out | std::ios::binary);
  for (const uint64_t copy : {4 * kMiB, 4 * kMiB + 256 * kKiB}) {
    map.seekp(static_cast<std::streamoff>(copy + 1024));
    map.write(std::string(256, '\xEE').data(), 256);
  }
  map.close();
  auto pool = open_pool();
  const auto shelf = get_shelf(*pool, "bad");
  EXPECT_TRUE(shelf->read_only());
  EXPECT_NE(shelf->trouble(), "");
  EXPECT_FALSE(shelf->recovery().damage.empty());
  EXPECT_EQ(get(*shelf, "w"), "of bad");
  EXPECT_EQ(shelf->create("new", 8, "", {}).code(), Code::kReadOnly);
  EXPECT_EQ(pool->update_shelf(shelf_info("bad"), {}).code(), Code::kReadOnly);
  EXPECT_EQ(pool->resize_shelf("bad", 8 * kMiB, {}).code(), Code::kReadOnly);
  EXPECT_EQ(pool->rename_shelf("bad", "other", {}).code(), Code::kReadOnly);
  EXPECT_EQ(directory_.names(), (Names{"bad.data", "bad.map", "good.data", "good.map"}));
  EXPECT_EQ(std::filesystem::file_size(directory_ / "bad.data"), 6 * kMiB);
  EXPECT_EQ(get(*get_shelf(*pool, "good"), "w"), "of good");
  put(*get_shelf(*pool, "good"), "more", "works");
}

TEST_F(Offline, AFileCutWhileServingTakesOneShelfOffline) {
  auto pool = open_pool();
  auto bad = get_shelf(*pool, "bad");
  auto good = get_shelf(*pool, "good");
  auto region = *bad->open("w");
  ASSERT_EQ(::truncate((directory_ / "bad.data").c_str(), 0), 0);
  EXPECT_EQ(region->store(0, bytes_of("x")).code(), Code::kIo);
  EXPECT_TRUE(bad->offline());
  EXPECT_EQ(region->flush(0, 1).code(), Code::kIo);
  for (const Code code : {bad->create("n", 8, "", {}).code(), bad->open("w").code(),
                          bad->stat("w").code(), bad->replay(request(1)).code(),
                          bad->transact({}, {}).code(), bad->reserve(8, true).code()}) {
    EXPECT_EQ(code, Code::kIo);
  }
  EXPECT_NE(bad->create("n", 8, "", {}).error().message().find("shelf 'bad'"), std::string::npos);
  EXPECT_NE(bad->trouble().find("offline"), std::string::npos) << bad->trouble();
  EXPECT_EQ(bad->info().name, "bad");
  // Everybody else goes on, pool-level requests with ids included.
  put(*good, "more", "works");
  EXPECT_FALSE(good->offline());
  make_shelf(*pool, "new", 2 * kMiB, request(7));
  EXPECT_EQ(pool->close().code(), Code::kIo);  // for bad; good is closed all the same
  region.reset();
  bad.reset();
  good.reset();
  pool.reset();
  pool = open_pool();
  EXPECT_TRUE(get_shelf(*pool, "good")->recovery().was_clean);
}

TEST_F(Offline, AnUnreadablePageTakesTheShelfOfflineAndTheReadFails) {
  auto pool = open_pool();
  const auto bad = get_shelf(*pool, "bad");
  const auto region = *bad->open("w");
  ASSERT_EQ(::truncate((directory_ / "bad.data").c_str(), 4096), 0);
  std::byte buffer[4];
  EXPECT_EQ(region->read(0, buffer).code(), Code::kIo);
  EXPECT_TRUE(bad->offline());
}

TEST_F(Offline, AnErasedFileServesOnUntilClosed) {
  auto pool = open_pool();
  const auto bad = get_shelf(*pool, "bad");
  std::filesystem::remove(directory_ / "bad.data");
  std::filesystem::remove(directory_ / "bad.map");
  EXPECT_EQ(get(*bad, "w"), "of bad");
  put(*bad, "more", "bytes");
  EXPECT_FALSE(pool->rename_shelf("bad", "b2", {}).ok());
  EXPECT_FALSE(pool->erase_shelf("bad", {}).ok());
  EXPECT_TRUE(pool->close().ok());
}

}  // namespace
}  // namespace pmshelf::pool
