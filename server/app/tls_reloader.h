// The data plane's TLS certificate, read again when its files change.
#pragma once

#include <asio/ssl/context.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "common/transport/stream/stream_listener.h"
#include "pmshelf/result.h"

namespace pmshelf::app {

// Owner: the daemon. current() on any thread, check() on the main thread. A pair that cannot be
// used is logged once and the old one stays in force.
class TlsReloader {
 public:
  // Errors as make_server_tls_context.
  static Result<std::unique_ptr<TlsReloader>> open(transport::ServerTlsFiles files);

  std::shared_ptr<asio::ssl::context> current() const;
  // Reads the files again if one of them is another than before.
  void check();

 private:
  TlsReloader(transport::ServerTlsFiles files, std::shared_ptr<asio::ssl::context> context);
  std::string fingerprint() const;  // of the files' inodes, sizes and times

  const transport::ServerTlsFiles files_;
  std::string seen_;
  mutable std::mutex mutex_;
  std::shared_ptr<asio::ssl::context> context_;
};

}  // namespace pmshelf::app
