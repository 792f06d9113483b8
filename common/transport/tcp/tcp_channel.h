// Data connections over TCP, with or without TLS.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/transport/channel.h"
#include "common/wire/handshake.h"
#include "pmshelf/result.h"

namespace pmshelf::transport {

struct TlsConnectOptions {
  std::string ca_file;              // empty: the system's certificate store
  std::string cert_file, key_file;  // both or none
  std::string server_name;          // name in the server's certificate; empty: the host
};

struct TcpConnectOptions {
  std::string host;  // name or IP literal
  uint16_t port = 0;
  bool tls = false;
  TlsConnectOptions tls_options;
  wire::SessionId session{};
  wire::Secret data_secret{};
  uint64_t connect_timeout_ms = 5000;  // to connect, TLS and Hello together; not name look-up
};

// Connects, proves the session and checks the server's proof. Blocks. The channel's path() is
// "tcp". TCP_NODELAY is set.
// kUnavailable: not reachable, refused, or ended in mid-handshake. kDeadlineExceeded: no answer in
// time. kUnauthenticated: certificate or proof is wrong, on either side. kInvalidArgument: a file
// that cannot be used. kSessionExpired and others: the server's answer to Hello. kUnsupported: the
// server speaks another version.
Result<std::unique_ptr<Channel>> connect_tcp(const TcpConnectOptions& options);

}  // namespace pmshelf::transport
