// The control plane: gRPC services of proto/pmshelf/v1 over sessions and pools.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/units.h"
#include "pmshelf/result.h"
#include "server/control/listen_policy.h"
#include "server/control/pool_set.h"
#include "server/control/tls.h"
#include "server/control/tokens.h"
#include "server/session/handles.h"
#include "server/session/registry.h"

namespace pmshelf::control {

// A way to the data plane, told to clients when they open a session.
struct Endpoint {
  std::string path;     // "tcp" or "local"
  std::string address;  // host:port; empty host: the control plane's; or the socket's path
  bool tls = false;
};

struct StatusReport {
  uint64_t uptime_ms = 0;
  uint64_t recovery_us = 0;
  std::map<std::string, uint64_t> counters;  // a snapshot of the metrics
};

// What the control plane asks of the rest of the daemon. Called on gRPC threads, several at once;
// empty ones are not called.
struct ControlHooks {
  // `same_host`: by Unix socket or loopback.
  std::function<std::vector<Endpoint>(bool same_host)> endpoints;
  std::function<StatusReport()> status;
  std::function<void()> drain_began;  // tell data connections
  std::function<void()> stop;         // end the daemon; returns at once
  // After every call, for metrics. `method` is "Regions.Create" and so on.
  std::function<void(std::string_view method, Code code, uint64_t elapsed_us)> called;
};

struct ControlOptions {
  std::vector<ListenSpec> listen;
  TlsOptions tls;  // for those of `listen` that say so
  std::string version;
  uint64_t boot_epoch = 0;
  uint64_t session_timeout_ms = 30'000;    // as in RegistryLimits
  uint32_t threads_max = 32;               // that serve calls
  uint32_t connections_max = 1024;         // on each of `listen`
  uint64_t memory_bytes_max = 256 * kMiB;  // that gRPC may buffer
  uint32_t sessions_per_principal_max = 1024;
};

struct ControlParts {
  session::Registry& registry;
  session::Handles& handles;
  PoolSet& pools;
  Authenticator& authenticator;
  const Clock& clock;
};

// Owner: app. The parts outlive it. Calls are served by gRPC's own threads, at most threads_max;
// one more thread accepts connections and one hands out locks that were waited for. Nothing runs
// on data threads. Limits: messages 4 MiB, metadata 16 KiB, 128 calls at once on a connection.
class ControlServer {
 public:
  ControlServer(const ControlParts& parts, ControlOptions options, ControlHooks hooks);
  ~ControlServer();  // shuts down, with a deadline of 0

  // Listens and serves. kInvalidArgument names the setting (listen_policy.h, tls.h); kBusy: the
  // address is taken; kPermissionDenied, kIo. Nothing listens after an error. Call once.
  Status start();
  // What is listened on, with ports filled in: "127.0.0.1:41234", "unix:/run/x.sock".
  std::vector<std::string> addresses() const;
  // Ends sessions whose token is over. Call about once a second, as Registry::sweep.
  void sweep();
  // New sessions are refused from now on, as by Admin.Drain. Idempotent.
  void begin_drain();
  bool draining() const;
  // Stops accepting, lets running calls finish for up to `deadline_ms`, then cancels them, and
  // returns when none is left. Idempotent.
  void shutdown(uint64_t deadline_ms);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pmshelf::control
