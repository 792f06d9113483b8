// Store: batches on their way to the log.
#include "common/base/check.h"
#include "server/store/mutant.h"
#include "server/store/store_impl.h"

namespace pmshelf::store {
namespace {
constexpr size_t kSpareBytesMax = 64 * 1024;  // a larger buffer goes back to the allocator
}

Result<BatchPtr> StoreImpl::take_batch() {
  PMSHELF_TRY(usable());
  PMSHELF_CHECK(out_ == nullptr);
  if (pending_count_ == 0) return BatchPtr();
  BatchPtr batch(new Batch);
  const auto op_bytes = static_cast<uint32_t>(pending_op_bytes());
  const uint32_t bytes = record_bytes(op_bytes);
  if (compaction_due(bytes)) {
    PMSHELF_TRY(write_snapshot());
    batch->already_durable = true;
    return batch;
  }
  pending_.resize(bytes);
  encode_record_header({bytes, next_sequence_, superblocks_.current().epoch, pending_count_,
                        op_bytes, clock_.unix_ms(), false},
                       record_crc_seed(log_.salt), pending_);
  batch->position = tail_;
  batch->op_count = pending_count_;
  batch->op_bytes = op_bytes;
  batch->drain_data = std::exchange(data_dirty_, false);
  batch->record = std::exchange(pending_, std::exchange(spare_, OpBuffer()));
  pending_count_ = 0;
  tail_ += bytes;
  ++next_sequence_;
  ++staging_batch_;
  limbo_->batch_taken();
  out_ = batch.get();
  return batch;
}

Status StoreImpl::write_batch(Batch& batch) {
  if (batch.already_durable) return {};
  Status written;
  if (batch.drain_data && !mutant(Mutant::kSkipDataDrain)) written = data_.drain();
  if (written.ok()) written = write_record(map_, log_, batch.position, batch.record);
  if (!written.ok()) return go_offline(std::move(written).error());
  batch.written = true;
  return {};
}

void StoreImpl::finish_batch(BatchPtr batch) {
  if (!batch || batch->already_durable) return;
  PMSHELF_CHECK(out_ == batch.get());
  out_ = nullptr;
  if (!batch->written) return;  // offline
  staged_is_durable();
  if (spare_.capacity() == 0 && batch->record.capacity() <= kSpareBytesMax) {
    spare_ = std::move(batch->record);
    spare_.clear();
  }
}

// All operations of the batch that was taken last are durable.
void StoreImpl::staged_is_durable() {
  durable_batch_ = staging_batch_ - 1;
  limbo_->batch_durable();
  if (shortened_.empty()) return;
  absl::erase_if(shortened_, [&](const auto& entry) { return entry.second <= durable_batch_; });
}

}  // namespace pmshelf::store
