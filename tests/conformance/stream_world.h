// A StreamListener over MemoryService, with threads and, for TLS, certificates of its own.
#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/transport/stream/stream_listener.h"
#include "tests/conformance/memory_service.h"

namespace pmshelf::transport {

// A directory of its own below the system's temporary one, gone with the object.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// Threads that each run one io_context, as the daemon's data threads do.
class DataThreads {
 public:
  explicit DataThreads(size_t count);
  ~DataThreads();
  std::vector<asio::io_context*> pool();

 private:
  using Guard = asio::executor_work_guard<asio::io_context::executor_type>;
  std::vector<std::unique_ptr<asio::io_context>> contexts_;
  std::vector<Guard> guards_;
  std::vector<std::thread> threads_;
};

// A CA, a server certificate for localhost and 127.0.0.1, and a client certificate, made with the
// openssl command. A second call makes other ones.
struct Certificates {
  explicit Certificates(const TempDirectory& directory, const std::string& prefix = "");
  std::string ca, server_cert, server_key, client_cert, client_key;
};

enum class StreamKind : uint8_t { kTcp, kTls, kUnix };

class StreamServer {
 public:
  explicit StreamServer(StreamKind kind, StreamLimits limits = {}, bool client_certs = false);
  ~StreamServer();

  MemoryService& service() { return service_; }
  StreamListener& listener() { return *listener_; }
  uint16_t port() const { return listener_->port(); }
  std::string socket_path() const { return directory_.file("data.sock"); }
  const TempDirectory& directory() const { return directory_; }
  const Certificates& certificates() const { return *certificates_; }

 private:
  TempDirectory directory_;
  std::unique_ptr<Certificates> certificates_;
  MemoryService service_;
  DataThreads threads_{2};
  std::unique_ptr<StreamListener> listener_;
};

}  // namespace pmshelf::transport
