// Promises of Put, Get and Transact: atomic, applied once, within rights and space.
#include <gmock/gmock.h>

#include <thread>

#include "common/base/attributes.h"
#include "plane_fixture.h"

namespace pmshelf::dataplane {
namespace {

using ::testing::HasSubstr;
using wire::Op;

class ValueOps : public PlaneTest {
 protected:
  void SetUp() override {
    PlaneTest::SetUp();
    handle_ = handle_of(session_);
    client_ = connect(session_);
  }
  void TearDown() override {
    client_.reset();
    PlaneTest::TearDown();
  }
  uint64_t free_bytes() { return shelf_->space().free_bytes; }
  Answer transact(Client& client, const std::vector<wire::GrantRange>& ranges,
                  const std::string& payload, uint64_t request_low = 0) {
    wire::TransactMeta meta;
    meta.request_low = request_low;
    meta.ranges = ranges;
    return client.call({.op = Op::kTransact}, wire::encode_transact_meta(meta), payload);
  }
  uint64_t handle_ = 0;
  std::unique_ptr<Client> client_;
};

TEST_P(ValueOps, PutIsReadBackWithItsAttributes) {
  const std::string attributes = *encode_attributes({{"dtype", "f8"}});
  const Answer put = client_->put(handle_, "k", "value", 1, 0, attributes);
  ASSERT_TRUE(put.status.ok()) << put.status.error().message();
  const Answer got = client_->get(handle_, "k");
  ASSERT_TRUE(got.status.ok());
  const auto meta = wire::decode_get_meta(std::as_bytes(std::span(got.meta)));
  EXPECT_EQ(meta->region_id, put.header.offset);
  EXPECT_EQ(meta->total_bytes, 5U);
  EXPECT_EQ(meta->attributes, attributes);
  EXPECT_EQ(got.payload, "value");
}

TEST_P(ValueOps, EmptyValuesAndShortBuffersWork) {
  ASSERT_TRUE(client_->put(handle_, "empty", "").status.ok());
  EXPECT_EQ(client_->get(handle_, "empty").payload, "");
  ASSERT_TRUE(client_->put(handle_, "k", "value").status.ok());
  const Answer part = client_->get(handle_, "k", 2);
  EXPECT_EQ(part.payload, "va");
  EXPECT_EQ(wire::decode_get_meta(std::as_bytes(std::span(part.meta)))->total_bytes, 5U);
  EXPECT_EQ(client_->get(handle_, "k", 0).payload, "");
  EXPECT_EQ(client_->get(handle_, "none").status.code(), Code::kNotFound);
}

TEST_P(ValueOps, PutReplacesAndMakesGrantsOfTheOldValueStale) {
  const uint64_t old_id = shelf_->stat("r")->id;
  const Answer put = client_->put(handle_, "r", "new");
  ASSERT_TRUE(put.status.ok());
  EXPECT_NE(put.header.offset, old_id);
  EXPECT_EQ(bytes_of("r"), "new");
  EXPECT_EQ(client_->read(grant_, 0, 1).status.code(), Code::kStaleGrant);
  EXPECT_EQ(client_->write(grant_, 0, "x").status.code(), Code::kStaleGrant);
}

TEST_P(ValueOps, RunningReadOfTheOldValueStaysWhole) {
  ASSERT_TRUE(client_->put(handle_, "k", std::string(100'000, 'a')).status.ok());
  auto running = client_->handler->begin(
      {.op = Op::kGet, .grant = {0, handle_}, .length = UINT64_MAX, .meta_bytes = 1},
      std::as_bytes(std::span("k", 1)));
  ASSERT_TRUE(running.ok());
  for (int round = 0; round < 8; ++round) {
    ASSERT_TRUE(client_->put(handle_, "k", std::string(100'000, 'b')).status.ok());
  }
  const transport::Window window = (*running)->windows()[0];
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(window.data), window.bytes),
            std::string(100'000, 'a'));
  Answer answer;
  Client::finish(**running, answer);
}

TEST_P(ValueOps, PutWhereAbsentLeavesWhatIsThere) {
  ASSERT_TRUE(client_->put(handle_, "k", "1", 0, wire::kFlagIfAbsent).status.ok());
  const uint64_t before = free_bytes();
  EXPECT_EQ(client_->put(handle_, "k", "2", 0, wire::kFlagIfAbsent).status.code(),
            Code::kAlreadyExists);
  EXPECT_EQ(bytes_of("k"), "1");
  EXPECT_EQ(free_bytes(), before);
}

TEST_P(ValueOps, RepeatedPutIsAppliedOnceAndAnsweredAgain) {
  const Answer first = client_->put(handle_, "k", "1", 5);
  ASSERT_TRUE(first.status.ok());
  ASSERT_TRUE(client_->put(handle_, "k", "2", 6).status.ok());
  const Answer again = client_->put(handle_, "k", "1", 5);
  ASSERT_TRUE(again.status.ok()) << again.status.error().message();
  EXPECT_EQ(again.header.offset, first.header.offset);
  EXPECT_EQ(bytes_of("k"), "2");
}

TEST_P(ValueOps, SameRequestIdWithAnotherBodyIsAConflict) {
  ASSERT_TRUE(client_->put(handle_, "k", "1", 5).status.ok());
  EXPECT_EQ(client_->put(handle_, "k", "2", 5).status.code(), Code::kConflict);
  EXPECT_EQ(client_->put(handle_, "other", "1", 5).status.code(), Code::kConflict);
  EXPECT_EQ(client_->put(handle_, "k", "1", 5, wire::kFlagIfAbsent).status.code(), Code::kConflict);
  EXPECT_EQ(bytes_of("k"), "1");
}

TEST_P(ValueOps, RepeatedPutWorksOnAShelfThatIsFullByNow) {
  const std::string large(4 << 20, 'x');
  ASSERT_TRUE(client_->put(handle_, "a", large, 1).status.ok());
  while (client_->put(handle_, "fill" + std::to_string(free_bytes()), large).status.ok()) {
  }
  EXPECT_EQ(client_->put(handle_, "one-more", large).status.code(), Code::kNoSpace);
  const Answer again = client_->put(handle_, "a", large, 1);
  EXPECT_TRUE(again.status.ok()) << again.status.error().message();
}

TEST_P(ValueOps, AbandonedAndRefusedPutsGiveTheirSpaceBack) {
  const uint64_t before = free_bytes();
  wire::PutMeta meta;
  meta.name = "k";
  const std::string encoded = wire::encode_put_meta(meta);
  const wire::FrameHeader header{.op = Op::kPut, .grant = {0, handle_}, .payload_bytes = 1 << 20};
  auto operation = client_->handler->begin(header, std::as_bytes(std::span(encoded)));
  ASSERT_TRUE(operation.ok());
  EXPECT_LT(free_bytes(), before);
  operation->reset();  // the connection broke in the middle of the payload
  EXPECT_EQ(free_bytes(), before);
  EXPECT_EQ(client_->get(handle_, "k").status.code(), Code::kNotFound);
  EXPECT_EQ(
      client_->put(handle_, std::string("bad\0name", 8), std::string(1 << 20, 'x')).status.code(),
      Code::kInvalidArgument);
  EXPECT_EQ(free_bytes(), before);
}

TEST_P(ValueOps, GarbledMetaAndAttributesAreRefused) {
  EXPECT_EQ(client_->call({.op = Op::kPut, .grant = {0, handle_}}, "garbage", "v").status.code(),
            Code::kInvalidArgument);
  EXPECT_FALSE(client_->put(handle_, "k", "v", 0, 0, "no attributes").status.ok());
  EXPECT_EQ(client_->get(handle_, "").status.code(), Code::kNotFound);
}

TEST_P(ValueOps, RightsAreThoseOfTheMomentOfTheFrame) {
  const session::OpenedSession guest = open_session("unix:guest");
  const uint64_t handle = handle_of(guest);
  auto client = connect(guest);
  ASSERT_TRUE(client_->put(handle_, "k", "v").status.ok());
  EXPECT_EQ(client->get(handle, "k").status.code(), Code::kNotFound);  // no right: no such shelf
  update([](store::ShelfInfo& info) { info.acl = {{"unix:g*", store::kRead}}; });
  EXPECT_EQ(client->get(handle, "k").payload, "v");
  EXPECT_EQ(client->put(handle, "k", "w").status.code(), Code::kPermissionDenied);
  update([](store::ShelfInfo& info) { info.acl = {{"unix:guest", store::kWrite}}; });
  EXPECT_TRUE(client->put(handle, "k", "w").status.ok());
  EXPECT_EQ(client->get(handle, "k").status.code(), Code::kPermissionDenied);
  update([](store::ShelfInfo& info) { info.acl.clear(); });
  EXPECT_EQ(client->put(handle, "k", "x").status.code(), Code::kNotFound);
  EXPECT_EQ(bytes_of("k"), "w");
}

TEST_P(ValueOps, HandlesOfOtherSessionsAndErasedShelvesAreStale) {
  const session::OpenedSession other = open_session("unix:owner");
  auto client = connect(other);
  EXPECT_EQ(client->get(handle_, "r").status.code(), Code::kStaleGrant);
  EXPECT_EQ(client_->get(handle_ + 100, "r").status.code(), Code::kStaleGrant);
  auto doomed = make_shelf("doomed");
  const uint64_t handle = *handles_.open(session_.id, doomed->key(), doomed);
  ASSERT_TRUE(client_->put(handle, "k", "v").status.ok());
  doomed.reset();
  ASSERT_TRUE(pool_->erase_shelf("doomed", {}).ok());
  EXPECT_EQ(client_->get(handle, "k").status.code(), Code::kStaleGrant);
}

TEST_P(ValueOps, ManyWritersOfOneNameLeaveOneWholeValue) {
  std::vector<std::thread> writers;
  for (char letter : {'a', 'b', 'c', 'd'}) {
    writers.emplace_back([this, letter] {
      auto client = connect(session_);
      for (int round = 0; round < 25; ++round) {
        const Answer put = client->put(handle_, "hot", std::string(5000, letter));
        EXPECT_TRUE(put.status.ok()) << put.status.error().message();
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string value = bytes_of("hot");
  EXPECT_EQ(value, std::string(5000, value[0]));
  EXPECT_EQ(shelf_->space().region_count, 2U);  // "r" and "hot": nothing is left behind
}

TEST_P(ValueOps, TransactionWritesAllRangesOfSeveralRegions) {
  const wire::GrantId second = make_grant(session_, "r2", 4096);
  const Answer done =
      transact(*client_, {{grant_, {0, 3}}, {second, {10, 2}}, {grant_, {4095, 1}}}, "abcdez");
  ASSERT_TRUE(done.status.ok()) << done.status.error().message();
  EXPECT_EQ(bytes_of("r").substr(0, 3), "abc");
  EXPECT_EQ(bytes_of("r")[4095], 'z');
  EXPECT_EQ(bytes_of("r2").substr(10, 2), "de");
  EXPECT_EQ(memory_.used_bytes(), 0U);
}

TEST_P(ValueOps, TransactionWithOneBadRangeChangesNothing) {
  const wire::GrantId read_only = make_grant(session_, "r", 4096, store::kRead);
  EXPECT_EQ(transact(*client_, {{grant_, {0, 1}}, {grant_, {4096, 1}}}, "ab").status.code(),
            Code::kOutOfRange);
  EXPECT_EQ(transact(*client_, {{grant_, {0, 1}}, {read_only, {0, 1}}}, "ab").status.code(),
            Code::kPermissionDenied);
  EXPECT_EQ(transact(*client_, {{grant_, {0, 1}}, {{1, 2}, {0, 1}}}, "ab").status.code(),
            Code::kStaleGrant);
  EXPECT_EQ(transact(*client_, {{grant_, {0, 1}}}, "ab").status.code(), Code::kInvalidArgument);
  EXPECT_EQ(transact(*client_, {{grant_, {0, 3}}}, "ab").status.code(), Code::kInvalidArgument);
  EXPECT_EQ(transact(*client_, {}, "").status.code(), Code::kInvalidArgument);
  EXPECT_EQ(bytes_of("r"), std::string(4096, '\0'));
}

TEST_P(ValueOps, TransactionOverShelvesIsRefused) {
  auto other = make_shelf("other");
  ASSERT_TRUE(other->create("r", 4096, {}, {}).ok());
  auto ref = *other->open("r");
  const wire::GrantId foreign = *registry_.grant(
      session_.id, {{other->key(), ref->id(), false}, 4096, store::kRead | store::kWrite, ref});
  EXPECT_EQ(transact(*client_, {{grant_, {0, 1}}, {foreign, {0, 1}}}, "ab").status.code(),
            Code::kInvalidArgument);
}

TEST_P(ValueOps, RepeatedTransactionIsAppliedOnceAlsoWithOtherGrants) {
  ASSERT_TRUE(transact(*client_, {{grant_, {0, 1}}}, "a", 9).status.ok());
  ASSERT_TRUE(client_->write(grant_, 0, "b").status.ok());
  const wire::GrantId again = make_grant(session_, "r", 4096);
  EXPECT_TRUE(transact(*client_, {{again, {0, 1}}}, "a", 9).status.ok());
  EXPECT_EQ(bytes_of("r")[0], 'b');
  EXPECT_EQ(transact(*client_, {{grant_, {0, 1}}}, "c", 9).status.code(), Code::kConflict);
}

TEST_P(ValueOps, TransactionsOnTheirWayAreBoundedInMemory) {
  make_grant(session_, "big", 8 << 20);
  const wire::GrantId big = grant_existing(session_, "big", store::kWrite);
  const Answer refused = transact(*client_, {{big, {0, 5 << 20}}}, std::string(5 << 20, 'x'));
  EXPECT_EQ(refused.status.code(), Code::kResourceExhausted);
  EXPECT_THAT(refused.status.error().message(), HasSubstr("buffer_memory"));
  EXPECT_TRUE(transact(*client_, {{big, {0, 3 << 20}}}, std::string(3 << 20, 'x')).status.ok());
}

TEST_P(ValueOps, FullFlushQueueIsAnErrorNotAWait) {
  if (!shelf_->blocking()) {
    // Nothing is queued on media that do not block: every answer comes at once.
    workers_.stop();
    EXPECT_TRUE(client_->put(handle_, "k", "v").status.ok());
    EXPECT_TRUE(client_->write(grant_, 0, "x").status.ok());
    return;
  }
  const uint64_t before = free_bytes();
  workers_.stop();
  const Answer refused = client_->put(handle_, "k", "v");
  EXPECT_EQ(refused.status.code(), Code::kResourceExhausted);
  EXPECT_THAT(refused.status.error().message(), HasSubstr("flush_threads"));
  EXPECT_EQ(client_->write(grant_, 0, "x").status.code(), Code::kResourceExhausted);
  EXPECT_EQ(free_bytes(), before);
}

INSTANTIATE_TEST_SUITE_P(Media, ValueOps, ::testing::Values("/dev/shm", "/var/tmp"),
                         [](const auto& info) {
                           return info.param == "/dev/shm" ? "Tmpfs" : "PageCache";
                         });

}  // namespace
}  // namespace pmshelf::dataplane
