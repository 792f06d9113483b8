#include "server/control/control_server.h"

#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <system_error>
#include <utility>

#include "server/control/acceptor.h"
#include "server/control/admin_service.h"
#include "server/control/regions_service.h"
#include "server/control/sessions_service.h"
#include "server/control/shelves_service.h"
#include "server/control/state.h"

namespace pmshelf::control {
namespace {

using ExternalAcceptor = grpc::experimental::ExternalConnectionAcceptor;

constexpr int kMessageBytesMax = 4 << 20;
constexpr int kMetadataBytesMax = 16 << 10;
constexpr int kStreamsPerConnectionMax = 128;
constexpr int kHandshakeMs = 10'000;        // from connect to the first HTTP/2 settings
constexpr int kPingIntervalMsMin = 10'000;  // a client that pings faster is cut off after two
constexpr int kPingStrikesMax = 2;
constexpr int kKeepAliveMs = 60'000;  // the daemon asks silent clients
constexpr int kKeepAliveTimeoutMs = 20'000;
constexpr int kConnectionIdleMs = 300'000;

void set_limits(grpc::ServerBuilder& builder, const ControlOptions& options) {
  grpc::ResourceQuota quota("control");
  quota.Resize(options.memory_bytes_max);
  quota.SetMaxThreads(static_cast<int>(options.threads_max));
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  for (const auto& [name, value] : {
           std::pair(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax),
           {GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax},
           {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs},
           {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kPingIntervalMsMin},
           {GRPC_ARG_HTTP2_MAX_PING_STRIKES, kPingStrikesMax},
           {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
           {GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs},
           {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs},
           {GRPC_ARG_MAX_CONNECTION_IDLE_MS, kConnectionIdleMs},
       }) {
    builder.AddChannelArgument(name, value);
  }
}

}  // namespace

struct ControlServer::Impl {
  Impl(const ControlParts& parts, ControlOptions options, ControlHooks hooks)
      : state(parts, std::move(options), std::move(hooks)) {}

  Result<std::shared_ptr<grpc::ServerCredentials>> credentials(const ListenSpec& spec);
  Status listen(grpc::ServerBuilder& builder, const ListenSpec& spec);
  Status start();
  void stop(uint64_t deadline_ms);

  ControlState state;
  SessionsService sessions{state};
  ShelvesService shelves{state};
  RegionsService regions{state};
  AdminService admin{state};
  std::shared_ptr<grpc::ServerCredentials> tls;  // outlives the server
  std::vector<std::unique_ptr<ExternalAcceptor>> handovers;
  std::unique_ptr<grpc::Server> server;
  Acceptor acceptor{state.options.connections_max};
  std::mutex stopping;
};

Result<std::shared_ptr<grpc::ServerCredentials>> ControlServer::Impl::credentials(
    const ListenSpec& spec) {
  if (!spec.tls) return grpc::InsecureServerCredentials();
  if (tls == nullptr) {
    PMSHELF_TRY_ASSIGN(tls, make_tls_credentials(state.options.tls, state.parts.clock));
  }
  return tls;
}

Status ControlServer::Impl::listen(grpc::ServerBuilder& builder, const ListenSpec& spec) {
  PMSHELF_TRY_ASSIGN(const auto with, credentials(spec));
  handovers.push_back(builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, with));
  return acceptor.listen(spec, [handover = handovers.back().get()](UniqueFd connection) {
    ExternalAcceptor::NewConnectionParameters parameters;
    parameters.fd = connection.release();
    handover->HandleNewConnection(&parameters);
  });
}

Status ControlServer::Impl::start() {
  grpc::ServerBuilder builder;
  set_limits(builder, state.options);
  for (const ListenSpec& spec : state.options.listen) PMSHELF_TRY(listen(builder, spec));
  builder.RegisterService(&sessions);
  builder.RegisterService(&shelves);
  builder.RegisterService(&regions);
  builder.RegisterService(&admin);
  state.locks = std::make_unique<LockQueue>(state.parts.registry, state.parts.clock);
  server = builder.BuildAndStart();
  if (server == nullptr) return Error(Code::kInternal, "gRPC did not start; its log says why");
  PMSHELF_TRY(acceptor.start());
  for (const std::string& address : acceptor.addresses()) {
    spdlog::info("control plane on {}", address);
  }
  return {};
}

void ControlServer::Impl::stop(uint64_t deadline_ms) {
  std::lock_guard lock(stopping);
  acceptor.stop();
  if (server == nullptr) return;
  if (state.locks != nullptr) state.locks->stop();
  const uint64_t bounded_ms = std::min<uint64_t>(deadline_ms, 3'600'000);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(bounded_ms));
  server->Wait();
  server.reset();
}

ControlServer::ControlServer(const ControlParts& parts, ControlOptions options, ControlHooks hooks)
    : impl_(std::make_unique<Impl>(parts, std::move(options), std::move(hooks))) {}

ControlServer::~ControlServer() { shutdown(0); }

Status ControlServer::start() {
  Status started = Error(Code::kInternal, "not started");
  try {
    started = impl_->start();
  } catch (const std::system_error& error) {
    started = Error(Code::kIo, std::string("no thread for the control plane: ") + error.what());
  }
  if (!started.ok()) shutdown(0);
  return started;
}

std::vector<std::string> ControlServer::addresses() const { return impl_->acceptor.addresses(); }

void ControlServer::sweep() { impl_->state.end_sessions_of_dead_tokens(); }

void ControlServer::begin_drain() { impl_->state.begin_drain(); }

bool ControlServer::draining() const { return impl_->state.draining; }

void ControlServer::shutdown(uint64_t deadline_ms) { impl_->stop(deadline_ms); }

}  // namespace pmshelf::control
