#include "server/control/listen_policy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace pmshelf::control {
namespace {

Error bad(const ListenSpec& spec, std::string_view why) {
  return Error(Code::kInvalidArgument,
               spec.setting + ": '" + spec.address + "' " + std::string(why));
}

template <class Address>
void put(const Address& from, ListenAddress& to) {
  static_assert(sizeof from <= sizeof to.address);
  std::memcpy(&to.address, &from, sizeof from);
  to.bytes = sizeof from;
}

Result<ListenAddress> parse_unix(const ListenSpec& spec) {
  ListenAddress listen;
  listen.unix_path = spec.address.substr(5);
  const std::string& path = listen.unix_path;
  if (path.empty() || path.front() != '/') {
    return bad(spec, "needs an absolute path after 'unix:'");
  }
  if (path.size() > kUnixPathBytesMax) {
    return bad(spec, "is a longer path than a Unix socket can have (107 bytes)");
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  put(address, listen);
  listen.loopback = true;
  listen.text = spec.address;
  return listen;
}

// False when `host` is not an address that can be written so.
bool parse_host(std::string host, bool brackets, uint16_t port, ListenAddress& listen) {
  if (host == "localhost") host = "127.0.0.1";
  if (host == "*") host = "0.0.0.0";
  sockaddr_in v4{};
  if (!brackets && ::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    put(v4, listen);
    listen.loopback = ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    listen.text = host + ":" + std::to_string(port);
    return true;
  }
  sockaddr_in6 v6{};
  if (brackets && ::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    put(v6, listen);
    listen.loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    listen.text = "[" + host + "]:" + std::to_string(port);
    return true;
  }
  return false;
}

}  // namespace

Result<ListenAddress> parse_listen(const ListenSpec& spec) {
  const std::string& text = spec.address;
  if (text.find('\0') != std::string::npos) return bad(spec, "has a NUL in it");
  if (text.starts_with("unix:")) return parse_unix(spec);
  constexpr std::string_view kForms =
      "is not an address: write 127.0.0.1:7200, [::1]:7200, *:7200 or unix:/path";
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return bad(spec, kForms);
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end) return bad(spec, "needs a port of 0..65535");

  std::string host = text.substr(0, colon);
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  ListenAddress listen;
  if (!parse_host(host, brackets, port, listen)) return bad(spec, kForms);
  if (!listen.loopback && !spec.tls) {
    return bad(
        spec,
        "can be reached from other hosts and has no TLS: set the certificate and the key, or "
        "listen on 127.0.0.1 or a Unix socket");
  }
  return listen;
}

}  // namespace pmshelf::control
