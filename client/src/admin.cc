#include <set>

#include "client/src/client.h"
#include "client/src/convert.h"

namespace pmshelf {
namespace {

// Reading everything in a pool may take as long as it takes; close() ends it.
constexpr std::chrono::hours kCheckTimeout{24};

int hex_digit(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
  if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
  return -1;
}

Result<std::string> session_id_of(std::string_view text) {
  std::string bytes;
  for (size_t index = 0; text.size() == 32 && index < text.size(); index += 2) {
    const int high = hex_digit(text[index]);
    const int low = hex_digit(text[index + 1]);
    if (high < 0 || low < 0) break;
    bytes += static_cast<char>(high * 16 + low);
  }
  if (bytes.size() == 16) return bytes;
  return Error(Code::kInvalidArgument, "a session id has 32 hex digits");
}

// What must not happen twice, and has no request id.
client::CallPlan once(const client::Core& core, std::chrono::milliseconds extra = {}) {
  client::CallPlan plan = core.plan(extra);
  plan.repeat = client::Repeat::kNever;
  return plan;
}

}  // namespace

Result<DaemonStatus> Client::status() const {
  PMSHELF_TRY(impl_->core->may_block());
  v1::StatusResponse response;
  PMSHELF_TRY(impl_->core->call(&v1::Admin::Stub::Status, v1::StatusRequest(), &response));
  return client::daemon_status(response);
}

Result<std::vector<PoolStat>> Client::list_pools() const {
  PMSHELF_TRY(impl_->core->may_block());
  v1::ListPoolsResponse response;
  PMSHELF_TRY(impl_->core->call(&v1::Admin::Stub::ListPools, v1::ListPoolsRequest(), &response));
  std::vector<PoolStat> pools;
  for (const v1::PoolInfo& info : response.pools()) pools.push_back(client::pool_stat(info));
  return pools;
}

Result<PoolStat> Client::stat_pool(std::string_view name) const {
  PMSHELF_TRY(impl_->core->may_block());
  PMSHELF_TRY(client::check_text("pool", name));
  v1::StatPoolRequest request;
  request.set_name(std::string(name));
  v1::PoolInfo info;
  PMSHELF_TRY(impl_->core->call(&v1::Admin::Stub::StatPool, request, &info));
  return client::pool_stat(info);
}

Status Client::check_pool(std::string_view name,
                          const std::function<void(const ShelfCheck&)>& each) const {
  PMSHELF_TRY(impl_->core->may_block());
  PMSHELF_TRY(client::check_text("pool", name));
  v1::CheckPoolRequest request;
  request.set_name(std::string(name));
  client::CallPlan plan = impl_->core->plan();
  plan.timeout = kCheckTimeout;
  std::set<std::string> told;  // when it has to begin again
  return impl_->core->session().call(
      plan, [&](client::ControlConnection& control, grpc::ClientContext& context) {
        auto& stub = control.stub(static_cast<v1::Admin::Stub*>(nullptr));
        const auto reader = stub.CheckPool(&context, request);
        v1::CheckPoolResponse response;
        while (reader->Read(&response)) {
          if (told.insert(response.shelf()).second) each(client::shelf_check(response));
        }
        return reader->Finish();
      });
}

Result<std::vector<SessionStat>> Client::list_sessions() const {
  PMSHELF_TRY(impl_->core->may_block());
  v1::ListSessionsResponse response;
  PMSHELF_TRY(
      impl_->core->call(&v1::Admin::Stub::ListSessions, v1::ListSessionsRequest(), &response));
  std::vector<SessionStat> sessions;
  for (const v1::SessionInfo& info : response.sessions()) {
    sessions.push_back(client::session_stat(info));
  }
  return sessions;
}

Status Client::kick_session(std::string_view id_hex) const {
  PMSHELF_TRY(impl_->core->may_block());
  v1::KickSessionRequest request;
  PMSHELF_TRY_ASSIGN(*request.mutable_id(), session_id_of(id_hex));
  v1::KickSessionResponse response;
  return impl_->core->call(&v1::Admin::Stub::KickSession, request, &response, once(*impl_->core));
}

Result<uint32_t> Client::drain(std::chrono::milliseconds deadline, bool stop) const {
  PMSHELF_TRY(impl_->core->may_block());
  if (deadline.count() < 0 || deadline.count() > UINT32_MAX) {
    return Error(Code::kInvalidArgument, "deadline: from 0 to 2^32-1 ms");
  }
  v1::DrainRequest request;
  request.set_deadline_ms(static_cast<uint32_t>(deadline.count()));
  request.set_stop(stop);
  v1::DrainResponse response;
  PMSHELF_TRY(
      impl_->core->call(&v1::Admin::Stub::Drain, request, &response, once(*impl_->core, deadline)));
  return response.sessions_left();
}

Result<std::string> Client::create_token(const TokenOptions& options) const {
  PMSHELF_TRY(impl_->core->may_block());
  PMSHELF_TRY(client::check_text("token name", options.name));
  PMSHELF_TRY(client::check_text("principal", options.principal));
  PMSHELF_TRY(client::check_text("shelves", options.shelves));
  v1::CreateTokenRequest request;
  request.set_name(options.name);
  request.set_shelves(options.shelves);
  request.set_rights(options.rights);
  request.set_lifetime_ms(options.lifetime_ms);
  request.set_principal(options.principal);
  v1::CreateTokenResponse response;
  PMSHELF_TRY(
      impl_->core->call(&v1::Admin::Stub::CreateToken, request, &response, once(*impl_->core)));
  return response.token();
}

Result<std::vector<TokenStat>> Client::list_tokens() const {
  PMSHELF_TRY(impl_->core->may_block());
  v1::ListTokensResponse response;
  PMSHELF_TRY(impl_->core->call(&v1::Admin::Stub::ListTokens, v1::ListTokensRequest(), &response));
  std::vector<TokenStat> tokens;
  for (const v1::TokenInfo& info : response.tokens()) tokens.push_back(client::token_stat(info));
  return tokens;
}

Status Client::revoke_token(std::string_view name) const {
  PMSHELF_TRY(impl_->core->may_block());
  PMSHELF_TRY(client::check_text("token name", name));
  v1::RevokeTokenRequest request;
  request.set_name(std::string(name));
  v1::RevokeTokenResponse response;
  return impl_->core->call(&v1::Admin::Stub::RevokeToken, request, &response, once(*impl_->core));
}

}  // namespace pmshelf
