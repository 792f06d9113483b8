#include "server/control/sessions_service.h"

#include <spdlog/spdlog.h>

#include <string>

#include "server/control/caller.h"
#include "server/control/convert.h"

namespace pmshelf::control {
namespace {

constexpr uint32_t kProtocolVersion = 1;

// As gRPC writes the caller's address: "unix:", "ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711".
bool is_same_host(const std::string& peer) {
  return peer.starts_with("unix:") || peer.starts_with("ipv4:127.") ||
         peer.starts_with("ipv6:%5B::1%5D:") || peer.starts_with("ipv6:[::1]:");
}

std::string secret_bytes(const wire::Secret& secret) {
  return {reinterpret_cast<const char*>(secret.data()), secret.size()};
}

}  // namespace

grpc::Status SessionsService::Open(grpc::ServerContext* context,
                                   const v1::OpenSessionRequest* request,
                                   v1::OpenSessionResponse* response) {
  return serve(state_, "Sessions.Open", [&] { return open(*context, *request, *response); });
}

Status SessionsService::open(const grpc::ServerContext& context,
                             const v1::OpenSessionRequest& request,
                             v1::OpenSessionResponse& response) {
  PMSHELF_TRY_ASSIGN(const Identity identity, authenticate(state_, context));
  if (request.protocol_version() != kProtocolVersion) {
    return Error(Code::kUnsupported, "protocol_version: this daemon (" + state_.options.version +
                                         ") speaks version 1, the client " +
                                         std::to_string(request.protocol_version()));
  }
  if (state_.draining) return Error(Code::kUnavailable, "the daemon is draining: try again later");
  const std::string client = printable(request.client_name(), session::kClientNameBytesMax);
  PMSHELF_TRY_ASSIGN(const session::OpenedSession opened,
                     state_.sessions.open(identity, client, context.peer()));
  // The token may have been revoked since; whoever revoked it saw the session or we see it here.
  if (!state_.parts.authenticator.still_valid(identity)) {
    state_.parts.registry.close(opened.id, "its token was revoked");
    return Error(Code::kUnauthenticated, "the token is not valid any more");
  }
  spdlog::info("session of {} ({}) from {}", identity.principal.name, client, context.peer());
  response.set_session_id(id_bytes(opened.id));
  response.set_ticket(secret_bytes(opened.ticket));
  response.set_data_secret(secret_bytes(opened.data_secret));
  response.set_principal(identity.principal.name);
  response.set_boot_epoch(state_.options.boot_epoch);
  response.set_keep_alive_ms(state_.options.session_timeout_ms);
  response.set_server_version(state_.options.version);
  response.set_frame_payload_bytes_max(wire::kFramePayloadBytesMax);
  if (!state_.hooks.endpoints) return {};
  for (const Endpoint& from : state_.hooks.endpoints(is_same_host(context.peer()))) {
    v1::DataEndpoint& endpoint = *response.add_endpoints();
    endpoint.set_path(from.path);
    endpoint.set_address(from.address);
    endpoint.set_tls(from.tls);
  }
  return {};
}

grpc::Status SessionsService::KeepAlive(grpc::ServerContext* context, const v1::KeepAliveRequest*,
                                        v1::KeepAliveResponse* response) {
  return serve_caller(state_, *context, "Sessions.KeepAlive", [&](const Caller& caller) -> Status {
    PMSHELF_TRY_ASSIGN(const auto lost, state_.parts.registry.keep_alive(caller.session));
    for (const wire::GrantId& grant : lost) response->add_lost_grants(id_bytes(grant));
    return {};
  });
}

grpc::Status SessionsService::Close(grpc::ServerContext* context, const v1::CloseSessionRequest*,
                                    v1::CloseSessionResponse*) {
  return serve(state_, "Sessions.Close", [&]() -> Status {
    auto caller = identify(state_, *context);
    if (caller.code() == Code::kSessionExpired) return {};
    if (!caller.ok()) return std::move(caller).error();
    state_.parts.registry.close(caller->session, "closed by the client");
    return {};
  });
}

}  // namespace pmshelf::control
