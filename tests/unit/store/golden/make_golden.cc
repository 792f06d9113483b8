// Makes the golden stores of one format version: store_make_golden DIRECTORY VERSION.
// Run once per version; the files are never changed afterwards (golden_test.cc).
#include <iostream>
#include <string>

#include "tests/unit/store/golden/sparse.h"
#include "tests/unit/store/store_fixture.h"

namespace pmshelf::store {
namespace {

// What golden_test.cc expects, in both stores.
void fill(StoreBox& box) {
  ShelfInfo info = *box.store->shelf(box.shelf);
  info.name = "golden";
  info.owner = "unix:alice";
  info.acl = {{"token:*", kRead}, {"cert:host", kRead | kWrite | kAdmin}};
  info.same_host = SameHostPolicy::kCopy;
  EXPECT_TRUE(box.store->update_shelf(info, {}).ok());
  for (const uint64_t bytes : {0ull, 1ull, 100ull, 3000ull, 5000ull, 70'000ull, 2'097'152ull}) {
    const RegionId id = box.create("r" + std::to_string(bytes), bytes,
                                   encoded_attributes({{"bytes", std::to_string(bytes)}}));
    if (bytes > 0) box.write(id, bytes - 1, "z");
  }
  const RegionId old = box.create("old name", 10);
  EXPECT_TRUE(box.store->rename(old, "nåme", false, {}).ok());
  EXPECT_TRUE(box.store->resize(old, 200, {}).ok());
  EXPECT_TRUE(box.store->erase(box.create("gone", 10), {{7, 8}, 9}).ok());
  box.sync();
}

// Killed between the commit point of a transaction and its end.
void leave_open_transaction(StoreBox& box) {
  const RegionId id = box.store->find(box.shelf, "r100")->id;
  box.kill();
  for (int fail_at = 0;; ++fail_at) {
    media::FaultPlan plan;
    auto opened = Store::open(
        std::make_unique<SharedMedia>(box.map),
        media::make_faulty_media(std::make_unique<SharedMedia>(box.data), plan), {}, box.clock());
    plan.fail_at_call = plan.calls + fail_at;
    const std::vector<WriteRange> ranges = {{id, 0, bytes_of("redone")}, {id, 50, bytes_of("too")}};
    if ((*opened)->transact(ranges, {}).ok()) std::abort();
    opened->reset();
    if (box.try_open({.read_only = true}).code() == Code::kReadOnly) return;
    box.kill();
  }
}

int make(const std::string& directory, const std::string& version) {
  StoreBox two_files = StoreBox::directory(5);
  two_files.open_with_shelf();
  fill(two_files);
  leave_open_transaction(two_files);
  StoreBox device = StoreBox::device(5);
  device.open_with_shelf();
  fill(device);
  device.write(device.store->find(device.shelf, "r100")->id, 0, "redone");
  device.write(device.store->find(device.shelf, "r100")->id, 50, "too");
  if (!device.store->compact().ok() || !device.store->close().ok()) return 1;
  device.kill();
  const std::string stem = directory + "/v" + version;
  const bool written = write_sparse(*two_files.map, stem + ".map.sparse") &&
                       write_sparse(*two_files.data, stem + ".data.sparse") &&
                       write_sparse(*device.map, stem + ".device.sparse");
  return written ? 0 : 1;
}

}  // namespace
}  // namespace pmshelf::store

int main(int argument_count, char** arguments) {
  if (argument_count != 3) {
    std::cerr << "usage: store_make_golden DIRECTORY VERSION\n";
    return 2;
  }
  return pmshelf::store::make(arguments[1], arguments[2]);
}
