// The client against servers that break the protocol: every call ends, with the truth, and nothing
// is written outside its target.
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <optional>
#include <random>

#include "common/base/check.h"
#include "tests/protocol/protocol_fixture.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::Op;

// Takes one connection through the handshake, then runs a script over it.
class RawServer {
 public:
  using Script = std::function<void(RawServer&)>;

  explicit RawServer(Script script, wire::HelloReply reply = {{}, 8 << 20, 128})
      : reply_(reply), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    auto* where = reinterpret_cast<sockaddr*>(&address);
    PMSHELF_CHECK(::bind(listener_.get(), where, bytes) == 0 && ::listen(listener_.get(), 1) == 0 &&
                  ::getsockname(listener_.get(), where, &bytes) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, script] {
      socket_.reset(::accept(listener_.get(), nullptr, nullptr));
      if (say_hello()) script(*this);
      socket_.reset();
    });
  }
  ~RawServer() { thread_.join(); }

  Result<std::unique_ptr<Channel>> connect() const {
    TcpConnectOptions options;
    options.host = "127.0.0.1";
    options.port = port_;
    return connect_tcp(options);
  }
  void send(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
  }
  void send_frame(FrameHeader header, const std::string& meta = "",
                  const std::string& payload = "") {
    header.meta_bytes = static_cast<uint32_t>(meta.size());
    header.payload_bytes = static_cast<uint32_t>(payload.size());
    send(header_bytes(header));
    send(std::as_bytes(std::span(meta)));
    send(std::as_bytes(std::span(payload)));
  }
  // The header of the next request; what follows it is dropped.
  std::optional<FrameHeader> receive() {
    HeaderBytes bytes;
    if (!receive_exactly(bytes.data(), bytes.size())) return std::nullopt;
    const auto header = wire::decode_header(bytes);
    PMSHELF_CHECK(header.ok());
    std::vector<std::byte> rest(header->meta_bytes + header->payload_bytes);
    if (!receive_exactly(rest.data(), rest.size())) return std::nullopt;
    meta_.assign(reinterpret_cast<const char*>(rest.data()), header->meta_bytes);
    return *header;
  }
  static FrameHeader answer_to(const FrameHeader& request) {
    FrameHeader header;
    header.op = request.op;
    header.tag = request.tag;
    header.flags = wire::kFlagReply;
    return header;
  }

 private:
  bool receive_exactly(std::byte* data, size_t bytes) {
    return bytes == 0 ||
           ::recv(socket_.get(), data, bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes);
  }
  bool say_hello() {
    wire::Challenge challenge;
    FrameHeader header;
    header.op = Op::kChallenge;
    send_frame(header, wire::encode_challenge(challenge));
    const auto request = receive();
    if (!request) return false;
    const auto hello = wire::decode_hello(std::as_bytes(std::span(meta_)));
    reply_.proof =
        wire::make_proof({}, wire::Side::kServer, challenge, hello->nonce, hello->session);
    send_frame(answer_to(*request), wire::encode_hello_reply(reply_));
    return true;
  }

  wire::HelloReply reply_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  UniqueFd socket_;
  std::string meta_;
  std::thread thread_;
};

// A read whose target has guard bytes on both sides; its outcome.
Status guarded_read(Channel& channel, size_t bytes) {
  std::vector<std::byte> memory(bytes + 200, std::byte{0xEE});
  std::optional<Status> outcome;
  const DriveScope scope(channel);
  channel.read({1, 1}, 0, std::span(memory).subspan(100, bytes),
               [&](const Status& status) { outcome = status; });
  EXPECT_TRUE(channel.drive_until([&] { return outcome.has_value(); }, 10'000).ok());
  for (size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(memory[i], std::byte{0xEE});
    EXPECT_EQ(memory[bytes + 100 + i], std::byte{0xEE});
  }
  return *outcome;
}

void expect_breaks(const std::string& what, const RawServer::Script& script) {
  RawServer server(script);
  const auto channel = server.connect();
  ASSERT_TRUE(channel.ok()) << what;
  EXPECT_EQ(guarded_read(**channel, 5000).code(), Code::kUnavailable) << what;
  EXPECT_FALSE((*channel)->connected()) << what;
}

TEST(Client_Protocol, AnswersToNothingThatWasAskedBreak) {
  const auto with = [](const std::function<void(FrameHeader&)>& change) {
    return [change](RawServer& server) {
      FrameHeader answer = RawServer::answer_to(*server.receive());
      change(answer);
      server.send_frame(answer, "", std::string(5000, 'x'));
      server.receive();
    };
  };
  expect_breaks("slot", with([](FrameHeader& header) { header.tag += 1; }));
  expect_breaks("generation", with([](FrameHeader& header) { header.tag += uint64_t{1} << 32; }));
  expect_breaks("wild tag", with([](FrameHeader& header) { header.tag = UINT64_MAX; }));
  expect_breaks("op", with([](FrameHeader& header) { header.op = Op::kGet; }));
  expect_breaks("no reply", with([](FrameHeader& header) { header.flags = 0; }));
  expect_breaks("ring", with([](FrameHeader& header) { header.flags |= wire::kFlagInRing; }));
  expect_breaks("error and payload", with([](FrameHeader& header) { header.status = 7; }));
}

TEST(Client_Protocol, PayloadsOfAnotherSizeBreak) {
  for (const size_t bytes : {0, 1, 4999, 5001, 1'000'000}) {
    expect_breaks(std::to_string(bytes), [bytes](RawServer& server) {
      const FrameHeader answer = RawServer::answer_to(*server.receive());
      server.send_frame(answer, "", std::string(bytes, 'x'));
      server.receive();
    });
  }
}

TEST(Client_Protocol, GarbageAndHalfAnswersBreak) {
  expect_breaks("garbage", [](RawServer& server) {
    server.receive();
    std::vector<std::byte> bytes(5000, std::byte{0x55});
    server.send(bytes);
  });
  for (const size_t bytes : {1, 63, 64, 65, 5063}) {
    expect_breaks("half: " + std::to_string(bytes), [bytes](RawServer& server) {
      FrameHeader answer = RawServer::answer_to(*server.receive());
      answer.payload_bytes = 5000;
      const HeaderBytes header = header_bytes(answer);
      std::vector<std::byte> all(header.begin(), header.end());
      all.resize(5064);
      server.send(std::span(all).first(bytes));
    });
  }
}

TEST(Client_Protocol, SecondAnswerToTheSameRequestBreaks) {
  RawServer server([](RawServer& raw) {
    const FrameHeader answer = RawServer::answer_to(*raw.receive());
    raw.send_frame(answer, "", std::string(5000, 'x'));
    raw.send_frame(answer, "", std::string(5000, 'x'));
    while (raw.receive()) {
    }
  });
  const auto channel = server.connect();
  ASSERT_TRUE(channel.ok());
  EXPECT_TRUE(guarded_read(**channel, 5000).ok());
  EXPECT_EQ(guarded_read(**channel, 5000).code(), Code::kUnavailable);
}

TEST(Client_Protocol, UnknownErrorNumbersAreInternal) {
  RawServer server([](RawServer& raw) {
    FrameHeader answer = RawServer::answer_to(*raw.receive());
    answer.status = 999;
    raw.send_frame(answer, "from the future");
    raw.receive();
  });
  const auto channel = server.connect();
  ASSERT_TRUE(channel.ok());
  const Status status = guarded_read(**channel, 10);
  EXPECT_EQ(status.code(), Code::kInternal);
  EXPECT_EQ(status.error().message(), "from the future");
  EXPECT_TRUE((*channel)->connected());
}

TEST(Client_Protocol, FloodOfNoticesHurtsNobody) {
  RawServer server([](RawServer& raw) {
    const auto request = raw.receive();
    FrameHeader notice;
    notice.op = Op::kNotice;
    notice.offset = 77;
    for (int i = 0; i < 20'000; ++i) raw.send_frame(notice);
    raw.send_frame(RawServer::answer_to(*request), "", std::string(10, 'x'));
    raw.receive();
  });
  const auto channel = server.connect();
  ASSERT_TRUE(channel.ok());
  int notices = 0;
  (*channel)->on_notice = [&](wire::NoticeKind, wire::GrantId) { ++notices; };
  EXPECT_TRUE(guarded_read(**channel, 10).ok());
  EXPECT_EQ(notices, 20'000);
}

// A server may answer a write before it has taken all of it; the source is needed until then.
TEST(Client_Protocol, EarlyAnswerDoesNotReleaseASourceThatIsBeingSent) {
  std::atomic<bool> answered{false};
  std::atomic<bool> completed{false};
  RawServer server([&](RawServer& raw) {
    FrameHeader answer;
    answer.op = Op::kWrite;
    answer.flags = wire::kFlagReply;
    answer.status = static_cast<uint16_t>(Code::kStaleGrant);
    answer.tag = uint64_t{1} << 32;  // of the first request
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    raw.send_frame(answer, "early");
    answered = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_FALSE(completed);
    raw.receive();
    while (raw.receive()) {
    }
  });
  const auto channel = server.connect();
  ASSERT_TRUE(channel.ok());
  const std::vector<std::byte> source(8 << 20);  // more than the socket's buffers hold
  Status outcome;
  const DriveScope scope(**channel);
  (*channel)->write({1, 1}, 0, source, Durability::kDurable, [&](const Status& status) {
    outcome = status;
    completed = true;
  });
  ASSERT_TRUE((*channel)->drive_until([&] { return completed.load(); }, 10'000).ok());
  EXPECT_TRUE(answered);
  EXPECT_EQ(outcome.code(), Code::kStaleGrant);
}

TEST(Client_Protocol, AbsurdLimitsInTheHelloReplyAreBounded) {
  for (const wire::HelloReply limits :
       {wire::HelloReply{{}, 0, 0}, wire::HelloReply{{}, UINT32_MAX, UINT32_MAX}}) {
    RawServer server([](RawServer& raw) { raw.receive(); }, limits);
    const auto channel = server.connect();
    ASSERT_TRUE(channel.ok());
    EXPECT_GE((*channel)->capabilities().request_bytes_max, 4096u);
    EXPECT_LE((*channel)->capabilities().request_bytes_max, wire::kFramePayloadBytesMax);
    EXPECT_GE((*channel)->capabilities().in_flight_max, 1u);
    EXPECT_LE((*channel)->capabilities().in_flight_max, 65536u);
  }
}

TEST(Client_Protocol, ServerThatSaysNothingEndsAtTheTimeout) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  auto* where = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener.get(), where, bytes), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), where, &bytes), 0);
  TcpConnectOptions options;
  options.host = "127.0.0.1";
  options.port = ntohs(address.sin_port);
  options.connect_timeout_ms = 100;
  EXPECT_EQ(connect_tcp(options).code(), Code::kDeadlineExceeded);
  options.tls = true;
  EXPECT_EQ(connect_tcp(options).code(), Code::kDeadlineExceeded);
}

}  // namespace
}  // namespace pmshelf::transport
