// Listening sockets of the control plane, and the thread that accepts for gRPC.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "pmshelf/result.h"
#include "server/control/listen_policy.h"

namespace pmshelf::control {

// Accepts connections and hands each to `take`. gRPC's own listener is not used: out of file
// descriptors it stops listening for good, it removes any Unix socket that is in its way, it has no
// limit on connections, and it says nothing about why an address cannot be bound.
//
// Owner: ControlServer. listen() before start(); `take` runs on the acceptor's one thread.
// At most `connections_max` connections are open per listen(); more are closed at once, so that a
// flood on one address leaves the others alone.
class Acceptor {
 public:
  using Take = std::function<void(UniqueFd connection)>;

  explicit Acceptor(uint32_t connections_max);
  ~Acceptor();  // as stop()

  // kInvalidArgument: as parse_listen, or the path is taken by something that is not a socket;
  // kBusy: the address is in use; kPermissionDenied; kIo. A Unix socket that nobody listens on is
  // replaced.
  Status listen(const ListenSpec& spec, Take take);
  // kIo: no thread.
  Status start();
  // No connection is taken after it returns. Unix sockets are removed. Idempotent.
  void stop();
  std::vector<std::string> addresses() const;

 private:
  struct Listener;
  void run();
  void accept_from(Listener& listener);

  const uint32_t connections_max_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  UniqueFd wake_;
  struct Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace pmshelf::control
