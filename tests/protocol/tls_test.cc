// TLS: who is believed, and what happens to those who speak something else.
#include <netinet/in.h>
#include <sys/socket.h>

#include <mutex>

#include "tests/protocol/protocol_fixture.h"

namespace pmshelf::transport {
namespace {

TcpConnectOptions options_for(StreamServer& server) {
  TcpConnectOptions options;
  options.host = "127.0.0.1";
  options.port = server.port();
  options.tls = true;
  options.tls_options.ca_file = server.certificates().ca;
  options.session = server.service().session();
  options.data_secret = server.service().secret();
  return options;
}

TEST(Tls_Connect, ByAddressAndByName) {
  StreamServer server(StreamKind::kTls);
  TcpConnectOptions options = options_for(server);
  EXPECT_TRUE(connect_tcp(options).ok());
  options.host = "localhost";
  EXPECT_TRUE(connect_tcp(options).ok());
  options.tls_options.server_name = "127.0.0.1";
  EXPECT_TRUE(connect_tcp(options).ok());
}

TEST(Tls_Connect, ForeignAuthorityOrNameIsRefused) {
  StreamServer server(StreamKind::kTls);
  const Certificates others(server.directory(), "other-");
  TcpConnectOptions options = options_for(server);
  options.tls_options.ca_file = others.ca;
  EXPECT_EQ(connect_tcp(options).code(), Code::kUnauthenticated);
  options = options_for(server);
  options.tls_options.server_name = "example.org";
  EXPECT_EQ(connect_tcp(options).code(), Code::kUnauthenticated);
  options.tls_options.server_name = "127.0.0.2";
  EXPECT_EQ(connect_tcp(options).code(), Code::kUnauthenticated);
  EXPECT_TRUE(connect_tcp(options_for(server)).ok());
}

TEST(Tls_Connect, ClientCertificateWhereTheServerAsksForOne) {
  StreamServer server(StreamKind::kTls, {}, true);
  const Certificates others(server.directory(), "other-");
  TcpConnectOptions options = options_for(server);
  EXPECT_EQ(connect_tcp(options).code(), Code::kUnauthenticated);
  options.tls_options.cert_file = others.client_cert;
  options.tls_options.key_file = others.client_key;
  EXPECT_EQ(connect_tcp(options).code(), Code::kUnauthenticated);
  options.tls_options.cert_file = server.certificates().client_cert;
  options.tls_options.key_file = server.certificates().client_key;
  const auto channel = connect_tcp(options);
  EXPECT_TRUE(channel.ok()) << channel.error().to_string();
}

TEST(Tls_Connect, BadFilesAreNamed) {
  StreamServer server(StreamKind::kTls);
  TcpConnectOptions options = options_for(server);
  options.tls_options.ca_file = server.directory().file("none.pem");
  auto channel = connect_tcp(options);
  ASSERT_EQ(channel.code(), Code::kInvalidArgument);
  EXPECT_THAT(channel.error().message(), testing::HasSubstr("none.pem"));
  options = options_for(server);
  options.tls_options.cert_file = server.certificates().client_cert;
  EXPECT_EQ(connect_tcp(options).code(), Code::kInvalidArgument);  // no key
  options.tls_options.key_file = server.certificates().server_key;
  EXPECT_EQ(connect_tcp(options).code(), Code::kInvalidArgument);  // another's key
}

TEST(Tls_Connect, WithoutTlsToATlsServerFails) {
  StreamServer server(StreamKind::kTls, {.hello_timeout_ms = 300});
  TcpConnectOptions options = options_for(server);
  options.tls = false;
  EXPECT_EQ(connect_tcp(options).code(), Code::kUnavailable);
  EXPECT_TRUE(eventually([&] { return server.listener().connection_count() == 0; }));
}

TEST(Tls_Connect, WithTlsToAPlainServerFails) {
  StreamServer server(StreamKind::kTcp);
  StreamServer tls(StreamKind::kTls);
  TcpConnectOptions options = options_for(tls);
  options.port = server.port();
  EXPECT_EQ(connect_tcp(options).code(), Code::kUnauthenticated);
  EXPECT_TRUE(eventually([&] { return server.listener().connection_count() == 0; }));
}

TEST(Tls_Server, PeerThatNeverFinishesTheHandshakeIsClosed) {
  StreamServer server(StreamKind::kTls, {.hello_timeout_ms = 300});
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(server.port());
  ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_TRUE(eventually([&] { return server.listener().connection_count() == 1; }));
  EXPECT_TRUE(eventually([&] { return server.listener().connection_count() == 0; }));
}

TEST(Tls_Server, NewContextServesNewConnectionsOldOnesStay) {
  MemoryService service;
  TempDirectory directory;
  const Certificates first(directory, "first-");
  const Certificates second(directory, "second-");
  std::mutex mutex;
  auto context = *make_server_tls_context({first.server_cert, first.server_key, ""});
  DataThreads threads(1);
  ListenOptions listen_options;
  listen_options.address = "127.0.0.1";
  listen_options.tls_context = [&] {
    const std::lock_guard lock(mutex);
    return context;
  };
  auto listener = *StreamListener::open(threads.pool(), listen_options, service.factory());
  TcpConnectOptions options;
  options.host = "127.0.0.1";
  options.port = listener->port();
  options.tls = true;
  options.tls_options.ca_file = first.ca;
  options.session = service.session();
  options.data_secret = service.secret();
  const auto old = connect_tcp(options);
  ASSERT_TRUE(old.ok());
  {
    const std::lock_guard lock(mutex);
    context = *make_server_tls_context({second.server_cert, second.server_key, ""});
  }
  EXPECT_EQ(connect_tcp(options).code(), Code::kUnauthenticated);
  options.tls_options.ca_file = second.ca;
  EXPECT_TRUE(connect_tcp(options).ok());
  bool answered = false;
  const DriveScope scope(**old);
  (*old)->ping([&](const Status& status) { answered = status.ok(); });
  EXPECT_TRUE((*old)->drive_until([&] { return answered; }, 10'000).ok());
}

TEST(Tls_Server, BadFilesAreNamed) {
  TempDirectory directory;
  const Certificates certificates(directory);
  const auto none = make_server_tls_context({directory.file("none"), certificates.server_key, ""});
  ASSERT_EQ(none.code(), Code::kInvalidArgument);
  EXPECT_THAT(none.error().message(), testing::HasSubstr("none"));
  EXPECT_EQ(make_server_tls_context({certificates.server_cert, certificates.client_key, ""}).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(make_server_tls_context(
                {certificates.server_cert, certificates.server_key, directory.file("none")})
                .code(),
            Code::kInvalidArgument);
}

}  // namespace
}  // namespace pmshelf::transport
