#include "server/app/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>

namespace pmshelf::app {
namespace {

Error bad_address(std::string_view text, std::string_view why) {
  return Error(Code::kInvalidArgument, "'" + std::string(text) + "': " + std::string(why) +
                                           "; write IP:PORT, such as 127.0.0.1:7200, [::1]:7200 "
                                           "or 0.0.0.0:7200");
}

// Fills in what kind of address `host` is; false when it is none.
bool classify(ListenAddress& address) {
  in_addr v4{};
  in6_addr v6{};
  if (::inet_pton(AF_INET, address.host.c_str(), &v4) == 1) {
    const uint32_t host_order = ntohl(v4.s_addr);
    address.loopback = host_order >> 24 == 127;
    address.wildcard = host_order == 0;
    return true;
  }
  if (::inet_pton(AF_INET6, address.host.c_str(), &v6) == 1) {
    address.ipv6 = true;
    address.loopback = IN6_IS_ADDR_LOOPBACK(&v6);
    address.wildcard = IN6_IS_ADDR_UNSPECIFIED(&v6);
    return true;
  }
  return false;
}

}  // namespace

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad_address(text, "no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  ListenAddress address;
  address.host = host == "localhost" ? "127.0.0.1" : host == "*" ? "0.0.0.0" : std::string(host);
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (parsed.ec != std::errc() || parsed.ptr != port.data() + port.size()) {
    return bad_address(text, "the port is not a number from 0 to 65535");
  }
  if (!classify(address)) return bad_address(text, "not an IP address");
  if (address.ipv6 != brackets) return bad_address(text, "brackets belong around IPv6 addresses");
  return address;
}

bool listen_addresses_clash(const ListenAddress& a, const ListenAddress& b) {
  if (a.port != b.port || a.port == 0) return false;
  // [::] takes IPv4 as well, as Linux binds it by default.
  const bool all = (a.wildcard && (a.ipv6 || !b.ipv6)) || (b.wildcard && (b.ipv6 || !a.ipv6));
  return all || a.host == b.host;
}

}  // namespace pmshelf::app
