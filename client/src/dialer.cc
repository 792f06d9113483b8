#include "client/src/dialer.h"

#include "common/transport/local/local_channel.h"
#include "common/transport/tcp/tcp_channel.h"

namespace pmshelf::client {
namespace {

class RealDialer final : public Dialer {
 public:
  explicit RealDialer(const ConnectOptions& options) {
    tls_.ca_file = options.ca_file;
    tls_.cert_file = options.cert_file;
    tls_.key_file = options.key_file;
  }

  Result<std::unique_ptr<transport::Channel>> dial(const DataAddress& address,
                                                   const wire::SessionId& session,
                                                   const wire::Secret& data_secret,
                                                   std::chrono::milliseconds timeout) override {
    const auto timeout_ms = static_cast<uint64_t>(timeout.count());
    if (!address.socket_path.empty()) {
      transport::LocalConnectOptions options;
      options.socket_path = address.socket_path;
      options.session = session;
      options.data_secret = data_secret;
      options.connect_timeout_ms = timeout_ms;
      return transport::connect_local(options);
    }
    transport::TcpConnectOptions options;
    options.host = address.host;
    options.port = address.port;
    options.tls = address.tls;
    options.tls_options = tls_;
    options.session = session;
    options.data_secret = data_secret;
    options.connect_timeout_ms = timeout_ms;
    return transport::connect_tcp(options);
  }

  Result<std::string> peer_token(const std::string& socket_path,
                                 std::chrono::milliseconds timeout) override {
    return transport::fetch_peer_token(socket_path, static_cast<uint64_t>(timeout.count()));
  }

 private:
  transport::TlsConnectOptions tls_;
};

}  // namespace

std::unique_ptr<Dialer> make_dialer(const ConnectOptions& options) {
  return std::make_unique<RealDialer>(options);
}

}  // namespace pmshelf::client
