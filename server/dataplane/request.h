// What the operations of the data plane work with.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "common/transport/stream_server.h"
#include "common/wire/frame.h"
#include "pmshelf/result.h"
#include "server/dataplane/memory_budget.h"
#include "server/dataplane/op_metrics.h"
#include "server/dataplane/worker_pool.h"
#include "server/pool/pool.h"
#include "server/session/handles.h"
#include "server/session/registry.h"

namespace pmshelf::dataplane {

class ShelfCache;

// The rest of the daemon, as the data plane sees it. Owner: app; all of it outlives every
// connection and operation. The functions are called on any thread and must not block.
struct DataPlaneParts {
  session::Registry& registry;
  session::Handles& handles;
  WorkerPool& workers;
  OpMetrics& metrics;
  MemoryBudget& memory;  // transaction payloads and rings
  std::function<std::shared_ptr<pool::Shelf>(uint64_t shelf_key)> find_shelf;  // null: none such
  std::function<Result<std::string>(const transport::PeerInfo&)> issue_peer_token;
  uint64_t boot_epoch = 0;
  uint32_t in_flight_max = 128;
};

// One request on its way in; everything in it is valid until begin() returns, the parts longer.
struct Request {
  const DataPlaneParts& parts;
  Path path;
  const wire::SessionId& session;
  ShelfCache& shelves;
  const wire::FrameHeader& header;
  std::span<const std::byte> meta;
  std::chrono::steady_clock::time_point began;
};

using OperationPtr = std::unique_ptr<transport::Operation>;

// A request that was allowed. Derived classes set windows_ and may_block_ when they are made and
// answer in work(): on the connection's thread, or on a worker when it may block. Holding the
// Access or RegionRef of the bytes is their business; both go with the operation.
class DataOperation : public transport::Operation {
 public:
  explicit DataOperation(const Request& request)
      : parts_(request.parts), path_(request.path), op_(request.header.op), began_(request.began) {}
  std::span<const transport::Window> windows() const final { return windows_; }
  void run(std::function<void(Reply)> done) final;

 protected:
  virtual Reply work() = 0;

  const DataPlaneParts& parts_;
  std::span<const transport::Window> windows_;
  bool may_block_ = false;

 private:
  Reply measured();

  const Path path_;
  const wire::Op op_;
  const std::chrono::steady_clock::time_point began_;
};

// Microseconds since `began`.
uint64_t elapsed_us(std::chrono::steady_clock::time_point began);

// The factories: each checks one op and names what is wrong. Errors are those of
// Registry::begin_access, plus kInvalidArgument (field of the frame), kUnsupported (policy of the
// shelf) and what each comment adds.

// region_ops.cc
Result<OperationPtr> begin_read(const Request& request);
Result<OperationPtr> begin_write(const Request& request);
Result<OperationPtr> begin_flush(const Request& request);
Result<OperationPtr> begin_atomic_write8(const Request& request);
Result<OperationPtr> begin_read_ranges(const Request& request);
Result<OperationPtr> begin_write_ranges(const Request& request);
// value_ops.cc. Put: kNoSpace, kReadOnly, kIo of Shelf::reserve. Get: kNotFound.
Result<OperationPtr> begin_put(const Request& request);
Result<OperationPtr> begin_get(const Request& request);
// transact_op.cc: kResourceExhausted when the memory for payloads is used up.
Result<OperationPtr> begin_transact(const Request& request);

// Grants access to [offset, offset + bytes) of the request's grant, on a path that its shelf
// allows.
Result<session::Access> begin_access(const Request& request, wire::GrantId grant, uint8_t right,
                                     uint64_t offset, uint64_t bytes);
pool::RegionRef& region_of(const session::Access& access);

}  // namespace pmshelf::dataplane
