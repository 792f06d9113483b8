// Promises of data connections: proven, bound to one session, mapped only by trusted peers.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <thread>

#include "plane_fixture.h"

namespace pmshelf::dataplane {
namespace {

using ::testing::HasSubstr;
using wire::Op;

class ConnectionTest : public PlaneTest {
 protected:
  Answer map(Client& client, wire::GrantId grant) {
    return client.call({.op = Op::kMap, .grant = grant});
  }
  session::RegionKey key(const std::string& name) {
    return {shelf_->key(), shelf_->stat(name)->id, false};
  }
};

TEST_P(ConnectionTest, RightProofIsAnsweredWithTheServersOwn) {
  Client client(plane_, tcp_peer());
  const auto reply = client.hello(session_);
  ASSERT_TRUE(reply.ok()) << reply.error().message();
  wire::Nonce nonce;
  nonce.fill(std::byte{7});
  EXPECT_EQ(reply->proof, wire::make_proof(session_.data_secret, wire::Side::kServer,
                                           client.handler->challenge(), nonce, session_.id));
  EXPECT_EQ(reply->payload_bytes_max, wire::kFramePayloadBytesMax);
  EXPECT_EQ(client.handler->challenge().boot_epoch, 99U);
  ASSERT_EQ(registry_.list().size(), 1U);
  EXPECT_EQ(registry_.list()[0].paths, std::vector<std::string>{"tcp"});
}

TEST_P(ConnectionTest, WrongSecretUnknownSessionAndReplayReadTheSame) {
  Client wrong(plane_, tcp_peer());
  session::OpenedSession forged = session_;
  forged.data_secret[31] ^= std::byte{1};
  const auto refused = wrong.hello(forged);
  EXPECT_EQ(refused.code(), Code::kUnauthenticated);
  Client unknown(plane_, tcp_peer());
  session::OpenedSession stranger = session_;
  stranger.id[0] ^= std::byte{1};
  EXPECT_EQ(unknown.hello(stranger).error().to_string(), refused.error().to_string());
  Client recorded(plane_, tcp_peer());
  Client replayed(plane_, tcp_peer());
  EXPECT_EQ(replayed.hello_for(session_, recorded.handler->challenge()).error().to_string(),
            refused.error().to_string());
}

TEST_P(ConnectionTest, OtherProtocolVersionsAreNamed) {
  Client client(plane_, tcp_peer());
  const auto refused = client.handler->hello({.protocol_version = 2});
  EXPECT_EQ(refused.code(), Code::kUnsupported);
  EXPECT_THAT(refused.error().message(), HasSubstr("version 2; this daemon speaks 1"));
}

TEST_P(ConnectionTest, SessionsEndClosesAndRefusesEverything) {
  auto client = connect(session_);
  registry_.close(session_.id, "test");
  EXPECT_EQ(client->control->closed(), 1);
  EXPECT_EQ(client->call({.op = Op::kPing}).status.code(), Code::kSessionExpired);
  EXPECT_EQ(client->read(grant_, 0, 1).status.code(), Code::kSessionExpired);
  Client late(plane_, tcp_peer());
  EXPECT_EQ(late.hello(session_).code(), Code::kUnauthenticated);
}

TEST_P(ConnectionTest, PingsKeepTheSessionAlive) {
  auto client = connect(session_);
  for (int round = 0; round < 3; ++round) {
    clock_.advance_ms(20'000);
    std::this_thread::sleep_for(std::chrono::milliseconds(550));
    ASSERT_TRUE(client->call({.op = Op::kPing}).status.ok());
    registry_.sweep();
  }
  EXPECT_TRUE(client->read(grant_, 0, 1).status.ok());
}

TEST_P(ConnectionTest, PeerTokenIsAskedForTheKernelsPeer) {
  Client client(plane_, local_peer(77));
  EXPECT_EQ(*client.handler->peer_token(), "token-of-77");
}

TEST_P(ConnectionTest, OwnerMapsWithTheRightsOfTheGrant) {
  auto client = connect(session_, local_peer());
  ASSERT_TRUE(client->write(grant_, 0, "mapped").status.ok());
  Answer both = map(*client, grant_);
  ASSERT_TRUE(both.status.ok()) << both.status.error().message();
  EXPECT_EQ(both.header.length, 4096U);
  EXPECT_EQ(::fcntl(both.fd.get(), F_GETFL) & O_ACCMODE, O_RDWR);
  std::string bytes(6, '\0');
  EXPECT_EQ(::pread(both.fd.get(), bytes.data(), 6, static_cast<off_t>(both.header.offset)), 6);
  EXPECT_EQ(bytes, "mapped");
  Answer readable = map(*client, make_grant(session_, "r", 4096, store::kRead));
  ASSERT_TRUE(readable.status.ok());
  EXPECT_EQ(::fcntl(readable.fd.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(map(*client, make_grant(session_, "r", 4096, store::kWrite)).status.code(),
            Code::kPermissionDenied);
}

TEST_P(ConnectionTest, StrangersRemotesAndOtherPoliciesDoNotMap) {
  auto stranger = connect(session_, local_peer(9999));
  EXPECT_EQ(map(*stranger, grant_).status.code(), Code::kUnsupported);
  EXPECT_TRUE(stranger->read(grant_, 0, 1).status.ok());  // by copy
  auto remote = connect(session_, tcp_peer());
  EXPECT_EQ(map(*remote, grant_).status.code(), Code::kUnsupported);
  auto owner = connect(session_, local_peer());
  update([](store::ShelfInfo& info) { info.same_host = store::SameHostPolicy::kCopy; });
  EXPECT_EQ(map(*owner, grant_).status.code(), Code::kUnsupported);
  EXPECT_TRUE(owner->read(grant_, 0, 1).status.ok());
}

TEST_P(ConnectionTest, PolicyOffClosesTheLocalPathOnTheNextFrameOnly) {
  auto local = connect(session_, local_peer());
  auto remote = connect(session_, tcp_peer());
  const uint64_t handle = handle_of(session_);
  ASSERT_TRUE(local->put(handle, "k", "v").status.ok());
  ASSERT_TRUE(local->read(grant_, 0, 1).status.ok());
  update([](store::ShelfInfo& info) { info.same_host = store::SameHostPolicy::kOff; });
  EXPECT_EQ(local->read(grant_, 0, 1).status.code(), Code::kUnsupported);
  EXPECT_EQ(local->get(handle, "k").status.code(), Code::kUnsupported);
  EXPECT_EQ(map(*local, grant_).status.code(), Code::kUnsupported);
  EXPECT_TRUE(remote->read(grant_, 0, 1).status.ok());
  EXPECT_TRUE(remote->get(handle, "k").status.ok());
}

TEST_P(ConnectionTest, RevocationAsksMappingsBackAndWaitsForUnmap) {
  auto client = connect(session_, local_peer());
  ASSERT_TRUE(map(*client, grant_).status.ok());
  EXPECT_EQ(registry_.revoke(key("r"), 20).code(), Code::kBusy);
  ASSERT_FALSE(client->control->notices().empty());
  EXPECT_EQ(client->control->notices()[0].first, wire::NoticeKind::kRevoked);
  EXPECT_EQ(client->control->notices()[0].second, grant_);
  ASSERT_TRUE(client->call({.op = Op::kUnmap, .grant = grant_}).status.ok());
  EXPECT_TRUE(registry_.revoke(key("r"), 1000).ok());
}

TEST_P(ConnectionTest, MappingOutlivesTheSessionUntilTheConnectionEnds) {
  auto client = connect(session_, local_peer());
  ASSERT_TRUE(map(*client, grant_).status.ok());
  registry_.close(session_.id, "test");
  EXPECT_EQ(client->control->closed(), 0);
  EXPECT_EQ(client->read(grant_, 0, 1).status.code(), Code::kSessionExpired);
  EXPECT_EQ(map(*client, grant_).status.code(), Code::kSessionExpired);
  EXPECT_EQ(registry_.revoke(key("r"), 20).code(), Code::kBusy);
  client->handler->disconnected();
  EXPECT_TRUE(registry_.revoke(key("r"), 1000).ok());
}

TEST_P(ConnectionTest, LastUnmapClosesTheConnectionOfAnEndedSession) {
  auto client = connect(session_, local_peer());
  ASSERT_TRUE(map(*client, grant_).status.ok());
  registry_.close(session_.id, "test");
  ASSERT_TRUE(client->call({.op = Op::kUnmap, .grant = grant_}).status.ok());
  EXPECT_EQ(client->control->closed(), 1);
  EXPECT_TRUE(registry_.revoke(key("r"), 1000).ok());
}

TEST_P(ConnectionTest, FailedSecondMapKeepsTheFirst) {
  auto client = connect(session_, local_peer());
  ASSERT_TRUE(map(*client, grant_).status.ok());
  EXPECT_EQ(registry_.revoke(key("r"), 20).code(), Code::kBusy);
  EXPECT_EQ(map(*client, grant_).status.code(), Code::kStaleGrant);
  EXPECT_EQ(registry_.revoke(key("r"), 20).code(), Code::kBusy);
  client->handler->disconnected();
  EXPECT_TRUE(registry_.revoke(key("r"), 1000).ok());
}

TEST_P(ConnectionTest, RingsAreBoundedPerConnectionAndInAll) {
  auto client = connect(session_, local_peer());
  const auto ring = [](Client& of, uint64_t bytes) {
    return of.call({.op = Op::kRing, .length = bytes}).status.code();
  };
  EXPECT_EQ(ring(*client, 0), Code::kInvalidArgument);
  EXPECT_EQ(ring(*client, kRingBytesMax + 1), Code::kInvalidArgument);
  EXPECT_EQ(ring(*client, UINT64_MAX), Code::kInvalidArgument);
  EXPECT_EQ(ring(*client, 3 << 20), Code::kOk);
  auto other = connect(session_, local_peer());
  EXPECT_EQ(ring(*other, 3 << 20), Code::kResourceExhausted);
  client.reset();
  EXPECT_EQ(ring(*other, 3 << 20), Code::kOk);
}

INSTANTIATE_TEST_SUITE_P(Media, ConnectionTest, ::testing::Values("/dev/shm"),
                         [](const auto&) { return "Tmpfs"; });

}  // namespace
}  // namespace pmshelf::dataplane
