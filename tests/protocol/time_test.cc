// Peers that take their time: every wait of the server has an end.
#include "tests/protocol/protocol_fixture.h"

namespace pmshelf::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using wire::FrameHeader;
using wire::Op;

constexpr StreamLimits kHurried{
    .hello_timeout_ms = 300, .progress_timeout_ms = 300, .in_flight_max = 16};

class Protocol_Time : public ProtocolTest {
 protected:
  Protocol_Time() : ProtocolTest(kHurried) {}

  // One byte now and then, for ever: closed, and not before the time is over.
  void expect_drip_closes(RawClient& client) {
    const auto begin = steady_clock::now();
    for (int i = 0; i < 200; ++i) {
      client.send_text(std::string(1, '\0'));
      std::this_thread::sleep_for(milliseconds(25));
      if (client.is_cut_off_now()) break;
    }
    const auto passed = steady_clock::now() - begin;
    EXPECT_TRUE(client.is_cut_off_now());
    EXPECT_GE(passed, milliseconds(200));
    EXPECT_LT(passed, milliseconds(4000));
  }
};
INSTANTIATE_TEST_SUITE_P(All, Protocol_Time, testing::Values(StreamKind::kTcp, StreamKind::kUnix),
                         kind_name);

TEST_P(Protocol_Time, SilenceBeforeHelloCloses) {
  RawClient silent = client();
  EXPECT_TRUE(silent.is_closed());
}

TEST_P(Protocol_Time, HelloOneByteAtATimeCloses) {
  RawClient slow = client();
  const HeaderBytes hello = header_bytes(request(Op::kHello));
  slow.send(std::span(hello).first(10));
  expect_drip_closes(slow);
}

TEST_P(Protocol_Time, HeaderOneByteAtATimeCloses) {
  RawClient slow = open_client();
  const HeaderBytes ping = header_bytes(request(Op::kPing));
  slow.send(std::span(ping).first(10));
  expect_drip_closes(slow);
}

TEST_P(Protocol_Time, PayloadOneByteAtATimeCloses) {
  RawClient slow = open_client();
  FrameHeader write = request(Op::kWrite);
  write.grant = service().add_region(4 << 20, kTestWrite);
  write.payload_bytes = 4 << 20;
  slow.send(header_bytes(write));
  expect_drip_closes(slow);
}

TEST_P(Protocol_Time, RefusedPayloadOneByteAtATimeCloses) {
  RawClient slow = open_client();
  FrameHeader write = request(Op::kWrite);
  write.payload_bytes = 4 << 20;
  slow.send(header_bytes(write));
  expect_drip_closes(slow);
}

TEST_P(Protocol_Time, IdleConnectionsStay) {
  RawClient idle = open_client();
  std::this_thread::sleep_for(milliseconds(1000));
  idle.send_frame(request(Op::kPing, 4));
  const auto answer = idle.receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->header.tag, 4u);
}

TEST_P(Protocol_Time, LongOperationsAreWaitedFor) {
  service().hold = true;
  RawClient patient = open_client();
  FrameHeader flush = request(Op::kFlush, 4);
  flush.grant = service().add_region(64, kTestWrite);
  patient.send_frame(flush);
  std::this_thread::sleep_for(milliseconds(1000));
  service().hold = false;
  service().release_held();
  ASSERT_TRUE(patient.receive().has_value());
}

// Frames that wait behind a full pipeline are not their sender's fault.
TEST_P(Protocol_Time, PipelineThatIsFullIsNoLackOfProgress) {
  service().hold = true;
  RawClient patient = open_client();
  FrameHeader flush = request(Op::kFlush);
  flush.grant = service().add_region(64, kTestWrite);
  for (int i = 0; i < 100; ++i) patient.send_frame(flush);
  std::this_thread::sleep_for(milliseconds(1000));
  EXPECT_EQ(service().begun_count(), kHurried.in_flight_max);
  service().hold = false;
  service().release_held();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(patient.receive().has_value());
}

TEST_P(Protocol_Time, ReaderThatTakesNothingIsCutOff) {
  RawClient greedy = open_client();
  FrameHeader read = request(Op::kRead);
  read.grant = service().add_region(8 << 20, kTestRead);
  read.length = 8 << 20;
  for (int i = 0; i < 64; ++i) greedy.send_frame(read);
  EXPECT_TRUE(greedy.is_cut_off());
  EXPECT_LE(service().begun_count(), kHurried.in_flight_max + 1);
}

// Its small answers fill at most the buffer; then the server stops reading it.
TEST_P(Protocol_Time, ReaderThatTakesNoSmallAnswersIsCutOff) {
  RawClient greedy = open_client();
  FrameHeader read = request(Op::kRead);
  read.grant = service().add_region(4096, kTestRead);
  read.length = 4096;
  const HeaderBytes bytes = header_bytes(read);
  std::string burst;
  for (int i = 0; i < 1000; ++i) {
    burst.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::thread sender([&] {
    for (int i = 0; i < 100; ++i) greedy.send_text(burst);
  });
  EXPECT_TRUE(greedy.is_cut_off());
  sender.join();
  EXPECT_LT(service().begun_count(), 20'000u);
}

}  // namespace
}  // namespace pmshelf::transport
