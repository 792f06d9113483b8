// Promises of requests on grants: exactly the granted bytes, with the granted rights, for no longer
// than the grant lives.
#include <gmock/gmock.h>

#include "plane_fixture.h"

namespace pmshelf::dataplane {
namespace {

using ::testing::HasSubstr;
using wire::Op;

constexpr uint64_t kHuge = UINT64_MAX;

class RegionOps : public PlaneTest {};

TEST_P(RegionOps, WrittenBytesAreReadBackAndNothingElseChanges) {
  auto client = connect(session_);
  ASSERT_TRUE(client->write(grant_, 100, "hello").status.ok());
  EXPECT_EQ(client->read(grant_, 98, 9).payload, std::string("\0\0hello\0\0", 9));
  EXPECT_EQ(bytes_of("r"), std::string(100, '\0') + "hello" + std::string(3991, '\0'));
}

TEST_P(RegionOps, VisibleOnlyWritesAreReadBackToo) {
  auto client = connect(session_);
  ASSERT_TRUE(client->write(grant_, 0, "x", wire::kFlagVisibleOnly).status.ok());
  EXPECT_EQ(client->read(grant_, 0, 1).payload, "x");
}

TEST_P(RegionOps, RangesOneByteOverOrOverflowingAreRefused) {
  auto client = connect(session_);
  EXPECT_TRUE(client->write(grant_, 4095, "x").status.ok());
  EXPECT_TRUE(client->read(grant_, 4096, 0).status.ok());
  for (const uint16_t flags : {uint16_t{0}, wire::kFlagVisibleOnly}) {
    for (const auto& [offset, bytes] : std::vector<std::pair<uint64_t, std::string>>{
             {4095, "xy"}, {4096, "x"}, {kHuge, "x"}, {kHuge - 1, "xy"}}) {
      const Answer over = client->write(grant_, offset, bytes, flags);
      EXPECT_EQ(over.status.code(), Code::kOutOfRange) << offset;
      EXPECT_TRUE(over.refused) << offset;
    }
  }
  EXPECT_EQ(client->read(grant_, 0, 4097).status.code(), Code::kOutOfRange);
  EXPECT_EQ(client->read(grant_, kHuge, 1).status.code(), Code::kOutOfRange);
  EXPECT_EQ(client->read(grant_, 0, kHuge).status.code(), Code::kInvalidArgument);
  for (const auto& [offset, length, code] :
       std::vector<std::tuple<uint64_t, uint64_t, Code>>{{0, 0, Code::kOk},
                                                         {0, 4096, Code::kOk},
                                                         {4096, 0, Code::kOk},
                                                         {0, 4097, Code::kOutOfRange},
                                                         {1, 4096, Code::kOutOfRange},
                                                         {0, kHuge, Code::kOutOfRange},
                                                         {kHuge, kHuge, Code::kOutOfRange}}) {
    const Answer answer =
        client->call({.op = Op::kFlush, .grant = grant_, .offset = offset, .length = length});
    EXPECT_EQ(answer.status.code(), code) << offset << "+" << length;
  }
  EXPECT_EQ(bytes_of("r"), std::string(4095, '\0') + "x");
}

TEST_P(RegionOps, RightsBind) {
  auto client = connect(session_);
  const wire::GrantId read_only = make_grant(session_, "r", 4096, store::kRead);
  const wire::GrantId write_only = make_grant(session_, "r", 4096, store::kWrite);
  EXPECT_EQ(client->write(read_only, 0, "x").status.code(), Code::kPermissionDenied);
  EXPECT_EQ(client->call({.op = Op::kFlush, .grant = read_only}).status.code(),
            Code::kPermissionDenied);
  EXPECT_EQ(client->call({.op = Op::kAtomicWrite8, .grant = read_only}).status.code(),
            Code::kPermissionDenied);
  EXPECT_EQ(client->read(write_only, 0, 1).status.code(), Code::kPermissionDenied);
  EXPECT_TRUE(client->read(read_only, 0, 1).status.ok());
  EXPECT_TRUE(client->write(write_only, 0, "x").status.ok());
}

TEST_P(RegionOps, ForeignUnknownRevokedAndExpiredGrantsAreStale) {
  const session::OpenedSession other = open_session("unix:owner");
  auto stranger = connect(other);
  auto client = connect(session_);
  EXPECT_EQ(stranger->read(grant_, 0, 1).status.code(), Code::kStaleGrant);
  EXPECT_EQ(client->read({1, 2}, 0, 1).status.code(), Code::kStaleGrant);
  ASSERT_TRUE(client->read(grant_, 0, 1).status.ok());
  ASSERT_TRUE(registry_.revoke({shelf_->key(), shelf_->stat("r")->id, false}, 100).ok());
  EXPECT_EQ(client->read(grant_, 0, 1).status.code(), Code::kStaleGrant);
  EXPECT_EQ(client->write(grant_, 0, "x").status.code(), Code::kStaleGrant);
  const wire::GrantId second = make_grant(session_, "r", 4096);
  clock_.advance_ms(registry_.lease_ms() + 1);
  EXPECT_EQ(client->read(second, 0, 1).status.code(), Code::kStaleGrant);
}

TEST_P(RegionOps, RunningWriteHoldsBackRevocation) {
  auto client = connect(session_);
  const session::RegionKey key{shelf_->key(), shelf_->stat("r")->id, false};
  auto operation =
      client->handler->begin({.op = Op::kWrite, .grant = grant_, .payload_bytes = 1}, {});
  ASSERT_TRUE(operation.ok());
  EXPECT_EQ(registry_.revoke(key, 20).code(), Code::kBusy);
  Client::fill(**operation, "z");
  Answer answer;
  Client::finish(**operation, answer);
  EXPECT_TRUE(answer.status.ok());
  operation->reset();
  EXPECT_TRUE(registry_.revoke(key, 1000).ok());
  EXPECT_EQ(bytes_of("r")[0], 'z');
}

TEST_P(RegionOps, AtomicWriteStoresEightLittleEndianBytes) {
  auto client = connect(session_);
  const auto atomic = [&](uint64_t offset) {
    return client->call(
        {.op = Op::kAtomicWrite8, .grant = grant_, .offset = offset, .length = 0x0807060504030201});
  };
  ASSERT_TRUE(atomic(8).status.ok());
  EXPECT_EQ(client->read(grant_, 8, 8).payload, "\1\2\3\4\5\6\7\10");
  EXPECT_EQ(atomic(12).status.code(), Code::kInvalidArgument);
  EXPECT_EQ(atomic(4096).status.code(), Code::kOutOfRange);
  EXPECT_EQ(atomic(kHuge - 7).status.code(), Code::kOutOfRange);
}

TEST_P(RegionOps, SeveralRangesAreOneRequest) {
  auto client = connect(session_);
  const std::vector<wire::Range> ranges = {{10, 3}, {4093, 3}, {0, 0}, {20, 2}};
  const std::string meta = wire::encode_ranges(ranges);
  ASSERT_TRUE(
      client->call({.op = Op::kWriteRanges, .grant = grant_}, meta, "abcdefgh").status.ok());
  EXPECT_EQ(client->call({.op = Op::kReadRanges, .grant = grant_}, meta).payload, "abcdefgh");
  EXPECT_EQ(client->read(grant_, 4093, 3).payload, "def");
}

TEST_P(RegionOps, RangesThatDoNotFitAreRefusedWhole) {
  auto client = connect(session_);
  const auto write = [&](const std::vector<wire::Range>& ranges, const std::string& payload) {
    return client
        ->call({.op = Op::kWriteRanges, .grant = grant_}, wire::encode_ranges(ranges), payload)
        .status.code();
  };
  EXPECT_EQ(write({{0, 2}, {4095, 2}}, "abcd"), Code::kOutOfRange);
  EXPECT_EQ(write({{0, 2}, {kHuge, 2}}, "abcd"), Code::kInvalidArgument);  // wraps around
  EXPECT_EQ(write({{0, 2}, {8, 2}}, "abcde"), Code::kInvalidArgument);
  EXPECT_EQ(write({{0, 2}, {8, 2}}, "abc"), Code::kInvalidArgument);
  EXPECT_EQ(client->call({.op = Op::kReadRanges, .grant = grant_}, "garbage").status.code(),
            Code::kInvalidArgument);
  EXPECT_EQ(bytes_of("r"), std::string(4096, '\0'));
}

TEST_P(RegionOps, PayloadWhereNoneBelongsIsRefused) {
  auto client = connect(session_);
  const Answer answer = client->call({.op = Op::kRead, .grant = grant_, .length = 1}, {}, "x");
  EXPECT_EQ(answer.status.code(), Code::kInvalidArgument);
  EXPECT_THAT(answer.status.error().message(), HasSubstr("payload_bytes"));
}

TEST_P(RegionOps, EveryAnswerIsCountedOnceUnderItsPath) {
  auto client = connect(session_);
  ASSERT_TRUE(client->write(grant_, 0, "abc").status.ok());
  ASSERT_TRUE(client->read(grant_, 0, 2).status.ok());
  EXPECT_FALSE(client->read(grant_, 0, 5000).status.ok());
  const OpSnapshot counts = metrics_.snapshot();
  const auto& tcp = counts.ops[static_cast<size_t>(Path::kTcp)];
  EXPECT_EQ(tcp[static_cast<size_t>(Op::kWrite)].count, 1U);
  EXPECT_EQ(tcp[static_cast<size_t>(Op::kWrite)].bytes, 3U);
  EXPECT_EQ(tcp[static_cast<size_t>(Op::kRead)].count, 2U);
  EXPECT_EQ(tcp[static_cast<size_t>(Op::kRead)].bytes, 2U);
  EXPECT_EQ(counts.errors[static_cast<size_t>(Code::kOutOfRange)], 1U);
}

INSTANTIATE_TEST_SUITE_P(Media, RegionOps, ::testing::Values("/dev/shm", "/var/tmp"),
                         [](const auto& info) {
                           return info.param == "/dev/shm" ? "Tmpfs" : "PageCache";
                         });

}  // namespace
}  // namespace pmshelf::dataplane
