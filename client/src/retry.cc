#include "client/src/retry.h"

#include <algorithm>

namespace pmshelf::client {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

Time Retry::deadline() {
  return failed_ ? give_up_ : Clock::now() + core_.options().reconnect_timeout;
}

bool Retry::pause() {
  const Time next = Clock::now() + pause_;
  if (next >= give_up_) return false;
  if (pause_.count() > 0 && !core_.lifeline().sleep_until(next)) return false;
  pause_ = std::clamp(pause_ * 2, kRetryPauseMin, kRetryPauseMax);
  return !core_.lifeline().stopped();
}

bool Retry::again(Error& error, uint64_t generation) {
  if (!failed_) give_up_ = Clock::now() + core_.options().reconnect_timeout;
  failed_ = true;
  switch (error.code()) {
    case Code::kUnknownOutcome:
      maybe_applied_ = true;
      return repeat_ != Repeat::kNever && pause();
    case Code::kUnavailable:
      return pause();
    case Code::kStaleGrant:
      return stale_++ < kStaleMax;
    case Code::kUnsupported:
      return !unsupported_before_ && (unsupported_before_ = true);
    case Code::kSessionExpired: {
      if (renewals_++ >= kRenewalsMax) return false;
      Status renewed = core_.session().renew(generation, give_up_);
      if (!renewed.ok()) error = std::move(renewed).error();
      return renewed.ok();
    }
    default:
      return false;
  }
}

Error Retry::attach_error(Error error) const {
  // A write says of itself that it may be there in part; of a region that is gone nobody asks.
  const bool moot = repeat_ == Repeat::kFreely && error.code() == Code::kStaleGrant;
  if (!maybe_applied_ || moot) return error;
  return Error(Code::kUnknownOutcome, "it may have been applied: " + error.message());
}

Error Retry::call_error(Error error) const {
  // The daemon's own answer to a request that it recognises is about all of its attempts.
  const bool answered = error.code() != Code::kUnavailable && error.code() != Code::kStaleGrant &&
                        error.code() != Code::kSessionExpired;
  if (answered && repeat_ != Repeat::kNever) return error;
  return attach_error(std::move(error));
}

}  // namespace pmshelf::client
