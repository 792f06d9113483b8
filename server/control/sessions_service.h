// Sessions: authentication, keep-alive, end.
#pragma once

#include "pmshelf/v1/sessions.grpc.pb.h"
#include "server/control/state.h"

namespace pmshelf::control {

// Contract: proto/pmshelf/v1/sessions.proto. Owner: ControlServer. gRPC's threads.
class SessionsService final : public v1::Sessions::Service {
 public:
  explicit SessionsService(ControlState& state) : state_(state) {}

  grpc::Status Open(grpc::ServerContext* context, const v1::OpenSessionRequest* request,
                    v1::OpenSessionResponse* response) override;
  grpc::Status KeepAlive(grpc::ServerContext* context, const v1::KeepAliveRequest* request,
                         v1::KeepAliveResponse* response) override;
  grpc::Status Close(grpc::ServerContext* context, const v1::CloseSessionRequest* request,
                     v1::CloseSessionResponse* response) override;

 private:
  Status open(const grpc::ServerContext& context, const v1::OpenSessionRequest& request,
              v1::OpenSessionResponse& response);

  ControlState& state_;
};

}  // namespace pmshelf::control
