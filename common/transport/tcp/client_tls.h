// The client's TLS settings. Private to common/transport/tcp.
#pragma once

#include <string>

#include "common/transport/stream/byte_stream.h"
#include "common/transport/tcp/tcp_channel.h"

namespace pmshelf::transport {

// Ready to connect: verifies the server's chain, and its name or IP address. `host` is the name
// when the options give none. kInvalidArgument names the file.
Result<UniqueSsl> make_client_ssl(const TlsConnectOptions& options, const std::string& host);

}  // namespace pmshelf::transport
