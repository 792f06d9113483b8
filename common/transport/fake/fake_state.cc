#include "common/transport/fake/fake_state.h"

#include <algorithm>
#include <cstring>

#include "common/base/units.h"
#include "common/transport/fake/fake_channel.h"

namespace pmshelf::transport {
namespace {

Error invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

}  // namespace

void FakeState::watch(FakeWatcher* watcher) {
  const std::lock_guard lock(mutex_);
  watchers_.insert(watcher);
}

void FakeState::unwatch(FakeWatcher* watcher) {
  const std::lock_guard lock(mutex_);
  watchers_.erase(watcher);
}

wire::GrantId FakeState::add_region(uint64_t bytes, uint8_t rights) {
  const std::lock_guard lock(mutex_);
  const wire::GrantId grant{0xFA4E, next_id_++};
  regions_[{grant.high, grant.low}] = {std::make_shared<std::vector<std::byte>>(bytes), rights,
                                       false};
  return grant;
}

void FakeState::revoke(wire::GrantId grant) {
  const std::lock_guard lock(mutex_);
  regions_.at({grant.high, grant.low}).revoked = true;
  for (FakeWatcher* watcher : watchers_) watcher->on_revoked(grant);  // only puts it in a queue
}

uint64_t FakeState::add_shelf() {
  const std::lock_guard lock(mutex_);
  shelves_[next_id_];
  return next_id_++;
}

std::vector<std::byte> FakeState::bytes_of(wire::GrantId grant) const {
  const std::lock_guard lock(mutex_);
  return *regions_.at({grant.high, grant.low}).bytes;
}

// The checks of every access; where the range begins.
Result<std::byte*> FakeState::reach(wire::GrantId grant, uint8_t right,
                                    const wire::Range& range) const {
  const auto found = regions_.find({grant.high, grant.low});
  if (found == regions_.end() || found->second.revoked) {
    return Error(Code::kStaleGrant, "the grant is over");
  }
  const Region& region = found->second;
  if ((region.rights & right) == 0) {
    return Error(Code::kPermissionDenied, "the grant does not give this right");
  }
  if (!range_inside(range.offset, range.length, region.bytes->size())) {
    return Error(Code::kOutOfRange, "offset + length is beyond the end of the region");
  }
  return region.bytes->data() + range.offset;
}

Status FakeState::read(wire::GrantId grant, const Ranges& ranges,
                       std::span<std::byte> target) const {
  const std::lock_guard lock(mutex_);
  size_t at = 0;
  for (const wire::Range& range : ranges) {
    PMSHELF_TRY_ASSIGN(const std::byte* from, reach(grant, FakeMemory::kRead, range));
    if (range.length > target.size() - at) return invalid("ranges do not add up to the buffer");
    std::copy_n(from, range.length, target.data() + at);
    at += range.length;
  }
  if (at != target.size()) return invalid("ranges do not add up to the buffer");
  return {};
}

Status FakeState::write(wire::GrantId grant, const Ranges& ranges,
                        std::span<const std::byte> source) {
  wire::TransactMeta meta;
  for (const wire::Range& range : ranges) meta.ranges.push_back({grant, range});
  return transact(meta, source);
}

Status FakeState::write8(wire::GrantId grant, uint64_t offset, uint64_t value) {
  if (offset % sizeof value != 0) return invalid("offset: not a multiple of 8");
  return write(grant, {{offset, sizeof value}}, std::as_bytes(std::span(&value, 1)));
}

Status FakeState::check_flush(wire::GrantId grant, uint64_t offset, uint64_t bytes) const {
  const std::lock_guard lock(mutex_);
  PMSHELF_TRY(reach(grant, FakeMemory::kWrite, {offset, bytes}));
  return {};
}

Status FakeState::transact(const wire::TransactMeta& meta, std::span<const std::byte> source) {
  const std::lock_guard lock(mutex_);
  uint64_t total_bytes = 0;
  for (const auto& [grant, range] : meta.ranges) {
    PMSHELF_TRY(reach(grant, FakeMemory::kWrite, range));
    total_bytes += range.length;
  }
  if (total_bytes != source.size()) return invalid("ranges do not add up to the buffer");
  for (const auto& [grant, range] : meta.ranges) {
    std::copy_n(source.data(), range.length, *reach(grant, FakeMemory::kWrite, range));
    source = source.subspan(range.length);
  }
  return {};
}

Status FakeState::put(uint64_t shelf, const std::string& name, const std::string& attributes,
                      bool if_absent, std::span<const std::byte> value) {
  const std::lock_guard lock(mutex_);
  const auto found = shelves_.find(shelf);
  if (found == shelves_.end()) return Error(Code::kNotFound, "no such shelf");
  if (if_absent && found->second.contains(name)) {
    return Error(Code::kAlreadyExists, "region '" + name + "' exists");
  }
  found->second[name] = {next_id_++, {value.begin(), value.end()}, attributes};
  return {};
}

Result<GetResult> FakeState::get(uint64_t shelf, const std::string& name,
                                 std::span<std::byte> target) const {
  const std::lock_guard lock(mutex_);
  const auto found = shelves_.find(shelf);
  if (found == shelves_.end()) return Error(Code::kNotFound, "no such shelf");
  const auto value = found->second.find(name);
  if (value == found->second.end()) return Error(Code::kNotFound, "no region '" + name + "'");
  const auto& [region_id, bytes, attributes] = value->second;
  const uint64_t copied_bytes = std::min<uint64_t>(bytes.size(), target.size());
  std::copy_n(bytes.data(), copied_bytes, target.data());
  return GetResult{region_id, bytes.size(), copied_bytes, attributes};
}

Result<MappedRange> FakeState::map(wire::GrantId grant) const {
  const std::lock_guard lock(mutex_);
  PMSHELF_TRY(reach(grant, FakeMemory::kRead, {}));
  const Region& region = regions_.at({grant.high, grant.low});
  MappedRange range;
  range.data = region.bytes->data();
  range.bytes = region.bytes->size();
  range.writable = (region.rights & FakeMemory::kWrite) != 0;
  range.keep_alive = region.bytes;
  return range;
}

FakeMemory::FakeMemory() : state_(std::make_shared<FakeState>()) {}
FakeMemory::~FakeMemory() = default;
wire::GrantId FakeMemory::add_region(uint64_t bytes, uint8_t rights) {
  return state_->add_region(bytes, rights);
}
void FakeMemory::revoke(wire::GrantId grant) { state_->revoke(grant); }
uint64_t FakeMemory::add_shelf() { return state_->add_shelf(); }
std::vector<std::byte> FakeMemory::bytes_of(wire::GrantId grant) const {
  return state_->bytes_of(grant);
}

}  // namespace pmshelf::transport
