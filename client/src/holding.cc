#include "client/src/holding.h"

#include <algorithm>

namespace pmshelf::client {
namespace {

using Clock = std::chrono::steady_clock;

// A data connection of a session that the daemon does not know is refused like a wrong proof.
bool means_no_session(Code code) {
  return code == Code::kSessionExpired || code == Code::kUnauthenticated;
}

bool is_passing(Code code) { return code == Code::kUnavailable || code == Code::kDeadlineExceeded; }

}  // namespace

Holding::Held Holding::held() const {
  std::lock_guard lock(mutex_);
  return held_;
}

Result<wire::GrantId> Holding::id_in(const SessionState& session, Time deadline) {
  if (const Held known = held(); known.generation == session.generation) return known.id;
  std::unique_lock opening(opening_, std::defer_lock);
  if (!opening.try_lock_until(std::min(deadline, Clock::now() + std::chrono::hours(24)))) {
    return Error(Code::kUnavailable, "the daemon did not answer in time");
  }
  if (const Held known = held(); known.generation == session.generation) return known.id;
  PMSHELF_TRY_ASSIGN(const Held opened, open_again(deadline));
  std::lock_guard lock(mutex_);
  held_ = opened;
  return opened.id;
}

bool Holding::attach_now(Attachment& attachment) {
  const SessionPtr session = core_->session().current();
  const Held known = held();
  if (known.generation != session->generation) return false;
  attachment.id = known.id;
  attachment.generation = session->generation;
  attachment.boot_epoch = session->boot_epoch;
  attachment.channel = core_->channels().get_connected(*session, policy());
  return attachment.channel != nullptr;
}

Status Holding::connect(const SessionState& session, Attachment& attachment, Time deadline) {
  PMSHELF_TRY(id_in(session, deadline));
  PMSHELF_TRY(core_->channels().get(session, policy(), deadline));
  if (attach_now(attachment)) return {};
  return Error(Code::kUnavailable, "the data connection or its session ended at once");
}

Result<Attachment> Holding::attach(Time deadline) {
  Attachment attachment;
  if (attach_now(attachment)) return attachment;
  int renewals = 0;
  auto pause = kRetryPauseMin;
  for (;;) {
    const SessionPtr session = core_->session().current();
    const Status connected = connect(*session, attachment, deadline);
    if (connected.ok()) return attachment;
    if (means_no_session(connected.code()) && renewals++ < kRenewalsMax &&
        !core_->session().is_alive(*session)) {
      PMSHELF_TRY(core_->session().renew(session->generation, deadline));
      continue;
    }
    const Time next = Clock::now() + pause;
    if (!is_passing(connected.code()) || next >= deadline || !core_->lifeline().sleep_until(next)) {
      return connected.error();
    }
    core_->session().revive(*session, deadline);
    pause = std::min(pause * 2, kRetryPauseMax);
  }
}

void Holding::invalidate(wire::GrantId id) {
  std::lock_guard lock(mutex_);
  if (held_.id == id) held_.generation = 0;
}

}  // namespace pmshelf::client
