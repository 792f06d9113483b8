// Administration: pools, sessions, drain, tokens.
#pragma once

#include "pmshelf/v1/admin.grpc.pb.h"
#include "server/control/caller.h"

namespace pmshelf::control {

// Contract: proto/pmshelf/v1/admin.proto. Owner: ControlServer. gRPC's threads. Each action that
// changes something or disturbs others is logged with principal and peer.
class AdminService final : public v1::Admin::Service {
 public:
  explicit AdminService(ControlState& state) : state_(state) {}

  grpc::Status Status(grpc::ServerContext* context, const v1::StatusRequest* request,
                      v1::StatusResponse* response) override;
  grpc::Status ListPools(grpc::ServerContext* context, const v1::ListPoolsRequest* request,
                         v1::ListPoolsResponse* response) override;
  grpc::Status StatPool(grpc::ServerContext* context, const v1::StatPoolRequest* request,
                        v1::PoolInfo* response) override;
  grpc::Status CheckPool(grpc::ServerContext* context, const v1::CheckPoolRequest* request,
                         grpc::ServerWriter<v1::CheckPoolResponse>* writer) override;
  grpc::Status ListSessions(grpc::ServerContext* context, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override;
  grpc::Status KickSession(grpc::ServerContext* context, const v1::KickSessionRequest* request,
                           v1::KickSessionResponse* response) override;
  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override;
  grpc::Status CreateToken(grpc::ServerContext* context, const v1::CreateTokenRequest* request,
                           v1::CreateTokenResponse* response) override;
  grpc::Status ListTokens(grpc::ServerContext* context, const v1::ListTokensRequest* request,
                          v1::ListTokensResponse* response) override;
  grpc::Status RevokeToken(grpc::ServerContext* context, const v1::RevokeTokenRequest* request,
                           v1::RevokeTokenResponse* response) override;

 private:
  // For administrators only.
  grpc::Status administer(grpc::ServerContext& context, std::string_view method,
                          const std::function<pmshelf::Status(const Caller&)>& body);
  pmshelf::Status check_pool(const grpc::ServerContext& context, const Caller& caller,
                             const std::string& name,
                             grpc::ServerWriter<v1::CheckPoolResponse>& writer);
  Result<session::Principal> session_with_id(const wire::SessionId& id) const;  // kNotFound
  pmshelf::Status drain(const grpc::ServerContext& context, const Caller& caller,
                        const v1::DrainRequest& request, v1::DrainResponse& response);
  pmshelf::Status create_token(const Caller& caller, const v1::CreateTokenRequest& request,
                               v1::CreateTokenResponse& response);

  ControlState& state_;
};

}  // namespace pmshelf::control
