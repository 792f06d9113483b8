// How data connections are made: the seam that tests replace.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "common/transport/channel.h"
#include "common/wire/handshake.h"
#include "pmshelf/client.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

struct DataAddress {
  std::string socket_path;  // not empty: local
  std::string host;         // else TCP
  uint16_t port = 0;
  bool tls = false;
};

// Thread-safe; blocks. Errors as common/transport/tcp/tcp_channel.h and local/local_channel.h.
class Dialer {
 public:
  virtual ~Dialer() = default;
  virtual Result<std::unique_ptr<transport::Channel>> dial(const DataAddress& address,
                                                           const wire::SessionId& session,
                                                           const wire::Secret& data_secret,
                                                           std::chrono::milliseconds timeout) = 0;
  virtual Result<std::string> peer_token(const std::string& socket_path,
                                         std::chrono::milliseconds timeout) = 0;
};

// The real ones; the TLS files are those of `options`.
std::unique_ptr<Dialer> make_dialer(const ConnectOptions& options);

}  // namespace pmshelf::client
