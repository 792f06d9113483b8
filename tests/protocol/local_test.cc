// What only a Unix socket can do: tokens, descriptors, the ring.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "common/base/endian.h"
#include "tests/protocol/protocol_fixture.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::Op;

constexpr uint64_t kRingBytes = 1 << 20;

class Protocol_Local : public ProtocolTest {
 protected:
  // A client with its ring mapped.
  RawClient ring_client() {
    RawClient result = open_client();
    FrameHeader ring = request(Op::kRing);
    ring.length = kRingBytes;
    result.send_frame(ring);
    const auto answer = result.receive();
    EXPECT_EQ(answer->header.status, 0);
    fd_ = result.take_fd();
    void* data = ::mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    EXPECT_NE(data, MAP_FAILED);
    ring_ = static_cast<std::byte*>(data);
    return result;
  }
  void TearDown() override {
    if (ring_ != nullptr) ::munmap(ring_, kRingBytes);
  }
  FrameHeader in_ring(Op op, uint64_t length, uint32_t payload_bytes) {
    FrameHeader header = request(op);
    header.grant = grant_;
    header.length = length;
    header.payload_bytes = payload_bytes;
    header.flags = wire::kFlagInRing;
    return header;
  }
  static std::string position(uint64_t value) {
    std::string meta(8, '\0');
    store_le<uint64_t>(reinterpret_cast<std::byte*>(meta.data()), value);
    return meta;
  }

  const wire::GrantId grant_ = service().add_region(4 << 20, kTestRead | kTestWrite);
  UniqueFd fd_;
  std::byte* ring_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(All, Protocol_Local, testing::Values(StreamKind::kUnix), kind_name);

TEST_P(Protocol_Local, PeerTokenIsGivenOnTheKernelsWord) {
  const auto token = fetch_peer_token(server().socket_path(), 5000);
  ASSERT_TRUE(token.ok()) << token.error().to_string();
  EXPECT_EQ(*token,
            "token of uid " + std::to_string(::getuid()) + " pid " + std::to_string(::getpid()));
}

TEST_P(Protocol_Local, OneTokenAConnectionAndThenHello) {
  RawClient honest = client();
  honest.send_frame(request(Op::kPeerToken, 3));
  EXPECT_EQ(honest.receive()->header.tag, 3u);
  honest.say_hello();
  RawClient greedy = client();
  greedy.send_frame(request(Op::kPeerToken));
  EXPECT_TRUE(greedy.receive().has_value());
  greedy.send_frame(request(Op::kPeerToken));
  EXPECT_TRUE(greedy.is_closed());
  RawClient late = open_client();
  late.send_frame(request(Op::kPeerToken));
  EXPECT_TRUE(late.is_closed());
}

TEST_P(Protocol_Local, RingCarriesPayloadsBothWays) {
  RawClient client = ring_client();
  std::fill_n(ring_ + 5000, 70'000, std::byte{0x5A});
  expect_answer(client, in_ring(Op::kWrite, 70'000, 70'000), position(5000), "", Code::kOk);
  EXPECT_EQ(service().bytes_of(grant_)[69'999], std::byte{0x5A});
  EXPECT_EQ(service().bytes_of(grant_)[70'000], std::byte{0});
  client.send_frame(in_ring(Op::kRead, 70'000, 0), position(kRingBytes - 70'000));
  const auto answer = client.receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->header.payload_bytes, 70'000u);
  EXPECT_EQ(answer->header.flags, wire::kFlagReply | wire::kFlagInRing);
  EXPECT_EQ(ring_[kRingBytes - 1], std::byte{0x5A});
}

TEST_P(Protocol_Local, RingPositionsAreCheckedToTheByte) {
  RawClient client = ring_client();
  const auto write = [&](uint64_t at, uint32_t bytes, Code code) {
    expect_answer(client, in_ring(Op::kWrite, bytes, bytes), position(at), "", code);
  };
  write(kRingBytes - 100, 100, Code::kOk);
  write(kRingBytes - 100, 101, Code::kOutOfRange);
  write(kRingBytes, 1, Code::kOutOfRange);
  write(kRingBytes, 0, Code::kOk);
  write(UINT64_MAX, 1, Code::kOutOfRange);
  write(UINT64_MAX - 50, 100, Code::kOutOfRange);
  const auto read = [&](uint64_t at, uint64_t bytes, Code code) {
    FrameHeader header = in_ring(Op::kRead, bytes, 0);
    expect_answer(client, header, position(at), "", code);
  };
  read(kRingBytes - 100, 100, Code::kOk);
  read(kRingBytes - 100, 101, Code::kOutOfRange);
  read(UINT64_MAX - 50, 100, Code::kOutOfRange);
  expect_answer(client, in_ring(Op::kWrite, 8, 8), "short", "", Code::kInvalidArgument);
  expect_answer(client, in_ring(Op::kPing, 0, 0), position(0), "", Code::kInvalidArgument);
}

TEST_P(Protocol_Local, RingFlagWithoutARingIsAnswered) {
  RawClient client = open_client();
  expect_answer(client, in_ring(Op::kWrite, 100, 100), position(0), "", Code::kInvalidArgument);
}

TEST_P(Protocol_Local, RingSizesAndASecondRingAreChecked) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{4097}, uint64_t{65} << 20,
                               UINT64_MAX, UINT64_MAX - 4095}) {
    RawClient client = open_client();
    FrameHeader ring = request(Op::kRing);
    ring.length = bytes;
    expect_answer(client, ring, "", "", Code::kInvalidArgument);
  }
  RawClient client = ring_client();
  FrameHeader ring = request(Op::kRing);
  ring.length = kRingBytes;
  expect_answer(client, ring, "", "", Code::kInvalidArgument);
}

TEST_P(Protocol_Local, RingCannotBeResizedOrUnsealed) {
  RawClient client = ring_client();
  EXPECT_NE(::ftruncate(fd_.get(), 0), 0);
  EXPECT_NE(::ftruncate(fd_.get(), kRingBytes * 2), 0);
  EXPECT_NE(::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  // A hole reads as zeros: no fault, no error.
  ASSERT_EQ(::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kRingBytes), 0);
  expect_answer(client, in_ring(Op::kWrite, 4096, 4096), position(0), "", Code::kOk);
}

// The bytes of a payload may change while they are taken; nothing else is decided by them.
TEST_P(Protocol_Local, RingChangingUnderTheServerHurtsNobody) {
  RawClient client = ring_client();
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {
    for (uint32_t i = 0; !stop; ++i) {
      for (uint64_t at = 0; at < kRingBytes; at += 4096) {
        __atomic_store_n(reinterpret_cast<uint32_t*>(ring_ + at), i, __ATOMIC_RELAXED);
      }
    }
  });
  for (int i = 0; i < 50; ++i) {
    expect_answer(client, in_ring(Op::kWrite, 500'000, 500'000), position(0), "", Code::kOk);
    client.send_frame(in_ring(Op::kRead, 500'000, 0), position(500'000));
    ASSERT_TRUE(client.receive().has_value());
  }
  stop = true;
  scribbler.join();
}

TEST_P(Protocol_Local, DescriptorsThatAClientPassesAreDropped) {
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  RawClient client = open_client();
  const HeaderBytes ping = header_bytes(request(Op::kPing));
  const std::vector<int> fds(50, STDERR_FILENO);
  const auto before = open_files();
  for (int i = 0; i < 20; ++i) {
    client.send_with_fds(ping, fds);
    ASSERT_TRUE(client.receive().has_value());
  }
  EXPECT_EQ(open_files(), before);
}

TEST_P(Protocol_Local, MapPassesExactlyOneDescriptor) {
  RawClient client = open_client();
  FrameHeader map = request(Op::kMap);
  map.grant = grant_;
  client.send_frame(map);
  const auto answer = client.receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->header.status, 0);
  EXPECT_EQ(answer->header.length, uint64_t{4} << 20);
  EXPECT_TRUE(client.take_fd());
  client.send_frame(request(Op::kPing));
  client.receive();
  EXPECT_FALSE(client.take_fd());
}

}  // namespace
}  // namespace pmshelf::transport
