#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "server/control/regions_service.h"

namespace pmshelf::control {
namespace {

// A call that waits for a lock. Belongs to gRPC, which ends it after Finish.
class LockCall final : public grpc::ServerUnaryReactor {
 public:
  LockCall(ControlState& state, v1::LockResponse& response) : state_(state), response_(response) {}

  void wait(const wire::SessionId& session, const session::RegionKey& key,
            const v1::LockRequest& request) {
    state_.locks->lock({session, key, request.exclusive(), request.wait_ms(), cancelled_,
                        [this](Result<uint64_t> result) { finish(std::move(result)); }});
  }

  // Nothing of this object may be touched after it.
  void finish(Result<uint64_t> result) {
    if (result.ok()) response_.set_lock_id(*result);
    Finish(serve(state_, "Regions.Lock", [&]() -> Status {
      if (!result.ok()) return result.error();
      return {};
    }));
  }

 private:
  void OnCancel() override {
    cancelled_->store(true);
    state_.locks->poke();
  }
  void OnDone() override { delete this; }

  ControlState& state_;
  v1::LockResponse& response_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

Status RegionsService::lockable(const Caller& caller, const v1::LockRequest& request,
                                session::RegionKey& key) {
  if (request.wait_ms() > kLockWaitMsMax) {
    return Error(Code::kInvalidArgument, "wait_ms: at most 60000");
  }
  PMSHELF_TRY(check_region_name("name", request.name()));
  const uint8_t right = request.exclusive() ? store::kWrite : store::kRead;
  PMSHELF_TRY_ASSIGN(const ShelfView view, find_shelf(state_, caller, request.shelf(), right));
  PMSHELF_TRY(view.shelf->stat(request.name()));
  key = lock_key(*view.shelf, request.name());
  return {};
}

grpc::ServerUnaryReactor* RegionsService::Lock(grpc::CallbackServerContext* context,
                                               const v1::LockRequest* request,
                                               v1::LockResponse* response) {
  auto* call = new LockCall(state_, *response);
  Caller caller;
  session::RegionKey key;
  Status allowed = guarded([&]() -> Status {
    PMSHELF_TRY_ASSIGN(caller, identify(state_, *context));
    return lockable(caller, *request, key);
  });
  if (allowed.ok()) {
    call->wait(caller.session, key, *request);
  } else {
    call->finish(std::move(allowed).error());
  }
  return call;
}

grpc::Status RegionsService::Unlock(grpc::ServerContext* context, const v1::UnlockRequest* request,
                                    v1::UnlockResponse*) {
  return serve_caller(state_, *context, "Regions.Unlock", [&](const Caller& caller) -> Status {
    PMSHELF_TRY(state_.parts.registry.unlock(caller.session, request->lock_id()));
    state_.locks->poke();
    return {};
  });
}

}  // namespace pmshelf::control
