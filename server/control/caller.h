// Who is calling, and the frame around every call.
#pragma once

#include <grpcpp/server_context.h>

#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <string_view>

#include "server/control/errors.h"
#include "server/control/state.h"

namespace pmshelf::control {

// A caller with a session.
struct Caller {
  wire::SessionId session{};
  session::Principal principal;
  std::string peer;
};

// By the ticket in "pmshelf-session-bin". kUnauthenticated: none or not 32 bytes; kSessionExpired.
Result<Caller> identify(ControlState& state, const grpc::ServerContextBase& context);
// By "authorization: Bearer TOKEN", else by the client certificate. kUnauthenticated.
Result<Identity> authenticate(ControlState& state, const grpc::ServerContextBase& context);
// kPermissionDenied.
Status require_administrator(const Caller& caller);
// kDeadlineExceeded when the caller has gone or its deadline is over. The last thing before a
// change: later it runs to its end, whatever the caller does.
Status still_wanted(const grpc::ServerContextBase& context);

// Runs `body`; exceptions become errors.
Status guarded(const std::function<Status()>& body);
// Runs the body of a call: guarded, and the metrics hook hears of the outcome.
grpc::Status serve(ControlState& state, std::string_view method,
                   const std::function<Status()>& body);
// The same for calls that need a session.
grpc::Status serve_caller(ControlState& state, const grpc::ServerContextBase& context,
                          std::string_view method,
                          const std::function<Status(const Caller&)>& body);

// Begins a mutating call; see RequestTable.
template <class Request>
Result<RequestTable::Running> begin_request(ControlState& state, const Caller& caller,
                                            std::string_view method, const Request& request) {
  return state.requests.begin({{request.request_id().high(), request.request_id().low()},
                               request_digest(method, caller.principal.name, request)});
}

}  // namespace pmshelf::control
