// Promise of docs/format.md: stores of every version that was ever released open for ever.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/store/golden/sparse.h"
#include "tests/unit/store/store_fixture.h"

namespace pmshelf::store {
namespace {

const std::string kGolden = PMSHELF_GOLDEN_DIRECTORY;

void expect_contents(StoreBox& box) {
  ASSERT_EQ(box.store->shelves().size(), 1u);
  const ShelfInfo shelf = box.store->shelves()[0];
  box.shelf = shelf.id;
  EXPECT_EQ(shelf.name, "golden");
  EXPECT_EQ(shelf.owner, "unix:alice");
  EXPECT_EQ(shelf.acl, (std::vector<AclEntry>{{"token:*", 1}, {"cert:host", 7}}));
  EXPECT_EQ(shelf.same_host, SameHostPolicy::kCopy);
  EXPECT_EQ(shelf.capacity_bytes, 5 * kExtentBytes);
  for (const uint64_t bytes : {0ull, 1ull, 100ull, 3000ull, 5000ull, 70'000ull, 2'097'152ull}) {
    const auto found = box.store->find(box.shelf, "r" + std::to_string(bytes));
    ASSERT_TRUE(found.ok()) << bytes;
    EXPECT_EQ(found->bytes, bytes);
    EXPECT_EQ(*box.store->attributes(found->id),
              encoded_attributes({{"bytes", std::to_string(bytes)}}));
    std::string expected(bytes, '\0');
    if (bytes > 0) expected.back() = 'z';
    if (bytes == 100) expected.replace(0, 6, "redone").replace(50, 3, "too");
    EXPECT_EQ(box.read(found->id), expected) << bytes;
  }
  EXPECT_EQ(box.store->find(box.shelf, "nåme")->bytes, 200u);
  EXPECT_EQ(box.store->space(box.shelf).region_count, 8u);
  const auto request = box.store->find_request({7, 8});
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->digest, 9u);
}

std::shared_ptr<media::Media> load(const std::string& name) {
  std::vector<std::byte> bytes = read_sparse(kGolden + "/" + name);
  EXPECT_FALSE(bytes.empty()) << name;
  return media::make_memory_media(std::move(bytes));
}

TEST(GoldenStore, DirectoryOfVersion10WithAnUnfinishedTransactionOpens) {
  StoreBox box;
  box.map = load("v1.0.map.sparse");
  box.data = load("v1.0.data.sparse");
  box.open();
  EXPECT_EQ(box.store->recovery().transactions_reapplied, 1u);
  expect_contents(box);
  box.expect_clean();
  box.reopen();
  EXPECT_EQ(box.store->recovery().transactions_reapplied, 0u);
  expect_contents(box);
}

TEST(GoldenStore, DeviceOfVersion10OpensReadOnlyAndForWriting) {
  StoreBox box;
  box.map = load("v1.0.device.sparse");
  ASSERT_TRUE(box.try_open({.read_only = true}).ok());
  EXPECT_TRUE(box.store->recovery().was_clean);
  expect_contents(box);
  box.reopen();
  expect_contents(box);
  box.expect_clean();
  box.create("new", 4096);
  box.sync();
  box.reopen();
  EXPECT_TRUE(box.store->find(box.shelf, "new").ok());
  box.expect_clean();
}

}  // namespace
}  // namespace pmshelf::store
