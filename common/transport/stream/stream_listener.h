// Server end of the stream transports: TCP, TLS over TCP and Unix sockets are one engine.
#pragma once

#include <asio/io_context.hpp>
#include <asio/ssl/context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/transport/stream_server.h"
#include "pmshelf/result.h"

namespace pmshelf::transport {

// Where and how to listen: `address` and `port`, or `unix_path`.
struct ListenOptions {
  std::string address;    // IP literal: "127.0.0.1", "::1", "0.0.0.0"
  uint16_t port = 0;      // 0: the kernel chooses, see StreamListener::port
  std::string unix_path;  // a stream socket, mode 0666: the kernel names the peer
  // TCP only. Called for every accepted connection: hand out a new context to reload certificates.
  // Empty: no TLS.
  std::function<std::shared_ptr<asio::ssl::context>()> tls_context;
  StreamLimits limits;
};

// Accepts connections, puts each on one io_context of the pool (round robin) and runs the data
// plane's protocol on it: challenge, hello, requests (stream_server.h).
//
// Owner: app. The io_contexts are the app's, each run by one thread, and outlive this object and
// every Operation that was begun. Threads: open, stop and the destructor on any thread that is not
// one of the pool's.
//
// Limits: StreamLimits. A connection takes at most about 64 KiB to receive, buffered_bytes_max +
// one reply to send, and 4 KiB besides. Out of descriptors: accepting pauses for 100 ms at a time,
// and the log says so once.
class StreamListener {
 public:
  // Binds, listens and begins to accept. A Unix path that a dead daemon left is taken over.
  // kInvalidArgument: not an IP literal, path too long, TLS asked for a Unix path. kBusy: somebody
  // listens there. kPermissionDenied, kIo: the system's words.
  static Result<std::unique_ptr<StreamListener>> open(std::vector<asio::io_context*> pool,
                                                      ListenOptions options,
                                                      HandlerFactory factory);
  ~StreamListener();  // stop(0)

  uint16_t port() const;  // bound port, 0 for Unix sockets
  uint32_t connection_count() const;

  // Ends: accepts no more, lets every connection finish what is in flight without reading more,
  // cuts what is left after `deadline_ms`, and returns when every handler has been told
  // `disconnected`. Handlers are destroyed when the last of their operations is done, which may be
  // later. The Unix path is removed. Idempotent.
  void stop(uint64_t deadline_ms);

 private:
  class Impl;
  explicit StreamListener(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

// What TLS needs on the server side. `client_ca_file` empty: clients need no certificate (their
// Hello proves the session all the same).
struct ServerTlsFiles {
  std::string certificate_file, key_file, client_ca_file;
};
// TLS 1.2 and later. kInvalidArgument names the file that cannot be read, does not parse, or does
// not fit the other.
Result<std::shared_ptr<asio::ssl::context>> make_server_tls_context(const ServerTlsFiles& files);

}  // namespace pmshelf::transport
