// Store: from what is on media to a state that can be used.
//
//   1. superblock and data header (open.cc, here)   nothing is changed
//   2. scan of both log copies, replay               nothing is changed
//   3. an open REDO is checked                       nothing is changed
//   4. copies repaired, torn tail zeroed, fence      unless read-only or damaged
//   5. the open REDO applied again, REDO_DONE
//   6. both superblocks: next epoch, not clean
//
// A crash anywhere leaves what the next recovery can start from, with the same outcome.
#include <algorithm>
#include <array>
#include <chrono>

#include "server/store/store_impl.h"

namespace pmshelf::store {
namespace {

uint64_t now_us() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

Status StoreImpl::recover() {
  const uint64_t begin_us = now_us();
  const Superblock& superblock = superblocks_.current();
  report_.was_clean = superblock.clean;
  report_.unsafe_shutdowns = superblock.unsafe_shutdowns + (superblock.clean ? 0 : 1);
  report_.superblock_was_bad = superblocks_.one_was_bad();
  PMSHELF_TRY(check_data_header());
  if (superblock.ro_compat != 0) {
    report_.damage = "made by a newer version: ro_compat bits " +
                     std::to_string(superblock.ro_compat) + " are unknown to this one";
  }
  std::optional<Redo> open_redo;
  PMSHELF_TRY_ASSIGN(const LogScan scan, replay_log(open_redo));
  report_.records_replayed = scan.records;
  report_.records_repaired = scan.repaired_records;
  report_.torn_bytes_dropped = scan.torn_bytes;
  if (!scan.damage.empty()) report_.damage = scan.damage;
  if (!report_.damage.empty()) read_only_ = true;
  tail_ = scan.end;
  next_sequence_ = scan.next_sequence;
  limbo_ = std::make_unique<Limbo>(state_->space);
  if (data_.can_discard() && !read_only_) {
    state_->space.on_extents_free = [this](uint64_t offset, uint64_t bytes) {
      static_cast<void>(data_.discard(offset, bytes));  // only gives space back: may fail
    };
  }
  PMSHELF_TRY(finish_recovery(scan, open_redo));
  report_.read_only = read_only_;
  report_.elapsed_us = now_us() - begin_us;
  return {};
}

Status StoreImpl::check_data_header() const {
  if (superblocks_.current().kind == StoreKind::kDevice) return {};
  std::array<std::byte, kDataHeaderBytes> bytes;
  if (data_.bytes() < bytes.size()) {
    return Error(Code::kCorrupt, data_.name() + " has " + std::to_string(data_.bytes()) +
                                     " bytes: it was truncated");
  }
  PMSHELF_TRY(data_.read(0, bytes));
  const Result<Uuid> uuid = decode_data_header(bytes);
  if (!uuid.ok()) return uuid.error().with_context(data_.name());
  if (*uuid == superblocks_.current().uuid) return {};
  return Error(Code::kCorrupt, data_.name() + " belongs to another store than " + map_.name() +
                                   ": their UUIDs differ");
}

std::unique_ptr<State> StoreImpl::fresh_state() const {
  const Superblock& superblock = superblocks_.current();
  auto state = std::make_unique<State>(superblock.data_begin, superblock.data_end);
  state->next_shelf = superblock.next_shelf;
  state->next_region = superblock.next_region;
  state->requests.set_limit(requests_limit_);
  return state;
}

// A record whose operations make no sense counts as damaged: the log is replayed again up to it.
Result<LogScan> StoreImpl::replay_log(std::optional<Redo>& open_redo) {
  LogScanOptions options;
  options.epoch_max = superblocks_.current().epoch;
  options.sealed_sequence = superblocks_.current().log_sealed_sequence;
  std::string nonsense;
  while (true) {
    state_ = fresh_state();
    Replay replay(*state_);
    uint64_t reached = log_.first_sequence;
    auto scan = scan_log(
        map_, log_, options,
        [&](const RecordHeader& header, std::span<const std::byte> operations, uint64_t position) {
          reached = header.sequence;
          return replay.apply(header, operations, position);
        });
    if (!scan.ok() && options.sequence_end == UINT64_MAX) {
      nonsense = "record " + std::to_string(reached) + ": " + scan.error().message();
      options.sequence_end = reached;
      continue;
    }
    PMSHELF_TRY_ASSIGN(LogScan done, std::move(scan));
    if (!nonsense.empty()) done.damage = nonsense;
    open_redo = replay.open_redo();
    return done;
  }
}

Status StoreImpl::finish_recovery(const LogScan& scan, const std::optional<Redo>& open_redo) {
  if (state_->space.end_bytes() > data_.bytes()) {
    return Error(Code::kCorrupt, data_.name() + " has " + std::to_string(data_.bytes()) +
                                     " bytes, its store needs " +
                                     std::to_string(state_->space.end_bytes()) +
                                     ": it was truncated");
  }
  if (open_redo && report_.damage.empty()) {
    if (read_only_) {
      return Error(Code::kReadOnly, map_.name() +
                                        ": a transaction has to be finished first: open it once "
                                        "for writing");
    }
    if (Status valid = check_open_redo(*open_redo); !valid.ok()) {
      report_.damage =
          "transaction " + std::to_string(open_redo->transaction) + ": " + valid.error().message();
      read_only_ = true;
    }
  }
  if (open_redo && !report_.damage.empty()) {
    report_.damage += "; a transaction may be half applied";
  }
  if (read_only_) return {};
  PMSHELF_TRY(repair_log(map_, log_, scan));
  if (open_redo) {
    PMSHELF_TRY(apply_redo(*open_redo));
    ++report_.transactions_reapplied;
  }
  Superblock& next = superblocks_.next();
  ++next.epoch;
  next.clean = false;
  next.unsafe_shutdowns = report_.unsafe_shutdowns;
  next.log_sealed_sequence = next_sequence_ - 1;
  return superblocks_.write_both(map_);
}

}  // namespace pmshelf::store
