// The one implementation of Store. Its parts, by file:
//   open.cc         format, open, close          recovery.cc     log to state
//   queries.cc      what is there                mutations.cc    shelves and regions
//   bytes.cc        bytes of regions             resize.cc       regions change length
//   staging.cc      reserve, publish             commit.cc       batches
//   compaction.cc   a new log                    relocation.cc   shelves grow and shrink
//   transaction.cc  in-place writes              check.cc        everything read again
//
// Order of a mutation: check all that can be refused, place and zero new bytes, queue the
// operation, change the catalogue. Nothing after queueing can fail.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/store/batch.h"
#include "server/store/limbo.h"
#include "server/store/log.h"
#include "server/store/replay.h"
#include "server/store/store.h"
#include "server/store/superblocks.h"

namespace pmshelf::store {

class SnapshotWriter;

class StoreImpl final : public Store {
 public:
  StoreImpl(std::unique_ptr<media::Media> map, std::unique_ptr<media::Media> data,
            const OpenOptions& options, const Clock& clock, Superblocks superblocks);
  // Scan, repair, replay; the superblock of this opening.
  Status recover();

  const RecoveryReport& recovery() const override { return report_; }
  media::Media& data() override { return data_; }
  bool offline() const override { return offline_.load(std::memory_order_acquire); }

  std::vector<ShelfInfo> shelves() const override;
  Result<ShelfInfo> shelf(ShelfId id) const override;
  Result<RegionInfo> find(ShelfId shelf, std::string_view name) const override;
  Result<RegionInfo> region(RegionId id) const override;
  Result<std::string> attributes(RegionId id) const override;
  void scan(ShelfId shelf, std::string_view prefix, std::string_view after, bool from_start,
            const std::function<bool(const RegionInfo&)>& visit) const override;
  SpaceInfo space(ShelfId shelf) const override;
  SpaceInfo space() const override;
  std::optional<RequestOutcome> find_request(const RequestId& id) const override;
  Result<Pin> pin(RegionId id) override;
  Pin pin_staged(StagedId id) override;

  Result<ShelfId> create_shelf(ShelfInfo info, const Request& request) override;
  Status update_shelf(const ShelfInfo& info, const Request& request) override;
  Status resize_shelf(ShelfId id, uint64_t capacity_bytes, const Request& request) override;
  Status erase_shelf(ShelfId id, const Request& request) override;
  Result<RegionId> create(ShelfId shelf, std::string_view name, uint64_t bytes,
                          std::string_view attributes, const Request& request) override;
  Status erase(RegionId id, const Request& request) override;
  Status rename(RegionId id, std::string_view new_name, bool replace,
                const Request& request) override;
  Status swap(RegionId a, RegionId b, const Request& request) override;
  Status resize(RegionId id, uint64_t bytes, const Request& request) override;
  Status set_attributes(RegionId id, std::string_view attributes, const Request& request) override;
  Result<Staged> reserve(ShelfId shelf, uint64_t bytes, bool zero) override;
  void release(StagedId id) override;
  Result<std::vector<RegionId>> publish(ShelfId shelf, std::span<const Publish> items,
                                        const Request& request) override;
  Status transact(std::span<const WriteRange> ranges, const Request& request) override;

  bool has_staged_operations() const override { return pending_count_ > 0; }
  Result<BatchPtr> take_batch() override;
  Status write_batch(Batch& batch) override;
  void finish_batch(BatchPtr batch) override;
  Status close() override;
  Result<CheckReport> check() override;
  Status compact() override;

 private:
  struct StagedRegion {
    ShelfId shelf = 0;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    uint64_t footprint_bytes = 0;
  };

  // ---- common checks (store_impl.cc)
  Status usable() const;
  Status writable() const;
  Status go_offline(Error error);
  Result<ShelfEntry*> shelf_entry(ShelfId id) const;
  Result<RegionEntry*> region_entry(RegionId id) const;
  // Result of an earlier application of this request, if any. kConflict.
  Result<std::optional<uint64_t>> applied(const Request& request) const;
  // Room in the batch for operations of `op_bytes` (without the request), and in metadata space
  // for live metadata to grow by `growth`. kResourceExhausted, kNoSpace.
  Status room_for(uint64_t op_count, uint64_t op_bytes, int64_t growth, const Request& request);
  Status check_attributes(std::string_view attributes) const;
  Status check_publish(const ShelfEntry& shelf, std::span<const Publish> items) const;

  // ---- queueing (commit.cc)
  // Appends an operation to the batch being staged, and remembers its request. Returns where in
  // the log it will be.
  template <class Op>
  uint64_t queue(const Request& request, const Op& op, uint64_t result = 0) {
    if (pending_.empty()) pending_.resize(kRecordHeaderBytes);
    const uint64_t position = tail_ + pending_.size();
    append_operation(pending_, request, op);
    ++pending_count_;
    if (request.id) state_->requests.remember(request, result, clock_.unix_ms());
    return position;
  }
  uint64_t pending_op_bytes() const {
    return pending_.empty() ? 0 : pending_.size() - kRecordHeaderBytes;
  }
  void staged_is_durable();

  // ---- bytes (bytes.cc)
  // kNoSpace names the shelf and what it has.
  Result<Placed> place(const ShelfEntry& shelf, uint64_t bytes);
  // Zeroes and flushes. A failed flush takes the store offline.
  Status zero_range(uint64_t offset, uint64_t bytes);
  Status zero_placed(const Placed& placed);
  Status copy_range(uint64_t from, uint64_t to, uint64_t bytes);
  Status flush_data(uint64_t offset, uint64_t bytes);
  Result<std::string> read_attributes(const RegionEntry& region) const;

  // ---- regions (mutations.cc, resize.cc)
  RegionId put_region(RegionPut op, const Request& request);
  void drop_region(RegionEntry& region);
  void queue_resize(RegionEntry& region, const RegionResize& op, const Request& request);
  void shrink_region(RegionEntry& region, uint64_t bytes, const Request& request);
  Result<bool> grow_in_place(RegionEntry& region, uint64_t bytes, const Request& request);
  Status move_region(RegionEntry& region, uint64_t bytes, uint64_t modified_unix_ms,
                     const Request& request);

  // ---- metadata space (compaction.cc)
  uint64_t log_bytes_max() const;  // largest log that fits beside another one like it
  Status make_metadata_room(uint64_t growth);
  bool grow_metadata(uint64_t live_bytes);
  bool compaction_due(uint64_t record_bytes) const;
  Result<LogPlace> choose_log_place() const;
  Status write_snapshot();
  Status replace_log(const LogPlace& place);
  Status fill_snapshot(SnapshotWriter& writer);
  Status snapshot_region(SnapshotWriter& writer, RegionEntry& region);

  // ---- shrinking (relocation.cc)
  Status shrink_shelf(ShelfEntry& shelf, uint64_t capacity_bytes, const Request& request);
  Status close_what_goes(ShelfEntry& shelf, uint64_t capacity_bytes);
  Status empty_what_is_closed();
  Status room_or_sync(uint64_t op_count, uint64_t op_bytes, const Request& request);
  Status grow_shelf(ShelfEntry& shelf, uint64_t capacity_bytes, const Request& request);
  void queue_capacity(ShelfEntry& shelf, uint64_t capacity_bytes, uint64_t data_end,
                      const Request& request);

  // ---- transactions (transaction.cc)
  Result<std::vector<RedoRange>> resolve(std::span<const WriteRange> ranges) const;
  Status make_log_room();
  Status write_image(std::span<const WriteRange> ranges, Redo& redo);
  Status drain_data();
  template <class Op>
  Status append_alone(const Request& request, const Op& op);
  Status apply_redo(const Redo& redo);
  Result<uint64_t> image_digest(uint64_t offset, uint64_t bytes) const;

  // ---- recovery (recovery.cc)
  Status check_data_header() const;
  Result<LogScan> replay_log(std::optional<Redo>& open_redo);
  Status check_open_redo(const Redo& redo) const;
  Status finish_recovery(const LogScan& scan, const std::optional<Redo>& open_redo);
  std::unique_ptr<State> fresh_state() const;

  // ---- check (check.cc)
  void check_superblocks(std::vector<std::string>& problems) const;
  Status check_log(State& scratch, CheckReport& report);
  void check_bad_blocks(CheckReport& report) const;
  void check_space_sums(std::vector<std::string>& problems) const;

  const std::unique_ptr<media::Media> map_owner_;
  const std::unique_ptr<media::Media> data_owner_;  // null on devices
  media::Media& map_;
  media::Media& data_;
  const Clock& clock_;
  const uint32_t requests_limit_;
  bool read_only_;
  RecoveryReport report_;
  Superblocks superblocks_;
  LogPlace log_;
  uint64_t metadata_bytes_;  // may have grown since the superblock was written

  std::unique_ptr<State> state_;
  std::unique_ptr<Limbo> limbo_;
  absl::flat_hash_map<StagedId, StagedRegion> staged_;
  StagedId next_staged_ = 1;
  // Regions that an operation not yet durable made shorter: the bytes beyond must survive a crash.
  absl::flat_hash_map<RegionId, uint64_t> shortened_;  // -> number of that batch

  OpBuffer pending_;  // room for a record header, then the queued operations; or empty
  uint32_t pending_count_ = 0;
  OpBuffer spare_;     // a used buffer, for the next batch
  uint64_t tail_ = 0;  // position of the next record
  uint64_t next_sequence_ = 1;
  const Batch* out_ = nullptr;  // the batch that is being written
  uint64_t staging_batch_ = 1;  // number of the batch now being staged
  uint64_t durable_batch_ = 0;
  bool data_dirty_ = false;  // bytes flushed to data_ since its last drain
  std::atomic<bool> offline_{false};
};

}  // namespace pmshelf::store
