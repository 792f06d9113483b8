// Regions: made, opened, listed, changed, locked, staged and committed.
#pragma once

#include "pmshelf/v1/regions.grpc.pb.h"
#include "server/control/caller.h"
#include "server/control/shelf_access.h"

namespace pmshelf::control {

// Contract: proto/pmshelf/v1/regions.proto. Owner: ControlServer. gRPC's threads; Lock is of
// gRPC's callback kind, since it may wait for a minute (lock_queue.h).
//
// Who revokes what: erase and resize end the region's grants before and after (change_alone);
// rename and commit end those of the regions whose names they take, without waiting, because their
// bytes stay pinned; swap, rename and set_attributes leave grants alone, since they stay with the
// bytes.
class RegionsService final : public v1::Regions::WithCallbackMethod_Lock<v1::Regions::Service> {
 public:
  explicit RegionsService(ControlState& state) : state_(state) {}

  grpc::Status Create(grpc::ServerContext* context, const v1::CreateRegionRequest* request,
                      v1::CreateRegionResponse* response) override;
  grpc::Status Open(grpc::ServerContext* context, const v1::OpenRegionRequest* request,
                    v1::Grant* response) override;
  grpc::Status Release(grpc::ServerContext* context, const v1::ReleaseRequest* request,
                       v1::ReleaseResponse* response) override;
  grpc::Status Erase(grpc::ServerContext* context, const v1::EraseRegionRequest* request,
                     v1::EraseRegionResponse* response) override;
  grpc::Status List(grpc::ServerContext* context, const v1::ListRegionsRequest* request,
                    v1::ListRegionsResponse* response) override;
  grpc::Status Stat(grpc::ServerContext* context, const v1::StatRegionRequest* request,
                    v1::RegionInfo* response) override;
  grpc::Status Rename(grpc::ServerContext* context, const v1::RenameRegionRequest* request,
                      v1::RenameRegionResponse* response) override;
  grpc::Status Swap(grpc::ServerContext* context, const v1::SwapRegionsRequest* request,
                    v1::SwapRegionsResponse* response) override;
  grpc::Status Resize(grpc::ServerContext* context, const v1::ResizeRegionRequest* request,
                      v1::ResizeRegionResponse* response) override;
  grpc::Status SetAttributes(grpc::ServerContext* context, const v1::SetAttributesRequest* request,
                             v1::SetAttributesResponse* response) override;
  grpc::ServerUnaryReactor* Lock(grpc::CallbackServerContext* context,
                                 const v1::LockRequest* request,
                                 v1::LockResponse* response) override;
  grpc::Status Unlock(grpc::ServerContext* context, const v1::UnlockRequest* request,
                      v1::UnlockResponse* response) override;
  grpc::Status Stage(grpc::ServerContext* context, const v1::StageRequest* request,
                     v1::Grant* response) override;
  grpc::Status Commit(grpc::ServerContext* context, const v1::CommitRequest* request,
                      v1::CommitResponse* response) override;

 private:
  using Apply = std::function<Result<uint64_t>(const ShelfView&, const store::Request&)>;
  // Around a change of a shelf's regions, for holders of WRITE. `apply` is not called for a
  // repetition; the result is what it made, or made then.
  template <class Request>
  Result<uint64_t> mutate(const grpc::ServerContext& context, const Caller& caller,
                          std::string_view method, const Request& request, const Apply& apply);

  Status create(const grpc::ServerContext& context, const Caller& caller,
                const v1::CreateRegionRequest& request, v1::CreateRegionResponse& response);
  Status open(const Caller& caller, const std::string& shelf, const std::string& name,
              uint32_t rights, v1::Grant& out);
  Status open_once(const Caller& caller, const ShelfView& view, const std::string& name,
                   uint8_t rights, v1::Grant& out);
  Status describe_opened(const Caller& caller, const ShelfView& view, const std::string& name,
                         const pool::RegionRef& opened, uint8_t rights, v1::Grant& out);
  Result<uint64_t> rename(const ShelfView& view, const v1::RenameRegionRequest& request,
                          const store::Request& id);
  Status list(const grpc::ServerContext& context, const ShelfView& view,
              const v1::ListRegionsRequest& request, v1::ListRegionsResponse& response);
  Status lockable(const Caller& caller, const v1::LockRequest& request, session::RegionKey& key);
  Status stage(const Caller& caller, const ShelfView& view, const v1::StageRequest& request,
               v1::Grant& out);
  Result<uint64_t> commit(const Caller& caller, const ShelfView& view,
                          const v1::CommitRequest& request, const store::Request& id,
                          v1::CommitResponse& response);
  void fill_grant(const ShelfView& view, const session::RegionKey& key, const wire::GrantId& id,
                  uint8_t rights, v1::Grant& out);

  ControlState& state_;
};

template <class Request>
Result<uint64_t> RegionsService::mutate(const grpc::ServerContext& context, const Caller& caller,
                                        std::string_view method, const Request& request,
                                        const Apply& apply) {
  PMSHELF_TRY_ASSIGN(auto running, begin_request(state_, caller, method, request));
  if (running.result().has_value()) return *running.result();
  PMSHELF_TRY_ASSIGN(const ShelfView view,
                     find_shelf(state_, caller, request.shelf(), store::kWrite));
  PMSHELF_TRY(still_wanted(context));
  const store::Request& id = running.request();
  PMSHELF_TRY_ASSIGN(const uint64_t made,
                     apply_once(*view.shelf, id, [&] { return apply(view, id); }));
  running.done(made);
  return made;
}

}  // namespace pmshelf::control
