#include "server/app/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <cstring>

#include "server/control/listen_policy.h"

namespace pmshelf::app {

std::string ListenAddress::text() const {
  if (!unix_path.empty()) return "unix:" + unix_path;
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<ListenAddress> parse_listen_address(const std::string& setting, const std::string& text,
                                           bool tls) {
  PMSHELF_TRY_ASSIGN(const control::ListenAddress parsed,
                     control::parse_listen({.setting = setting, .address = text, .tls = tls}));
  ListenAddress address;
  address.loopback = parsed.loopback;
  address.unix_path = parsed.unix_path;
  if (!address.unix_path.empty()) return address;
  std::array<char, INET6_ADDRSTRLEN> host{};
  address.ipv6 = parsed.address.ss_family == AF_INET6;
  if (address.ipv6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &parsed.address, sizeof v6);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, host.data(), host.size());
    address.port = ntohs(v6.sin6_port);
    address.wildcard = IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr);
  } else {
    sockaddr_in v4{};
    std::memcpy(&v4, &parsed.address, sizeof v4);
    ::inet_ntop(AF_INET, &v4.sin_addr, host.data(), host.size());
    address.port = ntohs(v4.sin_port);
    address.wildcard = v4.sin_addr.s_addr == INADDR_ANY;
  }
  address.host = host.data();
  return address;
}

bool listen_addresses_clash(const ListenAddress& a, const ListenAddress& b) {
  if (!a.unix_path.empty() || !b.unix_path.empty()) return a.unix_path == b.unix_path;
  if (a.port != b.port || a.port == 0) return false;
  // [::] takes IPv4 as well, as Linux binds it by default.
  const bool all = (a.wildcard && (a.ipv6 || !b.ipv6)) || (b.wildcard && (b.ipv6 || !a.ipv6));
  return all || a.host == b.host;
}

}  // namespace pmshelf::app
