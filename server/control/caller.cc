#include "server/control/caller.h"

#include <grpcpp/security/auth_context.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace pmshelf::control {
namespace {

constexpr std::string_view kBearer = "Bearer ";

// The value of a metadata key that may be there once.
Result<std::optional<std::string_view>> single(const grpc::ServerContextBase& context,
                                               const char* key) {
  const auto [begin, end] = context.client_metadata().equal_range(key);
  if (begin == end) return std::optional<std::string_view>();
  if (std::next(begin) != end) {
    return Error(Code::kUnauthenticated, std::string("metadata '") + key + "' is there twice");
  }
  return std::optional(std::string_view(begin->second.data(), begin->second.size()));
}

Result<Caller> find_caller(ControlState& state, const grpc::ServerContextBase& context) {
  PMSHELF_TRY_ASSIGN(const auto text, single(context, "pmshelf-session-bin"));
  session::Ticket ticket{};
  if (!text.has_value() || text->size() != ticket.size()) {
    return Error(Code::kUnauthenticated,
                 "metadata 'pmshelf-session-bin': the 32-byte ticket of a session is needed; open "
                 "one with Sessions.Open");
  }
  std::memcpy(ticket.data(), text->data(), ticket.size());
  session::Registry& registry = state.parts.registry;
  Caller caller;
  PMSHELF_TRY_ASSIGN(caller.session, registry.authenticate(ticket));
  PMSHELF_TRY_ASSIGN(caller.principal, registry.principal(caller.session));
  caller.peer = context.peer();
  return caller;
}

Result<Identity> find_identity(ControlState& state, const grpc::ServerContextBase& context) {
  PMSHELF_TRY_ASSIGN(const auto header, single(context, "authorization"));
  if (header.has_value()) {
    if (!header->starts_with(kBearer)) {
      return Error(Code::kUnauthenticated, "metadata 'authorization': 'Bearer TOKEN' is needed");
    }
    return state.parts.authenticator.from_token(header->substr(kBearer.size()));
  }
  const auto auth = context.auth_context();
  if (auth != nullptr && auth->IsPeerAuthenticated()) {
    const auto names = auth->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME);
    if (names.size() == 1) {
      return state.parts.authenticator.from_certificate({names[0].data(), names[0].size()});
    }
  }
  return Error(Code::kUnauthenticated,
               "metadata 'authorization' with a bearer token is needed, or a client certificate");
}

}  // namespace

Result<Caller> identify(ControlState& state, const grpc::ServerContextBase& context) {
  auto caller = find_caller(state, context);
  if (caller.code() == Code::kUnauthenticated) {
    state.refusals.note("a call without ticket", context.peer(), caller.error().message());
  }
  return caller;
}

Result<Identity> authenticate(ControlState& state, const grpc::ServerContextBase& context) {
  auto identity = find_identity(state, context);
  if (!identity.ok()) {
    state.refusals.note("Sessions.Open", context.peer(), identity.error().message());
  }
  return identity;
}

Status require_administrator(const Caller& caller) {
  if (caller.principal.administrator) return {};
  return Error(Code::kPermissionDenied,
               "'" + caller.principal.name + "' is not an administrator: see the setting 'admins'");
}

Status still_wanted(const grpc::ServerContextBase& context) {
  if (!context.IsCancelled()) return {};
  return Error(Code::kDeadlineExceeded, "the call was cancelled before anything was changed");
}

Status guarded(const std::function<Status()>& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return Error(Code::kResourceExhausted, "the daemon is out of memory");
  } catch (const std::exception& error) {
    return Error(Code::kInternal, std::string("unexpected: ") + error.what());
  }
}

grpc::Status serve(ControlState& state, std::string_view method,
                   const std::function<Status()>& body) {
  const auto begun = std::chrono::steady_clock::now();
  const Status outcome = guarded(body);
  if (outcome.code() == Code::kInternal) {
    spdlog::error("{}: {}", method, outcome.error().message());
  }
  if (state.hooks.called) {
    const auto elapsed = std::chrono::steady_clock::now() - begun;
    state.hooks.called(method, outcome.code(),
                       static_cast<uint64_t>(
                           std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count()));
  }
  return to_grpc(outcome);
}

grpc::Status serve_caller(ControlState& state, const grpc::ServerContextBase& context,
                          std::string_view method,
                          const std::function<Status(const Caller&)>& body) {
  return serve(state, method, [&]() -> Status {
    PMSHELF_TRY_ASSIGN(const Caller caller, identify(state, context));
    return body(caller);
  });
}

}  // namespace pmshelf::control
