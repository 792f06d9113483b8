#include "client/src/lock.h"

#include "client/src/convert.h"
#include "client/src/shelf.h"

namespace pmshelf {
namespace {

constexpr std::chrono::milliseconds kLockWaitMax{60000};

}  // namespace

Lock::Impl::~Impl() {
  if (unlocked_ || !core_->usable().ok()) return;
  core_->upkeep().post([core = core_, lock_id = lock_id_, generation = generation_] {
    // Whatever it returns: the lock ends with the session at the latest.
    (void)send(*core, lock_id, generation).ok();
  });
}

Status Lock::Impl::send(client::Core& core, uint64_t lock_id, uint64_t generation) {
  v1::UnlockRequest request;
  request.set_lock_id(lock_id);
  v1::UnlockResponse response;
  client::CallPlan plan = core.plan();
  plan.only_generation = generation;
  Status sent = core.call(&v1::Regions::Stub::Unlock, request, &response, plan);
  // Repeated after a lost answer: the first one did it.
  if (sent.code() == Code::kNotFound) return {};
  return sent;
}

Status Lock::Impl::unlock() {
  PMSHELF_TRY(core_->may_block());
  std::lock_guard lock(mutex_);
  if (unlocked_) return {};
  Status sent = send(*core_, lock_id_, generation_);
  unlocked_ = sent.ok() || sent.code() == Code::kSessionExpired;
  return sent;
}

Lock::Lock(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Status Lock::unlock() { return impl_->unlock(); }

Result<Lock> Shelf::lock(std::string_view name, bool exclusive,
                         std::chrono::milliseconds wait) const {
  const client::CoreRef& core = impl_->state->core_ref();
  PMSHELF_TRY(core->may_block());
  if (wait.count() < 0 || wait > kLockWaitMax) {
    return Error(Code::kInvalidArgument, "wait: from 0 to 60000 ms");
  }
  v1::LockRequest request;
  request.set_shelf(this->name());
  request.set_name(std::string(name));
  request.set_exclusive(exclusive);
  request.set_wait_ms(static_cast<uint32_t>(wait.count()));
  v1::LockResponse response;
  uint64_t generation = 0;
  PMSHELF_TRY(
      core->call(&v1::Regions::Stub::Lock, request, &response, core->plan(wait), &generation));
  return Lock(std::make_shared<Lock::Impl>(core, response.lock_id(), generation));
}

}  // namespace pmshelf
