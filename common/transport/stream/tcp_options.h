// Options of every TCP socket, at both ends. Private to the stream transports.
#pragma once

namespace pmshelf::transport {

// TCP_NODELAY, and keep-alive probes that notice a vanished peer within about two minutes.
void set_tcp_options(int fd);

}  // namespace pmshelf::transport
