// The data plane: what the daemon does with the frames that stream transports receive.
#pragma once

#include <memory>

#include "common/transport/stream_server.h"
#include "server/dataplane/connection_link.h"
#include "server/dataplane/request.h"

namespace pmshelf::dataplane {

inline constexpr uint64_t kRingBytesMax = uint64_t{64} << 20;  // of one connection

// Joins sessions, pools and stream transports: proves connections, checks every frame against its
// session's grants, hands pool memory to the transport as windows, and makes durable what is
// acknowledged. Owner: app; made before the listeners, outlives them and every operation. The
// factory and what it makes run on data threads; notify_drain on any.
//
// Durability: a write, atomic write, flush, put or transact is answered ok only after its bytes
// are durable in the sense of the shelf's storage class (writes marked visible-only excepted).
// Media that block in the kernel are flushed on the worker pool, never on a data thread.
class DataPlane {
 public:
  explicit DataPlane(DataPlaneParts parts);
  ~DataPlane();

  transport::HandlerFactory factory();
  // Tells every client that the daemon is about to end.
  void notify_drain();

 private:
  const DataPlaneParts parts_;
  ConnectionTable connections_;
};

}  // namespace pmshelf::dataplane
