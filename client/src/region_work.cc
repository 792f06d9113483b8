#include "client/src/region_work.h"

#include <algorithm>

#include "common/media/guard.h"
#include "common/media/persist.h"

namespace pmshelf::client {
namespace {

transport::Durability on_wire(Durability durability) {
  return durability == Durability::kVisible ? transport::Durability::kVisible
                                            : transport::Durability::kDurable;
}

Error memory_fault() {
  return Error(Code::kIo,
               "the region's memory cannot be reached: its file was truncated, or a "
               "page is poisoned");
}

}  // namespace

RegionWork RegionWork::read(GrantState& grant, uint64_t offset, std::span<std::byte> target) {
  RegionWork work(Kind::kRead, grant, offset, target.size());
  work.target_ = target.data();
  return work;
}

RegionWork RegionWork::write(GrantState& grant, uint64_t offset, std::span<const std::byte> source,
                             Durability durability) {
  RegionWork work(Kind::kWrite, grant, offset, source.size());
  work.source_ = source.data();
  work.durability_ = durability;
  return work;
}

RegionWork RegionWork::flush(GrantState& grant, uint64_t offset, uint64_t bytes) {
  return RegionWork(Kind::kFlush, grant, offset, bytes);
}

RegionWork RegionWork::atomic_write8(GrantState& grant, uint64_t offset, uint64_t value) {
  RegionWork work(Kind::kAtomicWrite8, grant, offset, sizeof value);
  work.value_ = value;
  return work;
}

RegionWork RegionWork::read_ranges(GrantState& grant, std::span<const Range> ranges,
                                   std::span<std::byte> target) {
  RegionWork work(Kind::kReadRanges, grant, 0, target.size());
  work.target_ = target.data();
  work.group(ranges);
  return work;
}

RegionWork RegionWork::write_ranges(GrantState& grant, std::span<const Range> ranges,
                                    std::span<const std::byte> source, Durability durability) {
  RegionWork work(Kind::kWriteRanges, grant, 0, source.size());
  work.source_ = source.data();
  work.durability_ = durability;
  work.group(ranges);
  return work;
}

// Long ranges are cut, neighbours share a request while they fit into a chunk.
void RegionWork::group(std::span<const Range> ranges) {
  uint64_t data_offset = 0;
  for (Range range : ranges) {
    while (range.length > 0) {
      const uint64_t bytes = std::min(range.length, kChunkBytes);
      const bool joins = !groups_.empty() && groups_.back().count < wire::kFrameRangesMax &&
                         groups_.back().bytes + bytes <= kChunkBytes;
      if (!joins) groups_.push_back({ranges_.size(), 0, data_offset, 0});
      ranges_.push_back({range.offset, bytes});
      ++groups_.back().count;
      groups_.back().bytes += bytes;
      data_offset += bytes;
      range.offset += bytes;
      range.length -= bytes;
    }
  }
}

uint64_t RegionWork::request_count() const {
  switch (kind_) {
    case Kind::kRead:
    case Kind::kWrite:
      return (bytes_ + kChunkBytes - 1) / kChunkBytes;
    case Kind::kReadRanges:
    case Kind::kWriteRanges:
      return groups_.size();
    case Kind::kFlush:
    case Kind::kAtomicWrite8:
      break;
  }
  return 1;
}

void RegionWork::submit(transport::Channel& channel, wire::GrantId id, uint64_t index,
                        transport::Channel::Done done) {
  const uint64_t skip = index * kChunkBytes;
  switch (kind_) {
    case Kind::kRead:
      return channel.read(id, offset_ + skip,
                          {target_ + skip, std::min(kChunkBytes, bytes_ - skip)}, std::move(done));
    case Kind::kWrite:
      return channel.write(id, offset_ + skip,
                           {source_ + skip, std::min(kChunkBytes, bytes_ - skip)},
                           on_wire(durability_), std::move(done));
    case Kind::kFlush:
      return channel.flush(id, offset_, bytes_, std::move(done));
    case Kind::kAtomicWrite8:
      return channel.atomic_write8(id, offset_, value_, std::move(done));
    case Kind::kReadRanges:
    case Kind::kWriteRanges:
      break;
  }
  const Group& group = groups_[index];
  const std::span<const wire::Range> part(ranges_.data() + group.first, group.count);
  if (kind_ == Kind::kReadRanges) {
    channel.read_ranges(id, part, {target_ + group.data_offset, group.bytes}, std::move(done));
  } else {
    channel.write_ranges(id, part, {source_ + group.data_offset, group.bytes}, on_wire(durability_),
                         std::move(done));
  }
}

// What an earlier daemon took without flushing is not there for sure: visible-only writes start
// over, and a flush of such bytes is refused.
Status RegionWork::prepare(const Attachment& attachment, uint64_t& first) {
  const bool restarted = boot_epoch_ != 0 && boot_epoch_ != attachment.boot_epoch;
  if (restarted && visible_only()) first = 0;
  boot_epoch_ = attachment.boot_epoch;
  if (kind_ != Kind::kFlush) return {};
  return grant_.unflushed().may_flush(offset_, bytes_, attachment.boot_epoch);
}

void RegionWork::succeeded(const Attachment& attachment) {
  if (kind_ == Kind::kFlush) grant_.unflushed().flushed(offset_, bytes_);
  if (!visible_only()) return;
  if (kind_ == Kind::kWrite) grant_.unflushed().written(offset_, bytes_, attachment.boot_epoch);
  for (const wire::Range& range : ranges_) {
    grant_.unflushed().written(range.offset, range.length, attachment.boot_epoch);
  }
}

// False: through the channel, because the mapping is read-only, or because its connection was lost
// meanwhile, so that nothing protected the bytes.
bool RegionWork::at_hand(Status& status) {
  const MappedGrantPtr mapped = grant_.mapped();
  if (!mapped || (!is_read() && !mapped->range.writable)) return false;
  status = run_mapped(*mapped);
  if (!mapped->channel->connected()) return false;
  if (kind_ == Kind::kFlush && status.ok()) grant_.unflushed().flushed(offset_, bytes_);
  return true;
}

bool RegionWork::at_hand_through(const Attachment& attachment, Status& status) {
  return grant_.wants_map(attachment, bytes_) && grant_.map(attachment).ok() && at_hand(status);
}

Status RegionWork::copy_out(const std::byte* base) const {
  if (kind_ == Kind::kRead) {
    return media::guarded_copy(target_, base + offset_, bytes_) ? Status() : memory_fault();
  }
  std::byte* target = target_;
  for (const wire::Range& range : ranges_) {
    if (!media::guarded_copy(target, base + range.offset, range.length)) return memory_fault();
    target += range.length;
  }
  return {};
}

Status RegionWork::copy_in(std::byte* base) const {
  const bool durable = durability_ == Durability::kDurable;
  if (kind_ == Kind::kWrite) {
    if (!media::guarded_copy(base + offset_, source_, bytes_)) return memory_fault();
    return durable ? media::persist(on_media(grant_.storage_class()), base + offset_, bytes_)
                   : Status();
  }
  const std::byte* source = source_;
  for (const wire::Range& range : ranges_) {
    if (!media::guarded_copy(base + range.offset, source, range.length)) return memory_fault();
    source += range.length;
  }
  if (!durable) return {};
  for (const wire::Range& range : ranges_) {
    PMSHELF_TRY(
        media::persist(on_media(grant_.storage_class()), base + range.offset, range.length));
  }
  return {};
}

Status RegionWork::run_mapped(const MappedGrant& mapped) const {
  std::byte* const base = mapped.range.data;
  if (is_read()) return copy_out(base);
  if (is_write()) return copy_in(base);
  if (kind_ == Kind::kAtomicWrite8 && !media::guarded_store8(base + offset_, value_)) {
    return memory_fault();
  }
  return media::persist(on_media(grant_.storage_class()), base + offset_, bytes_);
}

}  // namespace pmshelf::client
