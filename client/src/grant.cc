#include "client/src/grant.h"

namespace pmshelf::client {
namespace {

SameHostPolicy policy_of(const v1::Grant& grant) {
  const int number = grant.same_host();
  return number >= 1 && number <= 3 ? static_cast<SameHostPolicy>(number) : SameHostPolicy::kOff;
}

// An unknown class is treated as the one that needs most: msync is right everywhere.
StorageClass storage_class_of(const v1::Grant& grant) {
  const int number = grant.storage_class();
  return number >= 1 && number <= 3 ? static_cast<StorageClass>(number) : StorageClass::kFile;
}

}  // namespace

GrantState::GrantState(CoreRef core, std::string shelf, std::string name, const v1::Grant& grant,
                       Held held)
    : Holding(std::move(core), held),
      shelf_(std::move(shelf)),
      bytes_(grant.region().bytes()),
      rights_(grant.rights()),
      storage_class_(storage_class_of(grant)),
      staged_(name.empty()),
      first_name_(std::move(name)),
      region_id_(grant.region().id()),
      policy_(policy_of(grant)) {}

GrantState::~GrantState() {
  // In a forked child everything below belongs to the parent, down to the channel's lock.
  if (core().forked()) {
    new MappedGrantPtr(mapped_);
    return;
  }
  drop_map();
  if (const Held known = held(); known.generation != 0) {
    core().upkeep().release(known.generation, known.id);
  }
}

const std::string& GrantState::name() const {
  return named_later_.load(std::memory_order_acquire) ? later_name_ : first_name_;
}

void GrantState::named(std::string name, uint64_t region_id) {
  std::lock_guard lock(mutex_);
  if (!staged_ || named_later_) return;
  later_name_ = std::move(name);
  region_id_.store(region_id, std::memory_order_release);
  named_later_.store(true, std::memory_order_release);
}

Result<Holding::Held> GrantState::open_again(Time deadline) {
  if (staged_ && !named_later_) {
    return Error(Code::kStaleGrant, "this staged region is gone: its session ended");
  }
  v1::OpenRegionRequest request;
  request.set_shelf(shelf_);
  request.set_name(name());
  request.set_rights(rights_);
  v1::Grant grant;
  CallPlan plan = core().plan();
  plan.deadline = deadline;
  Held opened;
  const Status answer =
      core().call(&v1::Regions::Stub::Open, request, &grant, plan, &opened.generation);
  if (answer.code() == Code::kNotFound) {
    return Error(Code::kStaleGrant, "region '" + name() + "' is gone: " + answer.error().message());
  }
  if (!answer.ok()) return answer.error();
  PMSHELF_TRY_ASSIGN(opened.id, decode_grant_id(grant.id()));
  if (grant.region().id() != region_id()) {
    core().upkeep().release(opened.generation, opened.id);
    return Error(Code::kStaleGrant,
                 "region '" + name() + "' is another one now: it was erased, replaced or renamed");
  }
  policy_.store(policy_of(grant), std::memory_order_relaxed);
  return opened;
}

void GrantState::invalidate(wire::GrantId id) {
  Holding::invalidate(id);
  std::unique_lock lock(mutex_);
  const bool its_map = mapped_ && mapped_->id == id;
  lock.unlock();
  if (its_map) drop_map();
}

MappedGrantPtr GrantState::mapped() {
  std::lock_guard lock(mutex_);
  if (!mapped_ || mapped_->generation != core().session().generation()) return nullptr;
  return mapped_->channel->connected() ? mapped_ : nullptr;
}

bool GrantState::wants_map(const Attachment& attachment, uint64_t bytes) {
  if (policy() != SameHostPolicy::kDirect || !attachment.channel->capabilities().map) return false;
  if (uses_.fetch_add(1, std::memory_order_relaxed) == 0 && bytes < kMapAtOnceBytes) return false;
  std::lock_guard lock(mutex_);
  return map_refused_generation_ != attachment.generation;
}

Result<MappedGrantPtr> GrantState::map(const Attachment& attachment) {
  if (MappedGrantPtr mapped = this->mapped()) return mapped;
  std::unique_lock opening(opening_, std::defer_lock);
  if (!opening.try_lock_for(core().options().call_timeout)) {
    return Error(Code::kUnavailable, "region '" + name() + "' could not be mapped in time");
  }
  if (MappedGrantPtr mapped = this->mapped()) return mapped;
  {
    std::lock_guard lock(mutex_);
    if (map_refused_generation_ == attachment.generation) return map_refusal_;
  }
  drop_map();
  // Before the daemon counts us as mapped: its notice may come at once.
  core().watch(shared_from_this(), attachment.id);
  auto range = attachment.channel->map(attachment.id);
  if (!range.ok()) core().unwatch(attachment.id);
  std::lock_guard lock(mutex_);
  if (range.ok()) {
    mapped_ = std::make_shared<const MappedGrant>(
        MappedGrant{*std::move(range), attachment.channel, attachment.id, attachment.generation});
    return mapped_;
  }
  if (range.code() == Code::kUnsupported || range.code() == Code::kPermissionDenied ||
      range.code() == Code::kResourceExhausted || range.code() == Code::kIo) {
    map_refused_generation_ = attachment.generation;
    map_refusal_ = range.error();
  }
  return std::move(range).error();
}

void GrantState::drop_map() {
  MappedGrantPtr mapped;  // goes after the lock: its end sends Unmap
  {
    std::lock_guard lock(mutex_);
    mapped.swap(mapped_);
  }
  if (mapped) core().unwatch(mapped->id);
}

}  // namespace pmshelf::client
