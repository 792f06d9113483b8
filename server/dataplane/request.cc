#include "server/dataplane/request.h"

#include <utility>

#include "server/dataplane/shelf_cache.h"

namespace pmshelf::dataplane {

uint64_t elapsed_us(std::chrono::steady_clock::time_point began) {
  const auto elapsed = std::chrono::steady_clock::now() - began;
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count());
}

transport::Operation::Reply DataOperation::measured() {
  Reply reply = work();
  uint64_t payload_bytes = 0;
  for (const transport::Window& window : windows_) payload_bytes += window.bytes;
  parts_.metrics.answered(path_, op_, reply.status.code(), payload_bytes, elapsed_us(began_));
  return reply;
}

void DataOperation::run(std::function<void(Reply)> done) {
  if (!may_block_) return done(measured());
  // `this` lives until done was called, which is the last thing that the task does.
  WorkerPool::Task task = [this, done] { done(measured()); };
  if (parts_.workers.submit(task)) return;
  Reply refused;
  refused.status = Error(Code::kResourceExhausted,
                         "too many requests wait for the storage ([daemon] flush_threads): retry");
  parts_.metrics.answered(path_, op_, refused.status.code(), 0, elapsed_us(began_));
  done(std::move(refused));
}

Result<session::Access> begin_access(const Request& request, wire::GrantId grant, uint8_t right,
                                     uint64_t offset, uint64_t bytes) {
  PMSHELF_TRY_ASSIGN(session::Access access, request.parts.registry.begin_access(
                                                 request.session, grant, right, offset, bytes));
  if (request.path == Path::kLocal) {
    PMSHELF_TRY(request.shelves.allow_local(access.region().shelf));
  }
  return access;
}

pool::RegionRef& region_of(const session::Access& access) {
  return *static_cast<pool::RegionRef*>(access.resource().get());
}

}  // namespace pmshelf::dataplane
