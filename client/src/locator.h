// From a target to the addresses of a daemon (docs/protocol.md, "Finding the daemon").
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "client/src/environment.h"
#include "client/src/target.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

using Time = std::chrono::steady_clock::time_point;

// Where one daemon's two planes are.
struct Site {
  std::string control_address;  // for gRPC: "unix:/run/pmshelf/control.sock" or "host:port"
  std::string data_socket;      // path; empty when the daemon was named by host and port
  std::string host;             // what a data endpoint without a host means
  bool needs_tls = false;       // the host is not spelled as a loopback address
  std::string text;             // for messages
};

// Runtime folders that may hold sockets of a daemon on this host, in the order of trying.
std::vector<std::string> runtime_folders(const Environment& environment);

// Empty when the folder may be used; otherwise why not. /tmp/pmshelf-UID, which anybody can make,
// must be a real directory of `environment.uid` with mode 0700.
std::string distrust_folder(const std::string& folder, const Environment& environment);

// True when something accepts connections on the Unix socket.
bool socket_accepts(const std::string& path);

// The first runtime folder whose data.sock accepts. kUnavailable lists what was tried.
Result<std::string> find_local_socket(const Environment& environment);

// The daemon that serves target.path, started when none does (private_daemon.h). `daemon_path` is
// ConnectOptions::daemon_path.
// kUnavailable (nobody there), kInvalidArgument, kDeadlineExceeded, and what a daemon that could
// not start says.
Result<Site> locate(const Target& target, const std::string& daemon_path,
                    const Environment& environment, Time deadline);

}  // namespace pmshelf::client
