// Promises of store.h: what each call does, and each of its errors.
#include "server/store/store.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/store/store_fixture.h"

namespace pmshelf::store {
namespace {

class StoreTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    box = GetParam() ? StoreBox::device(16) : StoreBox::directory(16);
    box.open_with_shelf();
  }
  StoreBox box;
};

TEST_P(StoreTest, CreatedRegionIsZeroFilledAndSurvivesAKill) {
  const std::string attributes = encoded_attributes({{"dtype", "f8"}, {"shape", "3"}});
  const RegionId id = box.create("a", 24, attributes);
  box.sync();
  box.write(id, 0, "hello");
  box.reopen();
  const auto found = box.store->find(box.shelf, "a");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->id, id);
  EXPECT_EQ(found->bytes, 24u);
  EXPECT_EQ(found->footprint_bytes, 64u);
  EXPECT_EQ(found->attribute_bytes, attributes.size());
  EXPECT_EQ(*box.store->attributes(id), attributes);
  EXPECT_EQ(box.read(id), "hello" + std::string(19, '\0'));
  box.expect_clean();
}

TEST_P(StoreTest, StagedMutationIsSeenAtOnceAndGoneAfterAKill) {
  const RegionId kept = box.create("kept", 10);
  box.sync();
  box.create("staged", 10);
  ASSERT_TRUE(box.store->erase(kept, {}).ok());
  EXPECT_TRUE(box.store->has_staged_operations());
  EXPECT_TRUE(box.store->find(box.shelf, "staged").ok());
  EXPECT_EQ(box.store->find(box.shelf, "kept").code(), Code::kNotFound);
  box.reopen();
  EXPECT_EQ(box.store->find(box.shelf, "staged").code(), Code::kNotFound);
  EXPECT_TRUE(box.store->find(box.shelf, "kept").ok());
  box.expect_clean();
}

TEST_P(StoreTest, EraseRenameSwapAndAttributesSurvive) {
  const RegionId a = box.create("a", 100), b = box.create("b", 5000), c = box.create("c", 0);
  ASSERT_TRUE(box.store->erase(c, {}).ok());
  ASSERT_TRUE(box.store->rename(a, "x", false, {}).ok());
  ASSERT_TRUE(box.store->swap(a, b, {}).ok());
  const std::string attributes = encoded_attributes({{"k", "v"}});
  ASSERT_TRUE(box.store->set_attributes(b, attributes, {}).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(box.store->find(box.shelf, "b")->id, a);
    EXPECT_EQ(box.store->find(box.shelf, "x")->id, b);
    EXPECT_EQ(*box.store->attributes(b), attributes);
    EXPECT_EQ(*box.store->attributes(a), "");
    EXPECT_EQ(box.store->region(c).code(), Code::kNotFound);
    box.expect_clean();
    box.sync();
    box.reopen();
  }
}

TEST_P(StoreTest, RegionsOfEverySizeClassAreDisjointAndZero) {
  std::vector<RegionId> ids;
  for (const uint64_t bytes : {0ull, 1ull, 64ull, 65ull, 511ull, 2000ull, 3584ull, 3585ull, 4096ull,
                               5000ull, 100'000ull, 2'000'000ull, 2'097'152ull, 5'000'000ull}) {
    ids.push_back(box.create("r" + std::to_string(bytes), bytes));
  }
  box.sync();
  for (const RegionId id : ids) {
    const std::string bytes = box.read(id);
    EXPECT_EQ(bytes.find_first_not_of('\0'), std::string::npos);
    const auto info = *box.store->region(id);
    if (info.bytes >= kExtentBytes) {
      EXPECT_EQ(info.offset % kExtentBytes, 0u);
    }
    if (info.bytes >= kPageBytes) {
      EXPECT_EQ(info.offset % kPageBytes, 0u);
    }
    if (info.bytes > 0) {
      EXPECT_EQ(info.offset % 64, 0u);
    }
    box.write(id, 0, std::string(info.bytes, 'A' + static_cast<char>(id % 26)));
  }
  box.reopen();
  for (const RegionId id : ids) {
    const std::string bytes = box.read(id);
    EXPECT_EQ(bytes, std::string(bytes.size(), 'A' + static_cast<char>(id % 26)));
  }
  box.expect_clean();
}

TEST_P(StoreTest, ReusedBytesReadAsZero) {
  for (const uint64_t bytes : {uint64_t{64}, uint64_t{3000}, uint64_t{8192}, 3 * kExtentBytes}) {
    for (int round = 0; round < 3; ++round) {
      std::vector<RegionId> ids;
      // Fill the shelf, so that the next round can only reuse.
      for (int i = 0; i < 40'000; ++i) {
        const auto made = box.store->create(box.shelf, "n" + std::to_string(i), bytes, "", {});
        if (made.code() == Code::kResourceExhausted) {
          box.sync();
          --i;
          continue;
        }
        if (!made.ok()) {
          ASSERT_EQ(made.code(), Code::kNoSpace);
          break;
        }
        ids.push_back(*made);
        if (bytes == 64 && ids.size() == 3000) break;
      }
      box.sync();
      for (const RegionId id : ids) {
        ASSERT_EQ(box.read(id).find_first_not_of('\0'), std::string::npos) << bytes;
        box.write(id, bytes - 3, "xyz");
        box.write(id, 0, "abc");
      }
      for (const RegionId id : ids) {
        if (Status erased = box.store->erase(id, {}); erased.code() == Code::kResourceExhausted) {
          box.sync();
          ASSERT_TRUE(box.store->erase(id, {}).ok());
        }
      }
      box.sync();
      if (round == 1) box.reopen();
    }
  }
  box.expect_clean();
}

TEST_P(StoreTest, NamesAreCheckedAndNamed) {
  for (const std::string& name :
       {std::string(), std::string(4097, 'x'), std::string("a\0b", 3), std::string("\xc3\x28")}) {
    EXPECT_EQ(box.store->create(box.shelf, name, 1, "", {}).code(), Code::kInvalidArgument);
  }
  const RegionId id = box.create(std::string(4096, 'x'), 1);
  EXPECT_EQ(box.store->rename(id, "", false, {}).code(), Code::kInvalidArgument);
  EXPECT_TRUE(box.store->rename(id, "naïve/../名前", false, {}).ok());
  EXPECT_FALSE(box.store->create(box.shelf, "naïve/../名前", 1, "", {}).ok());
}

TEST_P(StoreTest, ErrorsNameTheirCauseAndChangeNothing) {
  const RegionId id = box.create("a", 10);
  const RegionId other = box.create("b", 10);
  box.sync();
  EXPECT_EQ(box.store->create(box.shelf, "a", 1, "", {}).code(), Code::kAlreadyExists);
  EXPECT_EQ(box.store->create(99, "a", 1, "", {}).code(), Code::kNotFound);
  EXPECT_EQ(box.store->create(box.shelf, "c", 1, "not attributes", {}).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(box.store->create(box.shelf, "c", uint64_t{1} << 63, "", {}).code(), Code::kNoSpace);
  EXPECT_EQ(box.store->create(box.shelf, "c", ~uint64_t{0}, "", {}).code(), Code::kNoSpace);
  EXPECT_EQ(box.store->create(box.shelf, "c", 17 * kExtentBytes, "", {}).code(), Code::kNoSpace);
  EXPECT_EQ(box.store->erase(12345, {}).code(), Code::kNotFound);
  EXPECT_EQ(box.store->rename(id, "b", false, {}).code(), Code::kAlreadyExists);
  EXPECT_EQ(box.store->rename(12345, "z", false, {}).code(), Code::kNotFound);
  EXPECT_EQ(box.store->swap(id, 12345, {}).code(), Code::kNotFound);
  EXPECT_EQ(box.store->swap(12345, id, {}).code(), Code::kNotFound);
  EXPECT_EQ(box.store->resize(12345, 1, {}).code(), Code::kNotFound);
  EXPECT_EQ(box.store->resize(id, ~uint64_t{0}, {}).code(), Code::kNoSpace);
  EXPECT_EQ(box.store->resize(id, 20 * kExtentBytes, {}).code(), Code::kNoSpace);
  EXPECT_EQ(box.store->set_attributes(12345, "", {}).code(), Code::kNotFound);
  EXPECT_EQ(box.store->set_attributes(id, "x", {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(box.store->attributes(12345).code(), Code::kNotFound);
  EXPECT_EQ(box.store->region(12345).code(), Code::kNotFound);
  EXPECT_EQ(box.store->pin(12345).code(), Code::kNotFound);
  EXPECT_EQ(box.store->shelf(99).code(), Code::kNotFound);
  EXPECT_EQ(box.store->find(99, "a").code(), Code::kNotFound);
  EXPECT_EQ(box.store->reserve(99, 1, true).code(), Code::kNotFound);
  EXPECT_EQ(box.store->reserve(box.shelf, 17 * kExtentBytes, true).code(), Code::kNoSpace);
  EXPECT_FALSE(box.store->pin_staged(77));
  box.store->release(77);
  EXPECT_EQ(box.store->space(99).capacity_bytes, 0u);
  EXPECT_FALSE(box.store->has_staged_operations());
  EXPECT_EQ(box.store->find(box.shelf, "b")->id, other);
  box.expect_clean();
}

TEST_P(StoreTest, RenameMayReplace) {
  const RegionId a = box.create("a", 10), b = box.create("b", 10);
  ASSERT_TRUE(box.store->rename(a, "b", true, {}).ok());
  ASSERT_TRUE(box.store->rename(a, "b", false, {}).ok()) << "its own name";
  box.sync();
  box.reopen();
  EXPECT_EQ(box.store->region(b).code(), Code::kNotFound);
  EXPECT_EQ(box.store->find(box.shelf, "b")->id, a);
  EXPECT_EQ(box.store->space(box.shelf).region_count, 1u);
}

TEST_P(StoreTest, ScanGoesInByteOrderFromWhereItIsTold) {
  for (const char* name : {"b", "a", "ab", "abc", "ac", "\xc3\xa4"}) box.create(name, 1);
  const auto names = [&](std::string_view prefix, std::string_view after, bool from_start,
                         size_t max) {
    std::string out;
    box.store->scan(box.shelf, prefix, after, from_start, [&](const RegionInfo& info) {
      out += info.name + " ";
      return --max > 0;
    });
    return out;
  };
  EXPECT_EQ(names("", "", true, 99), "a ab abc ac b \xc3\xa4 ");
  EXPECT_EQ(names("a", "", true, 99), "a ab abc ac ");
  EXPECT_EQ(names("a", "ab", false, 99), "abc ac ");
  EXPECT_EQ(names("a", "ab", false, 1), "abc ");
  EXPECT_EQ(names("ab", "a", false, 99), "ab abc ");
  EXPECT_EQ(names("z", "", true, 99), "");
  EXPECT_EQ(names("", "", false, 2), "a ab ") << "nothing is before the first name";
  // The index is kept up from here on.
  ASSERT_TRUE(box.store->rename(box.store->find(box.shelf, "ab")->id, "zz", false, {}).ok());
  ASSERT_TRUE(box.store->erase(box.store->find(box.shelf, "a")->id, {}).ok());
  box.create("aa", 1);
  ASSERT_TRUE(
      box.store->swap(box.store->find(box.shelf, "b")->id, box.store->find(box.shelf, "zz")->id, {})
          .ok());
  EXPECT_EQ(names("", "", true, 99), "aa abc ac b zz \xc3\xa4 ");
  box.store->scan(99, "", "", true, [](const RegionInfo&) { return ADD_FAILURE(), true; });
}

TEST_P(StoreTest, ShelvesAreMadeChangedAndErased) {
  ShelfInfo info;
  info.name = "other";
  info.capacity_bytes = kExtentBytes;
  EXPECT_EQ(box.store->create_shelf(info, {}).code(), Code::kNoSpace);
  ASSERT_TRUE(box.store->resize_shelf(box.shelf, 8 * kExtentBytes, {}).ok());
  box.sync();
  if (!GetParam()) {  // the file is cut by its owner after that; here it grows back
    ASSERT_TRUE(box.store->resize_shelf(box.shelf, 16 * kExtentBytes, {}).ok());
    return;
  }
  info.capacity_bytes = 8 * kExtentBytes;
  info.owner = "unix:alice";
  info.acl = {{"unix:bob", kRead}};
  const auto other = box.store->create_shelf(info, {});
  ASSERT_TRUE(other.ok()) << other.error().to_string();
  EXPECT_EQ(box.store->create_shelf(info, {}).code(), Code::kAlreadyExists);
  ShelfInfo bad = info;
  bad.name.clear();
  EXPECT_EQ(box.store->create_shelf(bad, {}).code(), Code::kInvalidArgument);
  ShelfInfo changed = *box.store->shelf(*other);
  changed.name = "shelf";
  EXPECT_EQ(box.store->update_shelf(changed, {}).code(), Code::kAlreadyExists);
  changed.name = "renamed";
  changed.same_host = SameHostPolicy::kOff;
  changed.capacity_bytes = 0;  // not changed here
  ASSERT_TRUE(box.store->update_shelf(changed, {}).ok());
  changed.owner = "\xff";
  EXPECT_EQ(box.store->update_shelf(changed, {}).code(), Code::kInvalidArgument);
  changed.id = 77;
  EXPECT_EQ(box.store->update_shelf(changed, {}).code(), Code::kNotFound);
  const auto inside = box.store->create(*other, "r", 3 * kExtentBytes, "", {});
  ASSERT_TRUE(inside.ok());
  box.sync();
  box.reopen();
  const ShelfInfo seen = *box.store->shelf(*other);
  EXPECT_EQ(seen.name, "renamed");
  EXPECT_EQ(seen.same_host, SameHostPolicy::kOff);
  EXPECT_EQ(seen.capacity_bytes, 8 * kExtentBytes);
  EXPECT_EQ(seen.acl, info.acl);
  EXPECT_EQ(box.store->shelves().size(), 2u);
  ASSERT_TRUE(box.store->erase_shelf(*other, {}).ok());
  EXPECT_EQ(box.store->erase_shelf(*other, {}).code(), Code::kNotFound);
  EXPECT_EQ(box.store->region(*inside).code(), Code::kNotFound);
  EXPECT_EQ(box.store->create_shelf(info, {}).code(), Code::kNoSpace) << "not durable yet";
  box.expect_clean();
  box.sync();
  const auto again = box.store->create_shelf(info, {});
  ASSERT_TRUE(again.ok());
  EXPECT_GT(*again, *other) << "ids are never given out twice";
  box.sync();
  box.reopen();
  EXPECT_EQ(box.store->shelves().size(), 2u);
  box.expect_clean();
}

TEST_P(StoreTest, IdsAreNeverGivenOutTwice) {
  const RegionId first = box.create("a", 1);
  ASSERT_TRUE(box.store->erase(first, {}).ok());
  box.sync();
  ASSERT_TRUE(box.store->compact().ok());
  box.reopen();
  EXPECT_GT(box.create("a", 1), first);
}

TEST_P(StoreTest, BatchIsOneRecordAndMayBeWrittenWhileOthersStage) {
  box.create("a", 10);
  box.create("b", 10);
  auto batch = box.store->take_batch();
  ASSERT_TRUE(batch.ok());
  ASSERT_NE(*batch, nullptr);
  const std::string attributes = encoded_attributes({{"k", "v"}});
  const RegionId c = box.create("c", 10, attributes);
  EXPECT_EQ(*box.store->attributes(c), attributes);
  box.expect_clean();
  ASSERT_TRUE(box.store->write_batch(**batch).ok());
  box.store->finish_batch(std::move(*batch));
  EXPECT_TRUE(box.store->has_staged_operations());
  box.kill();
  box.open();
  EXPECT_EQ(box.store->space(box.shelf).region_count, 2u);
  EXPECT_EQ(box.store->recovery().records_replayed, 2u);  // the shelf, and these
}

TEST_P(StoreTest, NothingStagedIsNoBatch) {
  EXPECT_EQ(*box.store->take_batch(), nullptr);
  EXPECT_TRUE(box.store->sync().ok());
}

TEST_P(StoreTest, FullBatchSaysSoAndGoesOnAfterASync) {
  uint32_t made = 0;
  while (true) {
    const auto id = box.store->create(box.shelf, "r" + std::to_string(made), 1, "", {});
    if (!id.ok()) {
      EXPECT_EQ(id.code(), Code::kResourceExhausted);
      break;
    }
    ++made;
  }
  EXPECT_EQ(made, kBatchOpsMax);
  box.sync();
  box.create("more", 1);
  box.sync();
  box.reopen();
  EXPECT_EQ(box.store->space(box.shelf).region_count, kBatchOpsMax + 1);
  box.expect_clean();
}

TEST_P(StoreTest, CleanCloseIsTold) {
  box.create("a", 1);
  ASSERT_TRUE(box.store->close().ok());
  EXPECT_EQ(box.store->create(box.shelf, "b", 1, "", {}).code(), Code::kReadOnly);
  box.reopen();
  EXPECT_TRUE(box.store->recovery().was_clean);
  EXPECT_EQ(box.store->recovery().unsafe_shutdowns, 0u);
  EXPECT_TRUE(box.store->find(box.shelf, "a").ok()) << "close writes what is staged";
  box.reopen();
  EXPECT_FALSE(box.store->recovery().was_clean);
  EXPECT_EQ(box.store->recovery().unsafe_shutdowns, 1u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, StoreTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Device" : "Directory"; });

}  // namespace
}  // namespace pmshelf::store
