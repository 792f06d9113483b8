// The daemon: everything made, wired, and taken down in order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "pmshelf/result.h"
#include "server/app/config.h"

namespace pmshelf::app {

struct DaemonMode {
  bool private_daemon = false;          // admits only its own uid and root
  std::optional<uint64_t> mirror_seed;  // test builds: pools on mirror media
};

inline constexpr uint64_t kTickMs = 1000;
inline constexpr size_t kFlushQueueMax = 65'536;  // requests that wait for a flush thread
inline constexpr uint64_t kDataThreadStuckMs = 10'000;

// Owner: main. All methods on the main thread, but drain, which may run on another while the main
// thread calls nothing.
//
// Parts live from start to drain and are destroyed in reverse: clock, registry, handles, pools,
// authenticator, metrics, worker pool, data plane, data threads, listeners, control server,
// metrics server. What comes later may use what comes earlier, never the other way.
class Daemon {
 public:
  // Precondition: the configuration passed check_config; signals that main handles are blocked.
  // kBusy: a pool or an address belongs to another process, whom the message names; otherwise the
  // errors of the parts. Nothing is left behind after an error.
  static Result<std::unique_ptr<Daemon>> start(const Config& config, const DaemonMode& mode);
  ~Daemon();

  // About every kTickMs: ends what has timed out, looks at certificates. False when a data thread
  // has not moved for kDataThreadStuckMs.
  bool tick();
  // Takes over what can change while running, says what cannot, re-opens the log.
  void reload(const Config& fresh);
  // Sessions or data connections are there.
  bool busy() const;
  uint64_t sessions_opened() const;  // since the start, refused ones included
  // Ends in order: no new sessions, clients told, running calls and requests finished within
  // [daemon] drain_timeout, sessions closed, stores closed clean. Nothing works afterwards.
  Status drain();

  std::string data_socket() const;
  std::string summary() const;  // one line for the log and for systemd

 private:
  struct Parts;
  explicit Daemon(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace pmshelf::app
