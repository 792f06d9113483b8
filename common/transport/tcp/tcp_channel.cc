#include "common/transport/tcp/tcp_channel.h"

#include <netdb.h>
#include <sys/socket.h>

#include "common/transport/stream/client_handshake.h"
#include "common/transport/stream/stream_channel.h"
#include "common/transport/stream/tcp_options.h"
#include "common/transport/tcp/client_tls.h"

namespace pmshelf::transport {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

std::string name_of(const TcpConnectOptions& options) {
  return options.host + " port " + std::to_string(options.port);
}

Result<Addresses> look_up(const TcpConnectOptions& options) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const std::string port = std::to_string(options.port);
  const int error = ::getaddrinfo(options.host.c_str(), port.c_str(), &hints, &list);
  if (error != 0) {
    return Error(Code::kUnavailable, "host '" + options.host + "': " + ::gai_strerror(error));
  }
  return Addresses(list);
}

// The first address that answers.
Result<UniqueFd> connect_any(const TcpConnectOptions& options, Deadline deadline) {
  PMSHELF_TRY_ASSIGN(const Addresses addresses, look_up(options));
  Error last(Code::kUnavailable, "host '" + options.host + "' has no address");
  for (const addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
    auto fd = connect_socket(at->ai_addr, at->ai_addrlen, name_of(options), deadline);
    if (fd.ok()) return fd;
    last = fd.error();
  }
  return last;
}

}  // namespace

Result<std::unique_ptr<Channel>> connect_tcp(const TcpConnectOptions& options) {
  const Deadline deadline = deadline_after(options.connect_timeout_ms);
  UniqueSsl ssl;  // bad files show before anything is sent
  if (options.tls) {
    PMSHELF_TRY_ASSIGN(ssl, make_client_ssl(options.tls_options, options.host));
  }
  PMSHELF_TRY_ASSIGN(UniqueFd fd, connect_any(options, deadline));
  set_tcp_options(fd.get());
  StreamChannelParts parts;
  parts.path = "tcp";
  if (options.tls) {
    parts.stream = make_tls_stream(std::move(fd), std::move(ssl));
    PMSHELF_TRY(finish_tls(*parts.stream, deadline));
  } else {
    parts.stream = make_plain_stream(std::move(fd), false);
  }
  PMSHELF_TRY_ASSIGN(parts.capabilities,
                     say_hello(*parts.stream, options.session, options.data_secret, deadline));
  return StreamChannel::make(std::move(parts));
}

}  // namespace pmshelf::transport
