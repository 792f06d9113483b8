#include "client/src/region.h"

#include "client/src/mapping.h"
#include "client/src/region_work.h"
#include "common/base/units.h"

namespace pmshelf {
namespace {

using client::RegionWork;

Status check_bounds(const client::GrantState& grant, uint64_t offset, uint64_t length) {
  if (range_inside(offset, length, grant.bytes())) return {};
  return Error(Code::kOutOfRange, "offset " + std::to_string(offset) + " and length " +
                                      std::to_string(length) + " in a region of " +
                                      std::to_string(grant.bytes()) + " bytes");
}

// Bounds of every range, and their sum against the buffer's length.
Status check_ranges(const client::GrantState& grant, std::span<const Range> ranges,
                    uint64_t buffer_bytes) {
  uint64_t left_bytes = buffer_bytes;
  for (const Range& range : ranges) {
    PMSHELF_TRY(check_bounds(grant, range.offset, range.length));
    if (range.length > left_bytes) {
      return Error(Code::kInvalidArgument, "the buffer holds less than the ranges");
    }
    left_bytes -= range.length;
  }
  if (left_bytes == 0) return {};
  return Error(Code::kInvalidArgument, "the buffer holds more than the ranges");
}

Status run(client::GrantState& grant, RegionWork work) {
  PMSHELF_TRY(grant.core().may_block());
  if (work.bytes() == 0) return {};
  return client::run_work(grant, work);
}

Status run_checked(client::GrantState& grant, RegionWork work) {
  PMSHELF_TRY(check_bounds(grant, work.offset(), work.bytes()));
  return run(grant, std::move(work));
}

void start(const client::GrantPtr& grant, RegionWork work, bool inline_done,
           std::function<void(Status)> done) {
  Status checked = grant->core().usable();
  if (checked.ok()) checked = check_bounds(*grant, work.offset(), work.bytes());
  if (checked.ok() && work.bytes() > 0) {
    auto owned = std::make_unique<RegionWork>(std::move(work));
    client::start_work(grant, std::move(owned), inline_done, std::move(done));
  } else if (inline_done) {
    done(std::move(checked));
  } else {
    client::complete_later(grant->core(), std::move(done), std::move(checked));
  }
}

std::future<Status> start_future(const client::GrantPtr& grant, RegionWork work) {
  auto promise = std::make_shared<std::promise<Status>>();
  std::future<Status> future = promise->get_future();
  start(grant, std::move(work), /*inline_done=*/true,
        [promise](Status status) { promise->set_value(std::move(status)); });
  return future;
}

}  // namespace

namespace client {

Result<Region> make_region(CoreRef core, std::string shelf, std::string name,
                           const v1::Grant& grant, uint64_t generation) {
  PMSHELF_TRY_ASSIGN(const wire::GrantId id, decode_grant_id(grant.id()));
  auto impl = std::make_shared<Region::Impl>();
  impl->grant = std::make_shared<GrantState>(std::move(core), std::move(shelf), std::move(name),
                                             grant, Holding::Held{id, generation});
  return Region(std::move(impl));
}

const GrantPtr& grant_of(const Region& region) { return Region::Impl::of(region).grant; }

}  // namespace client

Region::Region(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

const std::string& Region::name() const { return impl_->grant->name(); }
uint64_t Region::id() const { return impl_->grant->region_id(); }
uint64_t Region::bytes() const { return impl_->grant->bytes(); }
uint32_t Region::rights() const { return impl_->grant->rights(); }
StorageClass Region::storage_class() const { return impl_->grant->storage_class(); }
std::string_view Region::path() const { return impl_->grant->core().path(impl_->grant->policy()); }

Status Region::read(uint64_t offset, std::span<std::byte> target) const {
  return run_checked(*impl_->grant, RegionWork::read(*impl_->grant, offset, target));
}

Status Region::write(uint64_t offset, std::span<const std::byte> source,
                     Durability durability) const {
  return run_checked(*impl_->grant, RegionWork::write(*impl_->grant, offset, source, durability));
}

Status Region::flush(uint64_t offset, uint64_t bytes) const {
  return run_checked(*impl_->grant, RegionWork::flush(*impl_->grant, offset, bytes));
}

Status Region::atomic_write8(uint64_t offset, uint64_t value) const {
  if (offset % sizeof value != 0) {
    return Error(Code::kInvalidArgument,
                 "offset " + std::to_string(offset) + " is not a multiple of 8");
  }
  return run_checked(*impl_->grant, RegionWork::atomic_write8(*impl_->grant, offset, value));
}

Status Region::read_ranges(std::span<const Range> ranges, std::span<std::byte> target) const {
  PMSHELF_TRY(check_ranges(*impl_->grant, ranges, target.size()));
  return run(*impl_->grant, RegionWork::read_ranges(*impl_->grant, ranges, target));
}

Status Region::write_ranges(std::span<const Range> ranges, std::span<const std::byte> source,
                            Durability durability) const {
  PMSHELF_TRY(check_ranges(*impl_->grant, ranges, source.size()));
  return run(*impl_->grant, RegionWork::write_ranges(*impl_->grant, ranges, source, durability));
}

std::future<Status> Region::read_async(uint64_t offset, std::span<std::byte> target) const {
  return start_future(impl_->grant, RegionWork::read(*impl_->grant, offset, target));
}

std::future<Status> Region::write_async(uint64_t offset, std::span<const std::byte> source,
                                        Durability durability) const {
  return start_future(impl_->grant, RegionWork::write(*impl_->grant, offset, source, durability));
}

std::future<Status> Region::flush_async(uint64_t offset, uint64_t bytes) const {
  return start_future(impl_->grant, RegionWork::flush(*impl_->grant, offset, bytes));
}

void Region::read_then(uint64_t offset, std::span<std::byte> target, Completion done) const {
  start(impl_->grant, RegionWork::read(*impl_->grant, offset, target), /*inline_done=*/false,
        std::move(done));
}

void Region::write_then(uint64_t offset, std::span<const std::byte> source, Durability durability,
                        Completion done) const {
  start(impl_->grant, RegionWork::write(*impl_->grant, offset, source, durability),
        /*inline_done=*/false, std::move(done));
}

Result<Mapping> Region::map() const { return client::map_region(impl_->grant); }

}  // namespace pmshelf
