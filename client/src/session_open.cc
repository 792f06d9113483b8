#include "client/src/session_open.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "common/base/utf8.h"

namespace pmshelf::client {
namespace {

using std::chrono::milliseconds;
constexpr uint32_t kProtocolVersion = 1;

milliseconds left_until(Time deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::max(left, milliseconds(1));
}

template <size_t kBytes>
bool copy_exactly(const std::string& from, std::array<std::byte, kBytes>& to) {
  if (from.size() != kBytes) return false;
  std::memcpy(to.data(), from.data(), kBytes);
  return true;
}

Status fill(const v1::OpenSessionResponse& response, SessionState& state) {
  const bool right = copy_exactly(response.session_id(), state.id) &&
                     copy_exactly(response.data_secret(), state.data_secret) &&
                     !response.ticket().empty() && response.keep_alive_ms() > 0;
  if (!right) {
    return Error(Code::kInternal, state.site.text + ": the daemon's answer to Open makes no sense");
  }
  state.ticket = response.ticket();
  state.principal = response.principal();
  state.server_version = response.server_version();
  state.boot_epoch = response.boot_epoch();
  state.keep_alive = milliseconds(response.keep_alive_ms());
  for (const v1::DataEndpoint& endpoint : response.endpoints()) {
    // Paths of later versions are not for us.
    if (endpoint.path() != "local" && endpoint.path() != "tcp") continue;
    const Path path = endpoint.path() == "local" ? Path::kLocal : Path::kTcp;
    state.endpoints.push_back({path, endpoint.address(), endpoint.tls()});
  }
  return {};
}

}  // namespace

std::string usual_client_name() {
  std::string name = program_invocation_short_name;
  if (!is_valid_utf8(name)) name = "client";
  return name.substr(0, 200) + "[" + std::to_string(getpid()) + "]";
}

Result<SessionState> SessionOpener::open(Time deadline) const {
  SessionState state;
  PMSHELF_TRY_ASSIGN(state.site, locate(target, options.daemon_path, environment, deadline));
  PMSHELF_TRY_ASSIGN(const TlsFiles tls, read_tls_files(options));
  PMSHELF_TRY_ASSIGN(const std::string token, bearer_token(state.site, tls, deadline));
  // A new connection each time: without the old one's pause after failures, with the certificates
  // that the files hold now.
  state.control = std::make_shared<ControlConnection>(state.site, tls);
  PMSHELF_TRY_ASSIGN(const v1::OpenSessionResponse response, request(state, token, deadline));
  PMSHELF_TRY(fill(response, state));
  return state;
}

Result<std::string> SessionOpener::bearer_token(const Site& site, const TlsFiles& tls,
                                                Time deadline) const {
  PMSHELF_TRY_ASSIGN(std::string token, find_token(options, environment, target.kind));
  if (!token.empty()) return token;
  if (!site.data_socket.empty()) {
    return dialer.peer_token(site.data_socket, left_until(deadline));
  }
  if (!tls.cert.empty()) return std::string();
  if (!site.needs_tls) {
    auto socket = find_local_socket(environment);
    if (socket.ok()) return dialer.peer_token(*socket, left_until(deadline));
  }
  return Error(Code::kUnauthenticated,
               site.text +
                   ": no token (option token, token_file, $PMSHELF_TOKEN, "
                   "~/.config/pmshelf/token) and no certificate (cert_file, key_file)");
}

Result<v1::OpenSessionResponse> SessionOpener::request(const SessionState& state,
                                                       const std::string& token,
                                                       Time deadline) const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + left_until(deadline));
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  v1::OpenSessionRequest request;
  request.set_protocol_version(kProtocolVersion);
  request.set_client_name(options.client_name);
  v1::OpenSessionResponse response;
  Lifeline::Call call(lifeline, context);
  auto& stub = state.control->stub(static_cast<v1::Sessions::Stub*>(nullptr));
  const grpc::Status status = stub.Open(&context, request, &response);
  if (status.ok()) return response;
  CallFailure failure = failure_of(status, state.control->address());
  if (failure.error.code() != Code::kUnavailable || !status.error_details().empty()) {
    return std::move(failure.error);
  }
  return Error(Code::kUnavailable,
               "no daemon answers: " + failure.error.message() + "; is pmshelfd running there?");
}

}  // namespace pmshelf::client
