#include "client/src/session.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "client/src/session_open.h"
#include "common/base/endian.h"

namespace pmshelf::client {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

bool is_passing(Code code) { return code == Code::kUnavailable || code == Code::kDeadlineExceeded; }

}  // namespace

std::string encode_grant_id(wire::GrantId grant) {
  std::string bytes(16, '\0');
  auto* out = reinterpret_cast<std::byte*>(bytes.data());
  store_le<uint64_t>(out, grant.high);
  store_le<uint64_t>(out + 8, grant.low);
  return bytes;
}

Result<wire::GrantId> decode_grant_id(const std::string& bytes) {
  if (bytes.size() != 16)
    return Error(Code::kInternal, "the daemon sent a grant id of wrong length");
  const auto* in = reinterpret_cast<const std::byte*>(bytes.data());
  return wire::GrantId{load_le<uint64_t>(in), load_le<uint64_t>(in + 8)};
}

Session::Session(const ConnectOptions& options, Target target, Environment environment,
                 Dialer& dialer, Lifeline& lifeline)
    : options_(options),
      target_(std::move(target)),
      environment_(std::move(environment)),
      dialer_(dialer),
      lifeline_(lifeline) {}

SessionPtr Session::current() const {
  std::lock_guard lock(mutex_);
  return current_;
}

void Session::install(SessionPtr state) {
  std::lock_guard lock(mutex_);
  current_ = std::move(state);
  generation_.store(current_->generation, std::memory_order_release);
}

Result<SessionPtr> Session::open_once(uint64_t generation, Time deadline) {
  const SessionOpener opener{options_, target_, environment_, dialer_, lifeline_};
  PMSHELF_TRY_ASSIGN(SessionState state, opener.open(deadline));
  state.generation = generation;
  return SessionPtr(std::make_shared<const SessionState>(std::move(state)));
}

Status Session::open(Time deadline) {
  std::lock_guard lock(opening_);
  for (;;) {
    auto opened = open_once(1, deadline);
    if (opened.ok()) {
      install(*std::move(opened));
      return {};
    }
    const bool may_be_ending = target_.kind == Target::Kind::kDirectory &&
                               opened.code() == Code::kUnavailable && Clock::now() < deadline;
    if (!may_be_ending || !lifeline_.sleep_until(Clock::now() + kRetryPauseMin * 2)) {
      return std::move(opened).error();
    }
  }
}

Status Session::renew(uint64_t stale_generation, Time deadline) {
  std::unique_lock lock(opening_, std::defer_lock);
  // A closed deadline still gets one try: somebody may have renewed it already.
  if (!lock.try_lock_until(std::min(deadline, Clock::now() + std::chrono::hours(24)))) {
    return Error(Code::kUnavailable, "the daemon did not open a new session in time");
  }
  milliseconds pause = kRetryPauseMin;
  for (;;) {
    const uint64_t generation = current()->generation;
    if (generation > stale_generation) return {};
    auto opened =
        open_once(generation + 1, std::min(deadline, Clock::now() + options_.connect_timeout));
    if (opened.ok()) {
      install(*std::move(opened));
      return {};
    }
    const Time next = Clock::now() + pause;
    if (!is_passing(opened.code()) || next >= deadline || !lifeline_.sleep_until(next)) {
      return std::move(opened).error();
    }
    pause = std::min(pause * 2, kRetryPauseMax);
  }
}

grpc::Status Session::attempt_once(const SessionState& state, milliseconds timeout,
                                   const Attempt& attempt) {
  grpc::ClientContext context;
  context.AddMetadata("pmshelf-session-bin", state.ticket);
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  Lifeline::Call call(lifeline_, context);
  return attempt(*state.control, context);
}

void Session::revive(const SessionState& state, Time deadline) {
  if (target_.kind != Target::Kind::kDirectory || socket_accepts(state.site.data_socket)) return;
  // Whatever this returns, the next attempt of the call tells.
  (void)renew(state.generation, deadline).ok();
}

// Sorts out one failed attempt of `call`: ok when there may be another one.
Status Session::after_failure(const CallPlan& plan, const SessionState& state, CallFailure failure,
                              CallProgress& progress) {
  if (lifeline_.stopped()) return lifeline_.usable();
  if (!progress.failed) {
    progress.failed = true;
    progress.give_up = std::min(plan.deadline, Clock::now() + options_.reconnect_timeout);
  }
  if (failure.error.code() == Code::kSessionExpired) {
    if (plan.only_generation != 0 || ++progress.renewals > kRenewalsMax) return failure.error;
    return renew(state.generation, progress.give_up);
  }
  if (failure.error.code() != Code::kUnavailable) {
    progress.maybe_applied = false;  // this answer is about the request, whenever it arrived
    return failure.error;
  }
  if (!failure.not_applied && plan.repeat != Repeat::kFreely) progress.maybe_applied = true;
  if (progress.maybe_applied && plan.repeat == Repeat::kNever) return failure.error;
  const Time next = Clock::now() + std::max(progress.pause, failure.retry_after);
  if (next >= progress.give_up || !lifeline_.sleep_until(next)) return failure.error;
  progress.pause = std::min(progress.pause * 2, kRetryPauseMax);
  revive(state, progress.give_up);
  return {};
}

Status Session::call(const CallPlan& plan, const Attempt& attempt, uint64_t* generation) {
  CallProgress progress;
  for (;;) {
    const SessionPtr state = current();
    if (plan.only_generation != 0 && plan.only_generation != state->generation) {
      return Error(Code::kSessionExpired, "the session has ended since");
    }
    const grpc::Status status = attempt_once(*state, plan.timeout, attempt);
    if (status.ok()) {
      if (generation != nullptr) *generation = state->generation;
      return {};
    }
    const Status outcome =
        after_failure(plan, *state, failure_of(status, state->control->address()), progress);
    if (outcome.ok()) continue;
    if (!progress.maybe_applied) return outcome;
    return Error(Code::kUnknownOutcome, "it may have been applied: " + outcome.error().message());
  }
}

Result<std::vector<wire::GrantId>> Session::keep_alive(const SessionState& state,
                                                       milliseconds timeout) {
  v1::KeepAliveResponse response;
  const grpc::Status status =
      attempt_once(state, timeout, [&](ControlConnection& control, grpc::ClientContext& context) {
        auto& stub = control.stub(static_cast<v1::Sessions::Stub*>(nullptr));
        return stub.KeepAlive(&context, v1::KeepAliveRequest(), &response);
      });
  if (!status.ok()) return failure_of(status, state.control->address()).error;
  std::vector<wire::GrantId> lost;
  for (const std::string& bytes : response.lost_grants()) {
    PMSHELF_TRY_ASSIGN(wire::GrantId grant, decode_grant_id(bytes));
    lost.push_back(grant);
  }
  return lost;
}

bool Session::is_alive(const SessionState& state) {
  return keep_alive(state, options_.call_timeout).code() != Code::kSessionExpired;
}

void Session::close(const SessionState& state, milliseconds timeout) {
  grpc::ClientContext context;
  context.AddMetadata("pmshelf-session-bin", state.ticket);
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::CloseSessionResponse response;
  auto& stub = state.control->stub(static_cast<v1::Sessions::Stub*>(nullptr));
  // A daemon that is not there any more has closed it already.
  (void)stub.Close(&context, v1::CloseSessionRequest(), &response);
}

void Session::release(const SessionState& state, const std::vector<wire::GrantId>& grants,
                      milliseconds timeout) {
  v1::ReleaseRequest request;
  for (const wire::GrantId grant : grants) request.add_grant_ids(encode_grant_id(grant));
  v1::ReleaseResponse response;
  // What does not arrive is given back by the end of the session.
  (void)attempt_once(state, timeout, [&](ControlConnection& control, grpc::ClientContext& context) {
    auto& stub = control.stub(static_cast<v1::Regions::Stub*>(nullptr));
    return stub.Release(&context, request, &response);
  });
}

}  // namespace pmshelf::client
