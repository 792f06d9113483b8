#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "test_server.h"

namespace pmshelf::control {
namespace {

using v1::KeepAliveRequest, v1::KeepAliveResponse;

class Sessions : public testing::Test {
 protected:
  Status keep_alive(TestClient& client) {
    KeepAliveResponse response;
    return client.call(client.sessions(), &v1::Sessions::Stub::KeepAlive, {}, &response);
  }
  Status close(TestClient& client) {
    v1::CloseSessionResponse response;
    return client.call(client.sessions(), &v1::Sessions::Stub::Close, {}, &response);
  }
  TestServer server;
};

TEST_F(Sessions, OpenTellsEverythingAboutTheSession) {
  server.settings.hooks.endpoints = [](bool same_host) {
    return std::vector<Endpoint>{{"tcp", ":7201", true},
                                 {"local", same_host ? "/run/x.sock" : "", false}};
  };
  server.start();
  const auto alice = server.client(kAlice);
  const v1::OpenSessionResponse& session = alice->session();
  EXPECT_EQ(session.session_id().size(), 16u);
  EXPECT_EQ(session.ticket().size(), 32u);
  EXPECT_EQ(session.data_secret().size(), 32u);
  EXPECT_NE(session.data_secret(), session.ticket());
  EXPECT_EQ(session.principal(), kAliceName);
  EXPECT_EQ(session.boot_epoch(), 42u);
  EXPECT_EQ(session.keep_alive_ms(), 30'000u);
  EXPECT_EQ(session.server_version(), "1.2.3");
  EXPECT_EQ(session.frame_payload_bytes_max(), 8u << 20);
  ASSERT_EQ(session.endpoints_size(), 2);
  EXPECT_TRUE(session.endpoints(0).tls());
  EXPECT_EQ(session.endpoints(1).address(), "/run/x.sock");
}

TEST_F(Sessions, OpenWithoutOrWithABadTokenIsRefused) {
  server.start();
  TestClient client(server.target());
  EXPECT_EQ(client.open("").code(), Code::kUnauthenticated);
  EXPECT_EQ(client.open("rubbish").code(), Code::kUnauthenticated);
  EXPECT_EQ(client.open(std::string(4000, 'x')).code(), Code::kUnauthenticated);
  const std::string token = server.authenticator().issue_peer_token(kAlice, 1, 1);
  EXPECT_EQ(client.open(token.substr(0, 40)).code(), Code::kUnauthenticated);
  EXPECT_TRUE(client.open(token).ok());
  EXPECT_EQ(client.open(token).code(), Code::kUnauthenticated);  // replayed
  EXPECT_EQ(server.registry().counts().sessions, 1u);
}

TEST_F(Sessions, OtherWordsThanBearerAndTwoHeadersAreRefused) {
  server.start();
  TestClient client(server.target());
  v1::OpenSessionRequest request;
  request.set_protocol_version(1);
  v1::OpenSessionResponse response;
  for (const std::vector<std::string>& headers :
       {std::vector<std::string>{"Basic abc"}, {"Bearer"}, {"Bearer a", "Bearer b"}}) {
    grpc::ClientContext context;
    for (const std::string& header : headers) context.AddMetadata("authorization", header);
    EXPECT_EQ(from_grpc(client.sessions().Open(&context, request, &response)).code(),
              Code::kUnauthenticated);
  }
}

TEST_F(Sessions, MegabyteTokenIsRefusedAndTheDaemonGoesOn) {
  server.start();
  TestClient client(server.target());
  EXPECT_FALSE(client.open(std::string(1 << 20, 'x')).ok());
  EXPECT_TRUE(server.client(kAlice) != nullptr);
}

TEST_F(Sessions, OtherProtocolVersionsAreRefusedNamingBoth) {
  server.start();
  TestClient client(server.target());
  v1::OpenSessionRequest request;
  request.set_protocol_version(2);
  v1::OpenSessionResponse response;
  grpc::ClientContext context;
  context.AddMetadata("authorization",
                      "Bearer " + server.authenticator().issue_peer_token(kAlice, 1, 1));
  const Status refused = from_grpc(client.sessions().Open(&context, request, &response));
  ASSERT_EQ(refused.code(), Code::kUnsupported);
  EXPECT_NE(refused.error().message().find("1.2.3"), std::string::npos);
  EXPECT_NE(refused.error().message().find("2"), std::string::npos);
}

TEST_F(Sessions, CallsWithoutTicketOrWithAForeignOneAreRefused) {
  server.start();
  const auto alice = server.client(kAlice);
  TestClient stranger(server.target());
  EXPECT_EQ(keep_alive(stranger).code(), Code::kUnauthenticated);
  for (const std::string& ticket : {std::string(31, 'x'), std::string(33, 'x')}) {
    stranger.set_ticket(ticket);
    EXPECT_EQ(keep_alive(stranger).code(), Code::kUnauthenticated);
  }
  stranger.set_ticket(std::string(32, 'x'));
  EXPECT_EQ(keep_alive(stranger).code(), Code::kSessionExpired);
  // The public id is no ticket.
  stranger.set_ticket(alice->session().session_id() + std::string(16, '\0'));
  EXPECT_EQ(keep_alive(stranger).code(), Code::kSessionExpired);
  EXPECT_TRUE(keep_alive(*alice).ok());
}

TEST_F(Sessions, KeepAliveHoldsTheSessionAndItsAbsenceEndsIt) {
  server.start();
  const auto alice = server.client(kAlice);
  for (int count = 0; count < 5; ++count) {
    server.clock.advance_ms(29'000);
    EXPECT_TRUE(keep_alive(*alice).ok());
  }
  server.clock.advance_ms(30'000);
  EXPECT_EQ(keep_alive(*alice).code(), Code::kSessionExpired);
}

TEST_F(Sessions, KeepAliveNamesLostGrants) {
  server.start();
  const auto alice = server.client(kAlice);
  wire::SessionId id{};
  std::copy_n(reinterpret_cast<const std::byte*>(alice->session().session_id().data()), 16,
              id.begin());
  const session::RegionKey key{1, 2, false};
  const auto grant = server.registry().grant(id, {key, 8, 3, nullptr});
  ASSERT_TRUE(grant.ok());
  ASSERT_TRUE(server.registry().revoke(key, 0).ok());
  KeepAliveResponse response;
  ASSERT_TRUE(alice->call(alice->sessions(), &v1::Sessions::Stub::KeepAlive, {}, &response).ok());
  ASSERT_EQ(response.lost_grants_size(), 1);
  EXPECT_EQ(response.lost_grants(0).size(), 16u);
}

TEST_F(Sessions, CloseIsIdempotentButNeedsATicket) {
  server.start();
  const auto alice = server.client(kAlice);
  EXPECT_TRUE(close(*alice).ok());
  EXPECT_EQ(server.registry().counts().sessions, 0u);
  EXPECT_TRUE(close(*alice).ok());
  EXPECT_EQ(keep_alive(*alice).code(), Code::kSessionExpired);
  TestClient stranger(server.target());
  EXPECT_EQ(close(stranger).code(), Code::kUnauthenticated);
}

TEST_F(Sessions, OnePrincipalCannotTakeAllSessions) {
  server.settings.options.sessions_per_principal_max = 3;
  server.start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int count = 0; count < 3; ++count) clients.push_back(server.client(kAlice));
  TestClient more(server.target());
  EXPECT_EQ(more.open(server.authenticator().issue_peer_token(kAlice, 1, 1)).code(),
            Code::kResourceExhausted);
  EXPECT_TRUE(more.open(server.authenticator().issue_peer_token(kBob, 1, 1)).ok());
  ASSERT_TRUE(close(*clients[0]).ok());
  EXPECT_TRUE(clients[0]->open(server.authenticator().issue_peer_token(kAlice, 1, 1)).ok());
}

TEST_F(Sessions, LimitOfTheRegistryIsNamed) {
  server.settings.limits.sessions_max = 1;
  server.start();
  const auto alice = server.client(kAlice);
  TestClient more(server.target());
  const Status refused = more.open(server.authenticator().issue_peer_token(kBob, 1, 1));
  ASSERT_EQ(refused.code(), Code::kResourceExhausted);
  EXPECT_NE(refused.error().message().find("sessions_max"), std::string::npos);
  ASSERT_TRUE(close(*alice).ok());
  EXPECT_TRUE(more.open(server.authenticator().issue_peer_token(kBob, 1, 1)).ok());
}

TEST_F(Sessions, SessionEndsWithItsToken) {
  server.start();
  session::Principal root;
  root.name = "unix:root";
  root.administrator = true;
  const auto token = server.authenticator().create_token({"brief", "*", 7, 5000, ""}, root, false);
  TestClient ci(server.target());
  ASSERT_TRUE(ci.open(*token).ok());
  EXPECT_EQ(ci.session().principal(), "token:brief");
  server.server().sweep();
  EXPECT_TRUE(keep_alive(ci).ok());
  server.clock.advance_ms(5000);
  server.server().sweep();
  EXPECT_EQ(keep_alive(ci).code(), Code::kSessionExpired);
}

TEST_F(Sessions, DrainingDaemonTakesNoNewOnes) {
  std::atomic<int> told{0};
  server.settings.hooks.drain_began = [&] { ++told; };
  server.start();
  const auto alice = server.client(kAlice);
  server.server().begin_drain();
  server.server().begin_drain();
  EXPECT_EQ(told, 1);
  TestClient more(server.target());
  EXPECT_EQ(more.open(server.authenticator().issue_peer_token(kBob, 1, 1)).code(),
            Code::kUnavailable);
  EXPECT_TRUE(keep_alive(*alice).ok());
}

TEST_F(Sessions, MetricsHookHearsOfEveryOutcome) {
  std::mutex mutex;
  std::vector<std::pair<std::string, Code>> calls;
  server.settings.hooks.called = [&](std::string_view method, Code code, uint64_t) {
    std::lock_guard lock(mutex);
    calls.emplace_back(method, code);
  };
  server.start();
  const auto alice = server.client(kAlice);
  TestClient stranger(server.target());
  (void)keep_alive(stranger);
  std::lock_guard lock(mutex);
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0], std::pair(std::string("Sessions.Open"), Code::kOk));
  EXPECT_EQ(calls[1], std::pair(std::string("Sessions.KeepAlive"), Code::kUnauthenticated));
}

TEST_F(Sessions, ClientNamesAreCutAndCleaned) {
  server.start();
  TestClient client(server.target());
  v1::OpenSessionRequest request;
  request.set_protocol_version(1);
  request.set_client_name("a\nb" + std::string(1000, 'x'));
  v1::OpenSessionResponse response;
  grpc::ClientContext context;
  context.AddMetadata("authorization",
                      "Bearer " + server.authenticator().issue_peer_token(kAlice, 1, 1));
  ASSERT_TRUE(client.sessions().Open(&context, request, &response).ok());
  const std::string name = server.registry().list().at(0).client_name;
  EXPECT_TRUE(name.starts_with("a?bxxx"));
  EXPECT_EQ(name.size(), session::kClientNameBytesMax);
}

TEST_F(Sessions, ServerCanBeShutDownWhileClientsAreConnected) {
  server.start();
  const auto alice = server.client(kAlice);
  server.server().shutdown(1000);
  EXPECT_FALSE(keep_alive(*alice).ok());
  EXPECT_NE(::access(server.dir.file("control.sock").c_str(), F_OK), 0);
  server.server().shutdown(0);
}

TEST(ControlServerStart, RefusesBadSettingsNamingThem) {
  TestClock clock;
  session::Registry registry({}, clock);
  session::Handles handles(registry);
  PoolSet pools;
  auto authenticator = *Authenticator::open({}, clock);
  const ControlParts parts{registry, handles, pools, *authenticator, clock};
  ControlOptions options;
  options.listen = {{"control.listen", "0.0.0.0:0"}};
  {
    ControlServer server(parts, options, {});
    const Status refused = server.start();
    ASSERT_EQ(refused.code(), Code::kInvalidArgument);
    EXPECT_NE(refused.error().message().find("control.listen"), std::string::npos);
  }
  options.listen = {{"control.listen", "127.0.0.1:0", true}};
  ControlServer server(parts, options, {});
  const Status refused = server.start();
  ASSERT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_NE(refused.error().message().find("certificate"), std::string::npos);
}

}  // namespace
}  // namespace pmshelf::control
