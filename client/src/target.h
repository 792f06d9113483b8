// What ConnectOptions::target may say (docs/protocol.md, "Finding the daemon").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pmshelf/result.h"

namespace pmshelf::client {

inline constexpr uint16_t kControlPortDefault = 7200;
inline constexpr size_t kSocketPathBytesMax = 107;  // sun_path without its NUL

struct Target {
  enum class Kind : uint8_t {
    kLocal,      // "": the daemon of this host
    kHost,       // "host", "host:port", "[v6]:port"
    kSocket,     // "unix:/run/pmshelf/data.sock" (or control.sock beside it)
    kDirectory,  // "dir:/pool/directory"
  };
  Kind kind = Kind::kLocal;
  std::string host;  // kHost: name or address, without brackets
  uint16_t port = kControlPortDefault;
  std::string path;  // kSocket: the runtime folder; kDirectory: the pool directory
};

// kInvalidArgument quotes the text and says what is expected.
Result<Target> parse_target(std::string_view text);

struct HostPort {
  std::string host;  // without brackets; may be empty when `text` begins with ':'
  uint16_t port = 0;
};
// "host", "host:port", "[v6]", "[v6]:port"; `port_default` 0: the port must be there.
Result<HostPort> parse_host_port(std::string_view text, uint16_t port_default);
// "host:port", "[v6]:port"
std::string format_host_port(std::string_view host, uint16_t port);

// Spelled as a loopback address or "localhost"; names are not resolved. Other hosts need TLS.
bool is_loopback_host(std::string_view host);

}  // namespace pmshelf::client
