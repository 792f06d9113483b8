#include "client/src/mapping.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "client/src/retry.h"
#include "common/base/units.h"
#include "common/media/guard.h"
#include "common/media/persist.h"

namespace pmshelf {
namespace {

constexpr size_t kPageBytes = 4096;

// Puts private memory with the same contents under the addresses, in one step for other threads.
// The mapping was made for this region alone, whole pages of it.
void make_private(const transport::MappedRange& range) {
  const auto address = reinterpret_cast<uintptr_t>(range.data);
  const uintptr_t begin = align_down(address, kPageBytes);
  const size_t bytes = align_up(address + range.bytes, kPageBytes) - begin;
  void* const copy =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (copy == MAP_FAILED) return;  // the addresses stay as they are; persist() says no all the same
  media::guarded_copy(static_cast<std::byte*>(copy), reinterpret_cast<std::byte*>(begin), bytes);
  if (!range.writable) ::mprotect(copy, bytes, PROT_READ);
  ::mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, reinterpret_cast<void*>(begin));
}

}  // namespace

Mapping::Impl::Impl(client::GrantPtr region, client::MappedGrantPtr mapped)
    : grant_(std::move(region)), first_(std::move(mapped)), guardian_(first_) {}

Mapping::Impl::~Impl() {
  if (grant_->core().forked()) {
    // Giving the bytes back is the parent's business, on the parent's connection.
    new client::MappedGrantPtr(first_);
    new client::MappedGrantPtr(guardian_);
    return;
  }
  grant_->core().remove_mapping(this);
}

client::MappedGrantPtr Mapping::Impl::guardian() {
  std::lock_guard lock(mutex_);
  return lost_.ok() ? guardian_ : nullptr;
}

// Upkeep thread: nobody else changes the guardian.
void Mapping::Impl::check(bool closed) {
  client::MappedGrantPtr old = guardian();
  if (!old || old->channel->connected()) return;
  if (closed) return lose(Error(Code::kUnavailable, "the client is closed and the daemon gone"));
  const client::Core& core = grant_->core();
  auto attached = grant_->attach(std::chrono::steady_clock::now() + core.options().connect_timeout);
  if (!attached.ok()) {
    if (attached.code() == Code::kStaleGrant) lose(attached.error());
    return;  // otherwise tried again
  }
  auto mapped = grant_->map(*attached);
  if (mapped.ok()) {
    std::lock_guard lock(mutex_);
    guardian_ = *std::move(mapped);
  } else if (mapped.code() == Code::kStaleGrant || mapped.code() == Code::kUnsupported) {
    lose(mapped.error());
  }
}

void Mapping::Impl::lose(const Error& why) {
  std::lock_guard lock(mutex_);
  make_private(first_->range);
  lost_ = Error(Code::kStaleGrant, "this mapping is a private copy by now: " + why.message());
}

Status Mapping::Impl::persist(uint64_t offset, uint64_t bytes) {
  if (!range_inside(offset, bytes, range().bytes)) {
    return Error(Code::kOutOfRange, "offset " + std::to_string(offset) + " and length " +
                                        std::to_string(bytes) + " in a mapping of " +
                                        std::to_string(range().bytes) + " bytes");
  }
  {
    std::lock_guard lock(mutex_);
    if (!lost_.ok()) return lost_;
  }
  return media::persist(client::on_media(grant_->storage_class()), range().data + offset, bytes);
}

Mapping::Mapping(std::shared_ptr<Impl> impl)
    : impl_(std::move(impl)),
      data_(impl_->range().data),
      bytes_(impl_->range().bytes),
      writable_(impl_->range().writable) {}

Status Mapping::persist(uint64_t offset, uint64_t bytes) const {
  return impl_->persist(offset, bytes);
}

namespace client {

Result<Mapping> map_region(const GrantPtr& grant) {
  PMSHELF_TRY(grant->core().may_block());
  Retry retry(grant->core(), Repeat::kFreely);
  for (;;) {
    auto attached = grant->attach(retry.deadline());
    if (!attached.ok()) return std::move(attached).error();
    if (!attached->channel->capabilities().map) {
      return Error(Code::kUnsupported, "the " + std::string(attached->channel->path()) +
                                           " path cannot map: read and write instead");
    }
    auto mapped = grant->map(*attached);
    if (mapped.ok()) {
      auto impl = std::make_shared<Mapping::Impl>(grant, *std::move(mapped));
      grant->core().add_mapping(impl);
      return Mapping(std::move(impl));
    }
    Error error = std::move(mapped).error();
    if (error.code() == Code::kUnsupported || !retry.again(error, attached->generation)) {
      return error;
    }
    if (error.code() == Code::kStaleGrant) grant->invalidate(attached->id);
  }
}

}  // namespace client
}  // namespace pmshelf
