// Addresses of listen settings, taken apart.
#pragma once

#include <cstdint>
#include <string>

#include "pmshelf/result.h"

namespace pmshelf::app {

struct ListenAddress {
  std::string unix_path;  // or else:
  std::string host;       // an IP address, without brackets
  uint16_t port = 0;      // 0: any free one
  bool ipv6 = false;
  bool loopback = false;  // only this host reaches it
  bool wildcard = false;  // all addresses of the host

  std::string text() const;  // "[::1]:7200"
};

// `setting` is what messages call it. The rule is control/listen_policy.h: `tls` says whether the
// configuration has a certificate, without which other hosts must not reach the address.
Result<ListenAddress> parse_listen_address(const std::string& setting, const std::string& text,
                                           bool tls);

// True when both cannot be bound at once.
bool listen_addresses_clash(const ListenAddress& a, const ListenAddress& b);

}  // namespace pmshelf::app
