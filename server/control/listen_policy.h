// Where the control plane may listen, and what an address must have to be allowed.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "pmshelf/result.h"

namespace pmshelf::control {

inline constexpr uint32_t kUnixPathBytesMax = 107;  // sun_path, less its final zero

// One address to listen on, as configured. Host names are not looked up: what a setting opens must
// be plain.
struct ListenSpec {
  std::string setting = "control.listen";  // what messages call it
  std::string address;  // "unix:/path", "127.0.0.1:7200", "[::1]:7200", "localhost:7200", "*:7200"
  bool tls = false;
  uint32_t unix_mode = 0666;  // of the socket file; callers prove who they are by token anyway
};

struct ListenAddress {
  sockaddr_storage address{};
  socklen_t bytes = 0;
  bool loopback = false;  // only this host reaches it
  std::string unix_path;  // empty for TCP
  std::string text;       // "127.0.0.1:7200", "unix:/run/pmshelf/control.sock"
};

// kInvalidArgument names the setting: none of the forms above, a relative or long path, a bad port
// (0: any free one), or an address that other hosts can reach without TLS.
Result<ListenAddress> parse_listen(const ListenSpec& spec);

}  // namespace pmshelf::control
