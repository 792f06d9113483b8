#include "client/src/target.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace pmshelf::client {
namespace {

constexpr size_t kHostBytesMax = 255;

Error invalid(std::string_view text, std::string_view why) {
  return Error(Code::kInvalidArgument,
               "target '" + std::string(text.substr(0, 300)) + "': " + std::string(why));
}

bool is_host_character(char letter) {
  const bool alphanumeric = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                            (letter >= '0' && letter <= '9');
  return alphanumeric || letter == '.' || letter == '-' || letter == '_';
}

bool is_v6_address(const std::string& host) {
  std::array<unsigned char, 16> address{};
  const std::string without_scope = host.substr(0, host.find('%'));
  return inet_pton(AF_INET6, without_scope.c_str(), address.data()) == 1;
}

Result<uint16_t> parse_port(std::string_view whole, std::string_view digits) {
  uint16_t port = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failed != std::errc() || end != digits.data() + digits.size() || port == 0) {
    return invalid(whole, "the port must be a number from 1 to 65535");
  }
  return port;
}

Result<HostPort> parse_bracketed(std::string_view text, uint16_t port_default) {
  const size_t close = text.find(']');
  if (close == std::string_view::npos) return invalid(text, "']' is missing");
  HostPort parsed{std::string(text.substr(1, close - 1)), port_default};
  if (!is_v6_address(parsed.host)) return invalid(text, "no IPv6 address between the brackets");
  const std::string_view rest = text.substr(close + 1);
  if (!rest.empty()) {
    if (rest.front() != ':') return invalid(text, "only ':port' may follow ']'");
    PMSHELF_TRY_ASSIGN(parsed.port, parse_port(text, rest.substr(1)));
  }
  return parsed;
}

Result<Target> parse_socket(std::string_view text, std::string_view path) {
  if (path.empty() || path.front() != '/') return invalid(text, "the path must begin with '/'");
  const size_t slash = path.rfind('/');
  const std::string_view name = path.substr(slash + 1);
  if (name != "data.sock" && name != "control.sock") {
    return invalid(text, "the path must end in /data.sock or /control.sock");
  }
  Target target;
  target.kind = Target::Kind::kSocket;
  target.path = std::string(path.substr(0, slash));
  if (target.path.size() + std::string_view("/control.sock").size() > kSocketPathBytesMax) {
    return invalid(text, "longer than the 107 bytes that a socket path may have");
  }
  return target;
}

}  // namespace

Result<HostPort> parse_host_port(std::string_view text, uint16_t port_default) {
  if (text.starts_with('[')) {
    auto parsed = parse_bracketed(text, port_default);
    if (parsed.ok() && parsed->port == 0) return invalid(text, "':port' is missing");
    return parsed;
  }
  if (std::count(text.begin(), text.end(), ':') > 1) {
    return invalid(text, "an IPv6 address needs brackets: [address]:port");
  }
  HostPort parsed{{}, port_default};
  const size_t colon = text.find(':');
  parsed.host = std::string(text.substr(0, colon));
  if (colon != std::string_view::npos) {
    PMSHELF_TRY_ASSIGN(parsed.port, parse_port(text, text.substr(colon + 1)));
  }
  if (parsed.port == 0) return invalid(text, "':port' is missing");
  if (parsed.host.size() > kHostBytesMax) return invalid(text, "the host is over 255 bytes long");
  if (!std::all_of(parsed.host.begin(), parsed.host.end(), is_host_character)) {
    return invalid(text, "a host has letters, digits, '.', '-' and '_' only");
  }
  return parsed;
}

Result<Target> parse_target(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return invalid("", "contains a NUL byte");
  Target target;
  if (text.empty()) return target;
  if (text.starts_with("unix:")) return parse_socket(text, text.substr(5));
  if (text.starts_with("dir:")) {
    target.kind = Target::Kind::kDirectory;
    target.path = std::string(text.substr(4));
    if (target.path.empty()) return invalid(text, "the directory is missing");
    return target;
  }
  PMSHELF_TRY_ASSIGN(HostPort parsed, parse_host_port(text, kControlPortDefault));
  if (parsed.host.empty()) return invalid(text, "the host is missing");
  target.kind = Target::Kind::kHost;
  target.host = std::move(parsed.host);
  target.port = parsed.port;
  return target;
}

std::string format_host_port(std::string_view host, uint16_t port) {
  std::string text;
  const bool v6 = host.find(':') != std::string_view::npos;
  if (v6) text += '[';
  text += host;
  if (v6) text += ']';
  text += ':';
  text += std::to_string(port);
  return text;
}

bool is_loopback_host(std::string_view host) {
  const std::string name(host);
  if (name == "localhost") return true;
  std::array<unsigned char, 16> address{};
  if (inet_pton(AF_INET, name.c_str(), address.data()) == 1) return address[0] == 127;
  if (inet_pton(AF_INET6, name.c_str(), address.data()) != 1) return false;
  return std::all_of(address.begin(), address.end() - 1, [](auto byte) { return byte == 0; }) &&
         address.back() == 1;
}

}  // namespace pmshelf::client
