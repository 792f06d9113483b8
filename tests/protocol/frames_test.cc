// Frames of every wrong kind, after a right Hello.
#include <random>

#include "tests/protocol/protocol_fixture.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::Op;

class Protocol_Frames : public ProtocolTest {};
INSTANTIATE_TEST_SUITE_P(All, Protocol_Frames, testing::Values(StreamKind::kTcp, StreamKind::kUnix),
                         kind_name);

TEST_P(Protocol_Frames, BadMagicVersionCrcAndReservedBitsClose) {
  const FrameHeader ping = request(Op::kPing);
  expect_closes(patched<uint16_t>(ping, 0, 0x4711));
  expect_closes(patched<uint8_t>(ping, 2, 2));
  HeaderBytes bad_crc = header_bytes(ping);
  bad_crc[63] ^= std::byte{1};
  expect_closes(bad_crc);
  expect_closes(patched<uint16_t>(ping, 6, 16));
  expect_closes(patched<uint32_t>(ping, 56, 1));
  expect_closes(patched<uint16_t>(ping, 4, 1));  // a status in a request
}

TEST_P(Protocol_Frames, OpsThatAreNotRequestsClose) {
  for (const uint8_t op : {0, 1, 2, 16, 17, 18, 255}) {
    expect_closes(patched<uint8_t>(request(Op::kPing), 3, op));
  }
  FrameHeader reply = request(Op::kPing);
  reply.flags = wire::kFlagReply;
  expect_closes(header_bytes(reply));
}

TEST_P(Protocol_Frames, LengthsOverTheLimitsClose) {
  const FrameHeader write = request(Op::kWrite);
  expect_closes(patched<uint32_t>(write, 48, UINT32_MAX));
  expect_closes(patched<uint32_t>(write, 48, wire::kFrameMetaBytesMax + 1));
  expect_closes(patched<uint32_t>(write, 52, UINT32_MAX));
  expect_closes(patched<uint32_t>(write, 52, wire::kFramePayloadBytesMax + 1));
}

TEST_P(Protocol_Frames, GarbageCloses) {
  std::minstd_rand random(7);
  for (int i = 0; i < 20; ++i) {
    std::vector<std::byte> bytes(1 + random() % 5000);
    for (std::byte& value : bytes) value = static_cast<std::byte>(random() >> 5);
    if (bytes.size() < wire::kFrameHeaderBytes) bytes.resize(wire::kFrameHeaderBytes);
    expect_closes(bytes);
  }
}

TEST_P(Protocol_Frames, HalfFramesThenCloseLeaveNothing) {
  FrameHeader write = request(Op::kWrite);
  write.grant = service().add_region(1 << 20, kTestWrite);
  write.payload_bytes = 100'000;
  const HeaderBytes bytes = header_bytes(write);
  for (const size_t length : {size_t{1}, size_t{63}, size_t{64}}) {
    RawClient client = open_client();
    client.send(std::span(bytes).first(length));
  }
  RawClient client = open_client();
  client.send(bytes);
  client.send_text(std::string(99'999, 'x'));
  ASSERT_TRUE(eventually([&] { return service().operation_count() == 1; }));
}  // the fixture finds the operation gone

TEST_P(Protocol_Frames, FragmentedOneByteAtATimeAreServed) {
  RawClient client = open_client();
  FrameHeader write = request(Op::kWrite, 3);
  write.grant = service().add_region(100, kTestWrite | kTestRead);
  write.payload_bytes = 10;
  write.length = 10;
  const HeaderBytes bytes = header_bytes(write);
  for (const std::byte& value : bytes) client.send(std::span(&value, 1));
  for (int i = 0; i < 10; ++i) client.send_text("y");
  const auto answer = client.receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->header.status, 0);
  EXPECT_EQ(service().bytes_of(write.grant)[9], std::byte{'y'});
}

TEST_P(Protocol_Frames, MalformedMetaIsAnswered) {
  RawClient client = open_client();
  const auto grant = service().add_region(4096, kTestRead | kTestWrite);
  FrameHeader header = request(Op::kReadRanges);
  header.grant = grant;
  expect_answer(client, header, "", "", Code::kInvalidArgument);
  expect_answer(client, header, std::string(7, '\0'), "", Code::kInvalidArgument);
  expect_answer(client, header, std::string(8, '\xff'), "", Code::kInvalidArgument);
  expect_answer(client, header, std::string(65536, '\xff'), "", Code::kInvalidArgument);
  header.op = Op::kTransact;
  expect_answer(client, header, "short", "payload", Code::kInvalidArgument);
  header.op = Op::kPut;
  expect_answer(client, header, "short", std::string(100'000, 'p'), Code::kInvalidArgument);
}

TEST_P(Protocol_Frames, PayloadThatDoesNotMatchItsRangesIsAnswered) {
  RawClient client = open_client();
  FrameHeader header = request(Op::kWriteRanges);
  header.grant = service().add_region(4096, kTestRead | kTestWrite);
  const std::string ranges = wire::encode_ranges(std::vector<wire::Range>{{0, 10}});
  expect_answer(client, header, ranges, std::string(9, 'x'), Code::kInvalidArgument);
  expect_answer(client, header, ranges, std::string(11, 'x'), Code::kInvalidArgument);
  expect_answer(client, header, ranges, "", Code::kInvalidArgument);
  expect_answer(client, header, ranges, std::string(10, 'x'), Code::kOk);
  const std::string none = wire::encode_ranges({});
  expect_answer(client, header, none, "", Code::kOk);
}

TEST_P(Protocol_Frames, PayloadWhereNoneBelongsIsAnsweredAndDropped) {
  RawClient client = open_client();
  for (const Op op : {Op::kPing, Op::kRead, Op::kFlush, Op::kAtomicWrite8, Op::kGet}) {
    expect_answer(client, request(op), "", std::string(70'000, 'x'), Code::kInvalidArgument);
  }
}

TEST_P(Protocol_Frames, FlagsThatAnOpDoesNotKnowAreAnswered) {
  RawClient client = open_client();
  FrameHeader header = request(Op::kRead);
  header.flags = wire::kFlagVisibleOnly;
  expect_answer(client, header, "", "", Code::kInvalidArgument);
  header = request(Op::kWrite);
  header.flags = wire::kFlagIfAbsent;
  expect_answer(client, header, "", "", Code::kInvalidArgument);
}

TEST_P(Protocol_Frames, RangesOfGrantsAreCheckedToTheByte) {
  RawClient client = open_client();
  const auto grant = service().add_region(4096, kTestRead | kTestWrite);
  const auto ask = [&](Op op, uint64_t offset, uint64_t length, Code code) {
    FrameHeader header = request(op);
    header.grant = grant;
    header.offset = offset;
    header.length = length;
    expect_answer(client, header, "", "", code);
  };
  ask(Op::kFlush, 0, 4096, Code::kOk);
  ask(Op::kFlush, 0, 4097, Code::kOutOfRange);
  ask(Op::kFlush, 0, UINT64_MAX, Code::kOutOfRange);
  ask(Op::kFlush, UINT64_MAX, 1, Code::kOutOfRange);
  ask(Op::kRead, 4096, 1, Code::kOutOfRange);
  ask(Op::kRead, 0, uint64_t{1} << 32, Code::kOutOfRange);
  ask(Op::kRead, 1, UINT64_MAX, Code::kOutOfRange);
}

// Answers in a burst: many requests in one segment, all answered.
TEST_P(Protocol_Frames, ThousandRequestsInOneSendAreAllAnswered) {
  RawClient client = open_client();
  std::string burst;
  for (uint64_t tag = 0; tag < 1000; ++tag) {
    const HeaderBytes bytes = header_bytes(request(Op::kPing, tag));
    burst.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  client.send_text(burst);
  std::vector<bool> answered(1000);
  for (int i = 0; i < 1000; ++i) {
    const auto answer = client.receive();
    ASSERT_TRUE(answer.has_value());
    ASSERT_LT(answer->header.tag, 1000u);
    EXPECT_FALSE(answered[answer->header.tag]);
    answered[answer->header.tag] = true;
  }
}

TEST_P(Protocol_Frames, LocalOpsAreUnsupportedOverTcp) {
  if (GetParam() == StreamKind::kUnix) GTEST_SKIP() << "there they are supported";
  RawClient client = open_client();
  for (const Op op : {Op::kMap, Op::kUnmap, Op::kRing}) {
    expect_answer(client, request(op), "", "", Code::kUnsupported);
  }
}

}  // namespace
}  // namespace pmshelf::transport
