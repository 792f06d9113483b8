#include "tests/conformance/transport_worlds.h"

#include "common/base/check.h"
#include "common/transport/fake/fake_channel.h"
#include "common/transport/local/local_channel.h"
#include "common/transport/tcp/tcp_channel.h"
#include "tests/conformance/relay.h"
#include "tests/conformance/stream_world.h"

namespace pmshelf::transport {
namespace {

class StreamWorld : public World {
 public:
  explicit StreamWorld(StreamKind kind) : server_(kind) {}

  wire::GrantId add_region(uint64_t bytes, uint8_t rights) override {
    return server_.service().add_region(bytes, rights);
  }
  uint64_t add_shelf() override { return server_.service().add_shelf(); }
  std::vector<std::byte> bytes_of(wire::GrantId grant) override {
    return server_.service().bytes_of(grant);
  }
  void revoke(wire::GrantId grant) override { server_.service().revoke(grant); }
  void break_at(uint64_t n) override {
    server_.service().close_at = server_.service().begun_count() + n;
  }
  MemoryService* service() override { return &server_.service(); }

 protected:
  StreamServer server_;
  std::unique_ptr<Relay> relay_;
};

class TcpWorld final : public StreamWorld {
 public:
  explicit TcpWorld(bool tls) : StreamWorld(tls ? StreamKind::kTls : StreamKind::kTcp), tls_(tls) {}

  Result<std::unique_ptr<Channel>> connect() override { return connect_port(server_.port()); }
  std::unique_ptr<Channel> connect_cut(int64_t to_server, int64_t to_client) override {
    relay_ = Relay::to_port(server_.port(), to_server, to_client);
    auto channel = connect_port(relay_->port());
    PMSHELF_CHECK(channel.ok());
    relay_->arm();
    return *std::move(channel);
  }

 private:
  Result<std::unique_ptr<Channel>> connect_port(uint16_t port) {
    TcpConnectOptions options;
    options.host = "127.0.0.1";
    options.port = port;
    options.tls = tls_;
    if (tls_) options.tls_options.ca_file = server_.certificates().ca;
    options.session = server_.service().session();
    options.data_secret = server_.service().secret();
    return connect_tcp(options);
  }
  const bool tls_;
};

class LocalWorld final : public StreamWorld {
 public:
  explicit LocalWorld(bool ring) : StreamWorld(StreamKind::kUnix), ring_(ring) {}

  Result<std::unique_ptr<Channel>> connect() override {
    return connect_path(server_.socket_path(), ring_ ? 16 * 1024 * 1024 : 0);
  }
  std::unique_ptr<Channel> connect_cut(int64_t to_server, int64_t to_client) override {
    if (ring_) return nullptr;  // the relay passes no descriptors
    const std::string path = server_.directory().file("relay.sock");
    relay_.reset();
    relay_ = Relay::to_path(server_.socket_path(), path, to_server, to_client);
    auto channel = connect_path(path, 0);
    PMSHELF_CHECK(channel.ok());
    relay_->arm();
    return *std::move(channel);
  }

 private:
  Result<std::unique_ptr<Channel>> connect_path(const std::string& path, uint64_t ring_bytes) {
    LocalConnectOptions options;
    options.socket_path = path;
    options.session = server_.service().session();
    options.data_secret = server_.service().secret();
    options.ring_bytes = ring_bytes;
    return connect_local(options);
  }
  const bool ring_;
};

class FakeWorld final : public World {
 public:
  Result<std::unique_ptr<Channel>> connect() override {
    FakeOptions options;
    options.break_at = std::exchange(break_at_, 0);
    return make_fake_channel(memory_, options);
  }
  wire::GrantId add_region(uint64_t bytes, uint8_t rights) override {
    return memory_.add_region(bytes, rights);
  }
  uint64_t add_shelf() override { return memory_.add_shelf(); }
  std::vector<std::byte> bytes_of(wire::GrantId grant) override { return memory_.bytes_of(grant); }
  void revoke(wire::GrantId grant) override { memory_.revoke(grant); }
  void break_at(uint64_t n) override { break_at_ = n; }

 private:
  FakeMemory memory_;
  uint64_t break_at_ = 0;
};

}  // namespace

std::vector<WorldKind> world_kinds() {
  return {{"Tcp", [] { return std::make_unique<TcpWorld>(false); }},
          {"Tls", [] { return std::make_unique<TcpWorld>(true); }},
          {"Local", [] { return std::make_unique<LocalWorld>(false); }},
          {"LocalRing", [] { return std::make_unique<LocalWorld>(true); }},
          {"Fake", [] { return std::make_unique<FakeWorld>(); }}};
}

}  // namespace pmshelf::transport
