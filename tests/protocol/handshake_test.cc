// What is allowed before Hello, and which Hellos are believed.
#include "tests/protocol/protocol_fixture.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::Op;

class Protocol_Hello : public ProtocolTest {
 protected:
  void expect_refused(const std::string& meta, Code code) {
    RawClient attacker = client();
    attacker.send_frame(request(Op::kHello, 7), meta);
    const auto answer = attacker.receive();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(static_cast<Code>(answer->header.status), code);
    EXPECT_EQ(answer->header.tag, 7u);
    EXPECT_TRUE(attacker.is_closed());
  }
};
INSTANTIATE_TEST_SUITE_P(All, Protocol_Hello, testing::Values(StreamKind::kTcp, StreamKind::kUnix),
                         kind_name);

TEST_P(Protocol_Hello, RequestsBeforeItClose) {
  for (uint8_t op = 3; op <= 15; ++op) {
    RawClient attacker = client();
    attacker.send_frame(request(static_cast<Op>(op)));
    EXPECT_TRUE(attacker.is_closed()) << int{op};
  }
  EXPECT_EQ(service().begun_count(), 0u);
}

TEST_P(Protocol_Hello, RequestsPipelinedBehindAWrongHelloAreNotBegun) {
  RawClient attacker = client();
  attacker.send_frame(request(Op::kHello), std::string(72, '\0'));
  attacker.send_frame(request(Op::kPing));
  while (attacker.receive().has_value()) {
  }
  EXPECT_EQ(service().begun_count(), 0u);
}

TEST_P(Protocol_Hello, RequestsPipelinedBehindARightHelloAreServed) {
  RawClient honest = client();
  honest.send_frame(request(Op::kHello, 1),
                    honest.hello_meta(service().session(), service().secret()));
  honest.send_frame(request(Op::kPing, 2));
  EXPECT_EQ(honest.receive()->header.tag, 1u);
  EXPECT_EQ(honest.receive()->header.tag, 2u);
}

TEST_P(Protocol_Hello, WrongProofSessionAndVersionAreRefused) {
  RawClient source = client();
  std::string meta = source.hello_meta(service().session(), service().secret());
  meta.back() = static_cast<char>(meta.back() ^ 1);
  expect_refused(meta, Code::kUnauthenticated);

  wire::Secret wrong = service().secret();
  wrong[0] ^= std::byte{1};
  RawClient guesser = client();
  guesser.send_frame(request(Op::kHello), guesser.hello_meta(service().session(), wrong));
  EXPECT_EQ(static_cast<Code>(guesser.receive()->header.status), Code::kUnauthenticated);

  wire::SessionId unknown{};
  RawClient stranger = client();
  stranger.send_frame(request(Op::kHello), stranger.hello_meta(unknown, service().secret()));
  EXPECT_EQ(static_cast<Code>(stranger.receive()->header.status), Code::kUnauthenticated);

  meta[0] = 9;
  expect_refused(meta, Code::kUnsupported);
}

TEST_P(Protocol_Hello, ReplayedFromAnotherConnectionIsRefused) {
  RawClient first = client();
  const std::string meta = first.hello_meta(service().session(), service().secret());
  first.send_frame(request(Op::kHello), meta);
  ASSERT_EQ(first.receive()->header.status, 0);
  expect_refused(meta, Code::kUnauthenticated);  // its nonce is another
}

TEST_P(Protocol_Hello, MalformedOnesClose) {
  for (const size_t bytes : {0, 1, 71, 73, 65536}) {
    RawClient attacker = client();
    attacker.send_frame(request(Op::kHello), std::string(bytes, '\0'));
    EXPECT_TRUE(attacker.is_closed()) << bytes;
  }
  RawClient attacker = client();  // with a payload
  attacker.send_frame(request(Op::kHello),
                      attacker.hello_meta(service().session(), service().secret()), "x");
  EXPECT_TRUE(attacker.is_closed());
}

TEST_P(Protocol_Hello, SaidTwiceCloses) {
  RawClient attacker = open_client();
  attacker.send_frame(request(Op::kHello),
                      attacker.hello_meta(service().session(), service().secret()));
  EXPECT_TRUE(attacker.is_closed());
}

TEST_P(Protocol_Hello, NoncesAreFreshForEachConnection) {
  const RawClient first = client();
  const RawClient second = client();
  EXPECT_NE(first.challenge().nonce, second.challenge().nonce);
}

// ---- the client's side

Result<std::unique_ptr<Channel>> connect(StreamServer& server, StreamKind kind) {
  if (kind == StreamKind::kUnix) {
    LocalConnectOptions options;
    options.socket_path = server.socket_path();
    options.session = server.service().session();
    options.data_secret = server.service().secret();
    return connect_local(options);
  }
  TcpConnectOptions options;
  options.host = "localhost";
  options.port = server.port();
  options.session = server.service().session();
  options.data_secret = server.service().secret();
  return connect_tcp(options);
}

TEST_P(Protocol_Hello, ServerThatDoesNotKnowTheSecretIsLeft) {
  service().lie_in_proof = true;
  EXPECT_EQ(connect(server(), GetParam()).code(), Code::kUnauthenticated);
  service().lie_in_proof = false;
  EXPECT_TRUE(connect(server(), GetParam()).ok());
}

TEST_P(Protocol_Hello, RefusalReachesTheCaller) {
  service().refuse_hello = true;
  const auto channel = connect(server(), GetParam());
  ASSERT_EQ(channel.code(), Code::kSessionExpired);
  EXPECT_EQ(channel.error().message(), "the session is over");
  service().refuse_hello = false;
}

TEST_P(Protocol_Hello, NobodyListeningIsUnavailable) {
  if (GetParam() == StreamKind::kUnix) {
    LocalConnectOptions options;
    options.socket_path = server().directory().file("none.sock");
    EXPECT_EQ(connect_local(options).code(), Code::kUnavailable);
    EXPECT_EQ(fetch_peer_token(options.socket_path, 1000).code(), Code::kUnavailable);
    options.socket_path = std::string(200, 'x');
    EXPECT_EQ(connect_local(options).code(), Code::kInvalidArgument);
    return;
  }
  TcpConnectOptions options;
  options.host = "127.0.0.1";
  options.port = 1;
  EXPECT_EQ(connect_tcp(options).code(), Code::kUnavailable);
}

}  // namespace
}  // namespace pmshelf::transport
