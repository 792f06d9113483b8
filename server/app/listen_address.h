// "HOST:PORT" of a listen setting.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pmshelf/result.h"

namespace pmshelf::app {

struct ListenAddress {
  std::string host;   // an IP address, without brackets
  uint16_t port = 0;  // 0: any free one
  bool loopback = false;
  bool wildcard = false;  // all addresses of the host
  bool ipv6 = false;
};

// "127.0.0.1:7200", "[::1]:7200", "localhost:7200" (127.0.0.1), "*:7200" (0.0.0.0). Host names are
// not looked up: what a listen setting opens must be plain. kInvalidArgument names the text.
Result<ListenAddress> parse_listen_address(std::string_view text);

// True when both cannot be bound at once.
bool listen_addresses_clash(const ListenAddress& a, const ListenAddress& b);

}  // namespace pmshelf::app
