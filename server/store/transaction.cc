// Store: in-place writes of several ranges, all or nothing, through redo images.
//
//   image written, flushed, fenced | REDO, fenced: the commit point | ranges copied to their
//   targets, flushed, fenced | REDO_DONE, fenced | the image's space is free
#include <absl/cleanup/cleanup.h>
#include <xxhash.h>

#include <algorithm>
#include <memory>

#include "common/base/check.h"
#include "common/base/units.h"
#include "server/store/mutant.h"
#include "server/store/store_impl.h"

namespace pmshelf::store {
namespace {

constexpr uint64_t kDigestChunkBytes = 1 << 20;

struct FreeDigest {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

bool starts_before(const RedoRange& a, const RedoRange& b) { return a.offset < b.offset; }

}  // namespace

// Media ranges in the caller's order; empty ones are left out.
Result<std::vector<RedoRange>> StoreImpl::resolve(std::span<const WriteRange> ranges) const {
  if (ranges.empty() || ranges.size() > kTransactionRangesMax) {
    return Error(Code::kInvalidArgument, "transaction: must have 1..1024 ranges");
  }
  std::vector<RedoRange> out;
  for (const WriteRange& range : ranges) {
    PMSHELF_TRY_ASSIGN(const RegionEntry* region, region_entry(range.region));
    if (!range_inside(range.offset, range.bytes.size(), region->bytes)) {
      return Error(Code::kOutOfRange, "transaction: range beyond the end of region '" +
                                          std::string(region->name()) + "'");
    }
    if (range.bytes.empty()) continue;
    out.push_back({region->offset + range.offset, range.bytes.size()});
  }
  std::vector<RedoRange> sorted = out;
  std::sort(sorted.begin(), sorted.end(), starts_before);
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].offset < sorted[i - 1].offset + sorted[i - 1].bytes) {
      return Error(Code::kInvalidArgument, "transaction: two ranges overlap");
    }
  }
  return out;
}

Status StoreImpl::transact(std::span<const WriteRange> ranges, const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return sync();
  PMSHELF_TRY_ASSIGN(std::vector<RedoRange> targets, resolve(ranges));
  if (targets.empty()) return sync();
  PMSHELF_TRY(room_for(0, 0, 0, request));
  PMSHELF_TRY(sync());
  PMSHELF_TRY(make_log_room());
  Redo redo;
  redo.transaction = next_sequence_;
  redo.ranges = std::move(targets);
  for (const RedoRange& range : redo.ranges) redo.image_bytes += range.bytes;
  const ShelfId shelf = (*region_entry(ranges[0].region))->shelf;
  PMSHELF_TRY_ASSIGN(const Placed image, place(*state_->catalogue.shelf(shelf), redo.image_bytes));
  const absl::Cleanup release = [&] {
    state_->space.release(shelf, image.offset, image.footprint_bytes);
  };
  redo.image_offset = image.offset;
  PMSHELF_TRY(write_image(ranges, redo));
  PMSHELF_TRY(append_alone(request, redo));
  if (request.id) state_->requests.remember(request, 0, clock_.unix_ms());
  return apply_redo(redo);
}

// REDO and REDO_DONE go into this log: a compaction between them would lose the former.
Status StoreImpl::make_log_room() {
  const uint64_t needed = record_bytes(kRedoBytesMax) + record_bytes(kOperationHeaderBytes + 8);
  if (tail_ + needed > log_.bytes) PMSHELF_TRY(write_snapshot());
  if (tail_ + needed <= log_.bytes) return {};
  return Error(Code::kNoSpace, map_.name() + ": metadata space full: erase regions");
}

Status StoreImpl::write_image(std::span<const WriteRange> ranges, Redo& redo) {
  const std::unique_ptr<XXH3_state_t, FreeDigest> digest(XXH3_createState());
  XXH3_64bits_reset(digest.get());
  uint64_t offset = redo.image_offset;
  for (const WriteRange& range : ranges) {
    PMSHELF_TRY(data_.store(offset, range.bytes));
    XXH3_64bits_update(digest.get(), range.bytes.data(), range.bytes.size());
    offset += range.bytes.size();
  }
  redo.image_digest = XXH3_64bits_digest(digest.get());
  PMSHELF_TRY(flush_data(redo.image_offset, redo.image_bytes));
  return drain_data();
}

Status StoreImpl::drain_data() {
  data_dirty_ = false;
  if (Status drained = data_.drain(); !drained.ok()) {
    return go_offline(std::move(drained).error());
  }
  return {};
}

// One operation in a record of its own. Precondition: nothing is staged, it fits the log.
template <class Op>
Status StoreImpl::append_alone(const Request& request, const Op& op) {
  PMSHELF_CHECK(pending_count_ == 0 && out_ == nullptr);
  OpBuffer record(kRecordHeaderBytes);
  append_operation(record, request, op);
  const auto op_bytes = static_cast<uint32_t>(record.size()) - kRecordHeaderBytes;
  const uint32_t bytes = record_bytes(op_bytes);
  record.resize(bytes);
  encode_record_header(
      {bytes, next_sequence_, superblocks_.current().epoch, 1, op_bytes, clock_.unix_ms(), false},
      record_crc_seed(log_.salt), record);
  if (Status written = write_record(map_, log_, tail_, record); !written.ok()) {
    return go_offline(std::move(written).error());
  }
  tail_ += bytes;
  ++next_sequence_;
  return {};
}

// After the commit point: whatever fails from here on, recovery does again.
Status StoreImpl::apply_redo(const Redo& redo) {
  uint64_t from = redo.image_offset;
  for (const RedoRange& range : redo.ranges) {
    if (Status copied = copy_range(from, range.offset, range.bytes); !copied.ok()) {
      return go_offline(std::move(copied).error());
    }
    from += range.bytes;
  }
  if (!mutant(Mutant::kRedoDoneBeforeFlush)) PMSHELF_TRY(drain_data());
  return append_alone({}, RedoDone{redo.transaction});
}

Result<uint64_t> StoreImpl::image_digest(uint64_t offset, uint64_t bytes) const {
  const std::unique_ptr<XXH3_state_t, FreeDigest> digest(XXH3_createState());
  XXH3_64bits_reset(digest.get());
  std::vector<std::byte> chunk(std::min(bytes, kDigestChunkBytes));
  for (uint64_t done = 0; done < bytes;) {
    const auto part = std::span(chunk).first(std::min<uint64_t>(chunk.size(), bytes - done));
    PMSHELF_TRY(data_.read(offset + done, part));
    XXH3_64bits_update(digest.get(), part.data(), part.size());
    done += part.size();
  }
  return XXH3_64bits_digest(digest.get());
}

// A REDO may copy only whole images, from free space, into live regions.
Status StoreImpl::check_open_redo(const Redo& redo) const {
  const Space& space = state_->space;
  if (redo.image_offset < space.begin_bytes() ||
      !range_inside(redo.image_offset, redo.image_bytes, space.end_bytes()) ||
      !space.is_free(redo.image_offset, redo.image_bytes)) {
    return Error(Code::kCorrupt, "its image lies where regions are");
  }
  std::vector<RedoRange> sorted = redo.ranges;
  std::sort(sorted.begin(), sorted.end(), starts_before);
  size_t inside = 0;
  state_->catalogue.for_each_region([&](const RegionEntry& region) {
    auto it =
        std::lower_bound(sorted.begin(), sorted.end(), RedoRange{region.offset, 0}, starts_before);
    for (; it != sorted.end() && it->offset < region.offset + region.bytes; ++it) {
      inside += range_inside(it->offset - region.offset, it->bytes, region.bytes) ? 1 : 0;
    }
  });
  if (inside != sorted.size()) return Error(Code::kCorrupt, "it writes outside of regions");
  PMSHELF_TRY_ASSIGN(const uint64_t digest, image_digest(redo.image_offset, redo.image_bytes));
  if (digest != redo.image_digest) return Error(Code::kCorrupt, "its image is damaged");
  return {};
}

}  // namespace pmshelf::store
