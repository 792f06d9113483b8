// Shelves: made, opened, listed, resized, renamed, shared, erased.
#pragma once

#include "pmshelf/v1/shelves.grpc.pb.h"
#include "server/control/caller.h"
#include "server/control/shelf_access.h"

namespace pmshelf::control {

// Contract: proto/pmshelf/v1/shelves.proto. Owner: ControlServer. gRPC's threads. Changes of a
// shelf as a whole pass the ShelfGate, one at a time for a name.
class ShelvesService final : public v1::Shelves::Service {
 public:
  explicit ShelvesService(ControlState& state) : state_(state) {}

  grpc::Status Create(grpc::ServerContext* context, const v1::CreateShelfRequest* request,
                      v1::ShelfInfo* response) override;
  grpc::Status Open(grpc::ServerContext* context, const v1::OpenShelfRequest* request,
                    v1::OpenShelfResponse* response) override;
  grpc::Status Erase(grpc::ServerContext* context, const v1::EraseShelfRequest* request,
                     v1::EraseShelfResponse* response) override;
  grpc::Status List(grpc::ServerContext* context, const v1::ListShelvesRequest* request,
                    v1::ListShelvesResponse* response) override;
  grpc::Status Stat(grpc::ServerContext* context, const v1::StatShelfRequest* request,
                    v1::ShelfInfo* response) override;
  grpc::Status Resize(grpc::ServerContext* context, const v1::ResizeShelfRequest* request,
                      v1::ShelfInfo* response) override;
  grpc::Status Rename(grpc::ServerContext* context, const v1::RenameShelfRequest* request,
                      v1::ShelfInfo* response) override;
  grpc::Status SetAccess(grpc::ServerContext* context, const v1::SetAccessRequest* request,
                         v1::ShelfInfo* response) override;

 private:
  // Around a change of a shelf that ends with its description. `change` is not called for a
  // repetition of an applied request.
  template <class Request>
  grpc::Status change(grpc::ServerContext& context, std::string_view method, const Request& request,
                      std::string_view name_after, v1::ShelfInfo& response,
                      const std::function<Status(const Caller&, const store::Request&)>& apply);
  Status describe(const Caller& caller, std::string_view name, v1::ShelfInfo& out);

  Status create(const Caller& caller, const v1::CreateShelfRequest& request,
                const store::Request& id);
  Status erase(const Caller& caller, const v1::EraseShelfRequest& request,
               const store::Request& id);
  Status resize(const Caller& caller, const v1::ResizeShelfRequest& request,
                const store::Request& id);
  Status rename(const Caller& caller, const v1::RenameShelfRequest& request,
                const store::Request& id);
  Status set_access(const Caller& caller, const v1::SetAccessRequest& request,
                    const store::Request& id);

  ControlState& state_;
};

}  // namespace pmshelf::control
