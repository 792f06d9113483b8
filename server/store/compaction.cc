// Store: metadata space, and a new log of what is live.
//
// The metadata space behind the superblocks is used from both ends: one log lies in its lower
// half, the next one in its upper half. A copy is therefore at most a quarter of it.
#include <algorithm>
#include <bit>

#include "common/base/units.h"
#include "server/store/mutant.h"
#include "server/store/random.h"
#include "server/store/store_impl.h"

namespace pmshelf::store {
namespace {

// Live metadata may fill three quarters of the largest log. The rest is for what makes room.
constexpr uint64_t live_bytes_max(uint64_t log_bytes) { return log_bytes / 4 * 3; }

uint64_t log_bytes_in(uint64_t metadata_bytes) {
  return align_down((metadata_bytes - kLogAreaBegin) / 4, kLogAlignmentBytes);
}

bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

}  // namespace

// Writes snapshot records one after the other into both copies of a new log.
class SnapshotWriter {
 public:
  SnapshotWriter(media::Media& map, const LogPlace& place, uint64_t epoch, uint64_t unix_ms)
      : map_(map), place_(place), epoch_(epoch), unix_ms_(unix_ms) {
    record_.resize(kRecordHeaderBytes);
  }

  // Returns the operation's position in the new log.
  template <class Op>
  Result<uint64_t> add(const Request& request, const Op& op, uint64_t bytes) {
    if (count_ == kBatchOpsMax || record_.size() + bytes > kRecordBytesMax) PMSHELF_TRY(write());
    const uint64_t position = end_ + record_.size();
    append_operation(record_, request, op);
    ++count_;
    return position;
  }

  // Writes what is left and zeroes the log behind it. Flushed, not fenced.
  Status finish() {
    PMSHELF_TRY(write());
    for (const uint64_t copy : place_.offsets) {
      PMSHELF_TRY(map_.zero(copy + end_, place_.bytes - end_));
      PMSHELF_TRY(map_.flush(copy, place_.bytes));
    }
    return {};
  }
  uint64_t end() const { return end_; }
  uint64_t next_sequence() const { return place_.first_sequence + written_; }

 private:
  Status write() {
    const auto op_bytes = static_cast<uint32_t>(record_.size()) - kRecordHeaderBytes;
    const uint32_t bytes = record_bytes(op_bytes);
    record_.resize(bytes);
    encode_record_header({bytes, next_sequence(), epoch_, count_, op_bytes, unix_ms_, true},
                         record_crc_seed(place_.salt), record_);
    if (!range_inside(end_, bytes, place_.bytes)) {
      return Error(Code::kNoSpace, map_.name() + ": live metadata does not fit its log");
    }
    for (const uint64_t copy : place_.offsets) PMSHELF_TRY(map_.store(copy + end_, record_));
    end_ += bytes;
    ++written_;
    count_ = 0;
    record_.assign(kRecordHeaderBytes, std::byte{0});
    return {};
  }

  media::Media& map_;
  const LogPlace& place_;
  const uint64_t epoch_;
  const uint64_t unix_ms_;
  OpBuffer record_;
  uint32_t count_ = 0;
  uint64_t end_ = 0;
  uint64_t written_ = 0;
};

uint64_t StoreImpl::log_bytes_max() const { return log_bytes_in(metadata_bytes_); }

Status StoreImpl::make_metadata_room(uint64_t growth) {
  const auto fits = [&] {
    return state_->snapshot_bytes() + growth <= live_bytes_max(log_bytes_max());
  };
  if (fits() || grow_metadata(state_->snapshot_bytes() + growth)) return {};
  state_->requests.forget_down_to(kRequestsKeptMin);
  if (fits()) return {};
  return Error(Code::kNoSpace, map_.name() +
                                   ": metadata space full: erase regions, or make room for the "
                                   "metadata file to grow");
}

bool StoreImpl::grow_metadata(uint64_t live_bytes) {
  if (superblocks_.current().kind == StoreKind::kDevice) return false;
  uint64_t area = metadata_bytes_ - kLogAreaBegin;
  // Doubling keeps the present log inside the lower half, wherever it lies.
  while (live_bytes > live_bytes_max(log_bytes_in(kLogAreaBegin + area))) area *= 2;
  const uint64_t wanted = kLogAreaBegin + area;
  if (map_.bytes() < wanted && !map_.resize(wanted).ok()) return false;
  metadata_bytes_ = wanted;
  return true;
}

bool StoreImpl::compaction_due(uint64_t record_bytes) const {
  if (tail_ + record_bytes > log_.bytes) return true;
  return log_.bytes > kLogBytesMin && tail_ >= log_.bytes / 2 &&
         state_->snapshot_bytes() < tail_ / 2;
}

Result<LogPlace> StoreImpl::choose_log_place() const {
  const uint64_t most = log_bytes_max();
  LogPlace place;
  place.bytes = std::clamp(align_up(2 * state_->snapshot_bytes(), kLogAlignmentBytes),
                           std::min(kLogBytesMin, most), most);
  place.salt = random_u64();
  place.first_sequence = next_sequence_;
  place.first_epoch = superblocks_.current().epoch + 1;
  for (const uint64_t begin : {kLogAreaBegin, metadata_bytes_ - 2 * place.bytes}) {
    const uint64_t aligned = align_down(begin, kLogAlignmentBytes);
    const bool clear = !overlap(aligned, 2 * place.bytes, log_.offsets[0], log_.bytes) &&
                       !overlap(aligned, 2 * place.bytes, log_.offsets[1], log_.bytes);
    if (!clear) continue;
    place.offsets[0] = aligned;
    place.offsets[1] = aligned + place.bytes;
    return place;
  }
  return Error(Code::kNoSpace, map_.name() + ": no room beside the log for a new one");
}

// The catalogue holds what is staged as well: the new log makes it durable.
Status StoreImpl::fill_snapshot(SnapshotWriter& writer) {
  State& state = *state_;
  PMSHELF_TRY(writer.add({}, SpaceEnd{state.space.end_bytes()}, kSpaceEndBytes));
  for (const auto& [id, shelf] : state.catalogue.shelves()) {
    PMSHELF_TRY(writer.add({}, ShelfPut{shelf->info}, shelf_put_bytes(shelf->info)));
  }
  Status added;
  state.catalogue.for_each_region([&](RegionEntry& region) {
    if (added.ok()) added = snapshot_region(writer, region);
  });
  PMSHELF_TRY(std::move(added));
  state.requests.forget_old(clock_.unix_ms());
  state.requests.for_each_oldest_first([&](const RequestId& id, const RememberedRequest& kept) {
    if (!added.ok()) return;
    const auto position =
        writer.add({id, kept.outcome.digest}, RequestKept{kept.outcome.result, kept.unix_ms},
                   kRequestKeptBytes);
    if (!position.ok()) added = position.error();
  });
  PMSHELF_TRY(std::move(added));
  return writer.finish();
}

// Tells the entry where its attributes are in the new log: if that never comes to count, the
// store is offline.
Status StoreImpl::snapshot_region(SnapshotWriter& writer, RegionEntry& region) {
  PMSHELF_TRY_ASSIGN(const std::string attributes, read_attributes(region));
  const RegionPut op{region.id,
                     region.shelf,
                     region.offset,
                     region.bytes,
                     region.footprint_bytes,
                     region.modified_unix_ms,
                     region.name(),
                     attributes};
  PMSHELF_TRY_ASSIGN(
      const uint64_t position,
      writer.add({}, op, region_put_bytes(region.name_bytes, region.attribute_bytes)));
  region.attribute_position =
      position + kOperationHeaderBytes + kRegionPutFixedBytes + region.name_bytes;
  return {};
}

Status StoreImpl::write_snapshot() {
  PMSHELF_TRY_ASSIGN(const LogPlace place, choose_log_place());
  if (Status written = replace_log(place); !written.ok()) {
    return go_offline(std::move(written).error());
  }
  // Everything staged is durable with the snapshot.
  pending_.clear();
  pending_count_ = 0;
  ++staging_batch_;
  limbo_->batch_taken();
  staged_is_durable();
  return {};
}

// Snapshot, fence, both superblocks. Whatever fails, the old log still counts on media.
Status StoreImpl::replace_log(const LogPlace& place) {
  SnapshotWriter writer(map_, place, place.first_epoch, clock_.unix_ms());
  PMSHELF_TRY(fill_snapshot(writer));
  if (std::exchange(data_dirty_, false) && !mutant(Mutant::kSkipDataDrain)) {
    PMSHELF_TRY(data_.drain());
  }
  if (!mutant(Mutant::kFlipBeforeSnapshot)) PMSHELF_TRY(map_.drain());
  Superblock& next = superblocks_.next();
  next.epoch = next.log_first_epoch = place.first_epoch;
  next.meta_bytes = metadata_bytes_;
  next.data_end = state_->space.end_bytes();
  next.log_primary = place.offsets[0];
  next.log_mirror = place.offsets[1];
  next.log_bytes = place.bytes;
  next.log_salt = place.salt;
  next.log_first_sequence = place.first_sequence;
  next.log_sealed_sequence = writer.next_sequence() - 1;
  next.next_shelf = state_->next_shelf;
  next.next_region = state_->next_region;
  PMSHELF_TRY(superblocks_.write_both(map_));
  // The space of the old log may go; it is zeroed before it is used again in any case.
  if (map_.can_discard()) {
    for (const uint64_t copy : log_.offsets) static_cast<void>(map_.discard(copy, log_.bytes));
  }
  log_ = place;
  tail_ = writer.end();
  next_sequence_ = writer.next_sequence();
  return {};
}

Status StoreImpl::compact() {
  PMSHELF_TRY(writable());
  PMSHELF_TRY(sync());
  return write_snapshot();
}

}  // namespace pmshelf::store
