#include "server/control/admin_service.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/control/convert.h"

namespace pmshelf::control {
namespace {

constexpr uint32_t kDrainMsMax = 600'000;
constexpr auto kDrainLookAgain = std::chrono::milliseconds(20);
constexpr size_t kLinesMax = 1000;         // of problems in one message
constexpr size_t kListBytesMax = 7 << 19;  // 3.5 MiB: a message is 4 MiB at most

void fill_pool(const pool::PoolStat& stat, v1::PoolInfo& out) {
  out.set_name(stat.name);
  out.set_path(stat.path);
  out.set_kind(stat.device ? "device" : "directory");
  out.set_storage_class(storage_class(stat.storage_class));
  out.set_total_bytes(stat.total_bytes);
  out.set_available_bytes(stat.available_bytes);
  out.set_shelf_count(stat.shelf_count);
  out.set_preallocate(stat.preallocate);
  for (const std::string& line : stat.trouble) out.add_trouble(printable(line));
}

void fill_lines(const std::vector<std::string>& lines,
                google::protobuf::RepeatedPtrField<std::string>& out) {
  for (const std::string& line : lines) {
    if (static_cast<size_t>(out.size()) == kLinesMax) {
      *out.Add() = "... and " + std::to_string(lines.size() - kLinesMax) + " more";
      return;
    }
    *out.Add() = printable(line);
  }
}

void fill_session(const session::SessionView& view, v1::SessionInfo& out) {
  out.set_id(id_bytes(view.id));
  out.set_principal(view.principal.name);
  out.set_client_name(printable(view.client_name));
  out.set_peer(printable(view.peer));
  out.set_idle_ms(view.idle_ms);
  out.set_age_ms(view.age_ms);
  out.set_grants(view.grants);
  out.set_locks(view.locks);
  for (const std::string& path : view.paths) out.add_paths(path);
}

}  // namespace

grpc::Status AdminService::administer(grpc::ServerContext& context, std::string_view method,
                                      const std::function<pmshelf::Status(const Caller&)>& body) {
  return serve_caller(state_, context, method, [&](const Caller& caller) -> pmshelf::Status {
    PMSHELF_TRY(require_administrator(caller));
    return body(caller);
  });
}

grpc::Status AdminService::Status(grpc::ServerContext* context, const v1::StatusRequest*,
                                  v1::StatusResponse* response) {
  return serve_caller(state_, *context, "Admin.Status", [&](const Caller& caller) {
    response->set_version(state_.options.version);
    response->set_principal(caller.principal.name);
    response->set_administrator(caller.principal.administrator);
    response->set_boot_epoch(state_.options.boot_epoch);
    response->set_draining(state_.draining);
    const session::Registry::Counts counts = state_.parts.registry.counts();
    response->set_sessions(counts.sessions);
    response->set_grants(counts.grants);
    uint64_t shelves = 0;
    for (const PoolSet::Entry& entry : state_.parts.pools.entries()) {
      shelves += entry.pool->shelves().size();
    }
    response->set_shelves(shelves);
    if (!state_.hooks.status) return pmshelf::Status();
    const StatusReport report = state_.hooks.status();
    response->set_uptime_ms(report.uptime_ms);
    response->set_recovery_us(report.recovery_us);
    response->mutable_counters()->insert(report.counters.begin(), report.counters.end());
    return pmshelf::Status();
  });
}

grpc::Status AdminService::ListPools(grpc::ServerContext* context, const v1::ListPoolsRequest*,
                                     v1::ListPoolsResponse* response) {
  return administer(*context, "Admin.ListPools", [&](const Caller&) {
    for (const PoolSet::Entry& entry : state_.parts.pools.entries()) {
      fill_pool(entry.pool->stat(), *response->add_pools());
    }
    return pmshelf::Status();
  });
}

grpc::Status AdminService::StatPool(grpc::ServerContext* context,
                                    const v1::StatPoolRequest* request, v1::PoolInfo* response) {
  return administer(*context, "Admin.StatPool", [&](const Caller&) -> pmshelf::Status {
    PMSHELF_TRY_ASSIGN(const PoolSet::Entry* entry, state_.parts.pools.find(request->name()));
    fill_pool(entry->pool->stat(), *response);
    return {};
  });
}

grpc::Status AdminService::CheckPool(grpc::ServerContext* context,
                                     const v1::CheckPoolRequest* request,
                                     grpc::ServerWriter<v1::CheckPoolResponse>* writer) {
  return administer(*context, "Admin.CheckPool", [&](const Caller& caller) {
    return check_pool(*context, caller, request->name(), *writer);
  });
}

pmshelf::Status AdminService::check_pool(const grpc::ServerContext& context, const Caller& caller,
                                         const std::string& name,
                                         grpc::ServerWriter<v1::CheckPoolResponse>& writer) {
  PMSHELF_TRY_ASSIGN(const PoolSet::Entry* entry, state_.parts.pools.find(name));
  PMSHELF_TRY_ASSIGN(const WaitPlaces::Place place, state_.wait_places.take(caller.principal.name));
  spdlog::info("{} ({}) checks pool '{}'", caller.principal.name, caller.peer, entry->name);
  for (const auto& shelf : entry->pool->shelves()) {
    PMSHELF_TRY(still_wanted(context));
    v1::CheckPoolResponse message;
    message.set_shelf(shelf->info().name);
    const auto report = shelf->check();
    if (report.ok()) {
      fill_lines(report->problems, *message.mutable_problems());
      fill_lines(report->bad_block_regions, *message.mutable_bad_block_regions());
      message.set_records_checked(report->records_checked);
      message.set_regions_checked(report->regions_checked);
      fill(report->space, *message.mutable_space());
    } else {
      message.add_problems("could not be checked: " + printable(report.error().to_string()));
    }
    if (!writer.Write(message)) return Error(Code::kDeadlineExceeded, "the caller has gone");
  }
  // Shelves that could not be opened at all.
  for (const std::string& line : entry->pool->stat().trouble) {
    v1::CheckPoolResponse message;
    message.add_problems(printable(line));
    if (!writer.Write(message)) return Error(Code::kDeadlineExceeded, "the caller has gone");
  }
  return {};
}

grpc::Status AdminService::ListSessions(grpc::ServerContext* context,
                                        const v1::ListSessionsRequest*,
                                        v1::ListSessionsResponse* response) {
  return serve_caller(
      state_, *context, "Admin.ListSessions", [&](const Caller& caller) -> pmshelf::Status {
        size_t bytes = 0;
        for (const session::SessionView& view : state_.parts.registry.list()) {
          const bool own = view.principal.name == caller.principal.name;
          if (!own && !caller.principal.administrator) continue;
          v1::SessionInfo& out = *response->add_sessions();
          fill_session(view, out);
          bytes += out.ByteSizeLong() + 8;
          if (bytes <= kListBytesMax) continue;
          return Error(Code::kResourceExhausted, "too many sessions for one answer of 4 MiB");
        }
        return {};
      });
}

grpc::Status AdminService::KickSession(grpc::ServerContext* context,
                                       const v1::KickSessionRequest* request,
                                       v1::KickSessionResponse*) {
  return administer(*context, "Admin.KickSession", [&](const Caller& caller) -> pmshelf::Status {
    PMSHELF_TRY_ASSIGN(const wire::SessionId id, session_id("id", request->id()));
    PMSHELF_TRY_ASSIGN(const session::Principal principal, session_with_id(id));
    spdlog::info("{} ({}) ends a session of {}", caller.principal.name, caller.peer,
                 principal.name);
    state_.parts.registry.close(id, "kicked by " + caller.principal.name);
    return {};
  });
}

Result<session::Principal> AdminService::session_with_id(const wire::SessionId& id) const {
  auto principal = state_.parts.registry.principal(id);
  if (principal.ok()) return principal;
  return Error(Code::kNotFound, "no such session, or it has ended");
}

grpc::Status AdminService::Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                                 v1::DrainResponse* response) {
  return administer(*context, "Admin.Drain", [&](const Caller& caller) {
    return drain(*context, caller, *request, *response);
  });
}

pmshelf::Status AdminService::drain(const grpc::ServerContext& context, const Caller& caller,
                                    const v1::DrainRequest& request, v1::DrainResponse& response) {
  if (request.deadline_ms() > kDrainMsMax) {
    return Error(Code::kInvalidArgument, "deadline_ms: at most 600000");
  }
  PMSHELF_TRY_ASSIGN(const WaitPlaces::Place place, state_.wait_places.take(caller.principal.name));
  spdlog::info("{} ({}) drains the daemon{}", caller.principal.name, caller.peer,
               request.stop() ? ", to stop it" : "");
  state_.begin_drain();
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(request.deadline_ms());
  // The caller's own session does not count: it cannot leave before it has the answer.
  const auto others = [&] {
    const uint64_t sessions = state_.parts.registry.counts().sessions;
    return static_cast<uint32_t>(sessions > 0 ? sessions - 1 : 0);
  };
  while (others() != 0 && std::chrono::steady_clock::now() < deadline) {
    PMSHELF_TRY(still_wanted(context));
    std::this_thread::sleep_for(kDrainLookAgain);
  }
  response.set_sessions_left(others());
  if (request.stop() && state_.hooks.stop) state_.hooks.stop();
  return {};
}

grpc::Status AdminService::CreateToken(grpc::ServerContext* context,
                                       const v1::CreateTokenRequest* request,
                                       v1::CreateTokenResponse* response) {
  return serve_caller(state_, *context, "Admin.CreateToken", [&](const Caller& caller) {
    return create_token(caller, *request, *response);
  });
}

pmshelf::Status AdminService::create_token(const Caller& caller,
                                           const v1::CreateTokenRequest& request,
                                           v1::CreateTokenResponse& response) {
  TokenSpec spec{request.name(), request.shelves(), 0, request.lifetime_ms(), request.principal()};
  if (spec.shelves.empty()) spec.shelves = "*";
  spec.rights = static_cast<uint8_t>(std::min<uint32_t>(request.rights(), UINT8_MAX));
  const auto identity = state_.sessions.identity(caller.session);
  const bool by_token = !identity.has_value() || !identity->token_name.empty();
  PMSHELF_TRY_ASSIGN(std::string token,
                     state_.parts.authenticator.create_token(spec, caller.principal, by_token));
  spdlog::info("{} ({}) made token '{}' for {}", caller.principal.name, caller.peer, spec.name,
               spec.principal.empty() ? "token:" + spec.name : spec.principal);
  response.set_token(std::move(token));
  return {};
}

grpc::Status AdminService::ListTokens(grpc::ServerContext* context, const v1::ListTokensRequest*,
                                      v1::ListTokensResponse* response) {
  return serve_caller(state_, *context, "Admin.ListTokens", [&](const Caller& caller) {
    for (const TokenRecord& record : state_.parts.authenticator.list_tokens(caller.principal)) {
      v1::TokenInfo& out = *response->add_tokens();
      out.set_name(record.name);
      out.set_shelves(record.shelves);
      out.set_rights(record.rights);
      out.set_expires_unix_ms(record.expires_unix_ms);
      out.set_created_unix_ms(record.created_unix_ms);
      out.set_created_by(record.created_by);
      out.set_principal(record.principal);
    }
    return pmshelf::Status();
  });
}

grpc::Status AdminService::RevokeToken(grpc::ServerContext* context,
                                       const v1::RevokeTokenRequest* request,
                                       v1::RevokeTokenResponse*) {
  return serve_caller(
      state_, *context, "Admin.RevokeToken", [&](const Caller& caller) -> pmshelf::Status {
        PMSHELF_TRY(state_.parts.authenticator.revoke_token(request->name(), caller.principal));
        spdlog::info("{} ({}) revoked token '{}'", caller.principal.name, caller.peer,
                     request->name());
        state_.end_sessions_of_dead_tokens();
        return {};
      });
}

}  // namespace pmshelf::control
