// A relay between a client and a server that breaks the connection after so many bytes.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "common/base/unique_fd.h"

namespace pmshelf::transport {

// Relays one connection. Bytes are counted from arm() on; -1: never breaks.
class Relay {
 public:
  static std::unique_ptr<Relay> to_port(uint16_t port, int64_t to_server, int64_t to_client);
  static std::unique_ptr<Relay> to_path(const std::string& server, const std::string& path,
                                        int64_t to_server, int64_t to_client);
  ~Relay();

  uint16_t port() const { return port_; }
  void arm() { armed_ = true; }

 private:
  Relay(UniqueFd listener, uint16_t port, int64_t to_server, int64_t to_client);
  void run();
  bool forward(int from, int to, int64_t& left);
  int connect_server() const;

  UniqueFd listener_;
  const uint16_t port_;
  uint16_t server_port_ = 0;
  std::string server_path_;
  int64_t to_server_, to_client_;
  std::atomic<bool> armed_{false}, stopping_{false};
  std::thread thread_;
};

}  // namespace pmshelf::transport
