// Store: everything on media is read again and compared with what is in memory.
#include <array>

#include "common/base/units.h"
#include "server/store/store_impl.h"

namespace pmshelf::store {
namespace {

using Problems = std::vector<std::string>;

std::string describe(const State& state, const RegionEntry& region) {
  const ShelfEntry* shelf = state.catalogue.shelf(region.shelf);
  return (shelf == nullptr ? "?" : shelf->info.name) + "/" + std::string(region.name());
}

bool same(const RegionEntry& a, const RegionEntry& b) {
  return a.offset == b.offset && a.bytes == b.bytes && a.footprint_bytes == b.footprint_bytes &&
         a.shelf == b.shelf && a.modified_unix_ms == b.modified_unix_ms && a.name() == b.name() &&
         a.attribute_bytes == b.attribute_bytes && a.attribute_crc == b.attribute_crc &&
         (a.attribute_bytes == 0 || a.attribute_position == b.attribute_position);
}

// What is in memory against what the log says.
void compare(const State& memory, const State& log, Problems& problems) {
  memory.catalogue.for_each_region([&](const RegionEntry& region) {
    const RegionEntry* logged = log.catalogue.region(region.id);
    if (logged == nullptr || !same(region, *logged)) {
      problems.push_back("region " + describe(memory, region) + " is not what the log says");
    }
    if (memory.catalogue.region(region.shelf, region.name()) != &region) {
      problems.push_back("region " + describe(memory, region) + " is not found by its name");
    }
  });
  if (memory.catalogue.region_count() != log.catalogue.region_count()) {
    problems.push_back("the log has " + std::to_string(log.catalogue.region_count()) +
                       " regions, the catalogue " +
                       std::to_string(memory.catalogue.region_count()));
  }
  for (const auto& [id, shelf] : memory.catalogue.shelves()) {
    const ShelfEntry* logged = log.catalogue.shelf(id);
    if (logged == nullptr || logged->info != shelf->info ||
        logged->live_bytes != shelf->live_bytes || logged->region_count != shelf->region_count) {
      problems.push_back("shelf '" + shelf->info.name + "' is not what the log says");
    }
  }
  if (memory.catalogue.shelves().size() != log.catalogue.shelves().size()) {
    problems.push_back("the log has another number of shelves");
  }
  if (memory.catalogue.snapshot_bytes() != log.catalogue.snapshot_bytes()) {
    problems.push_back("live metadata is miscounted");
  }
  memory.requests.for_each_oldest_first([&](const RequestId& id, const RememberedRequest& kept) {
    const RememberedRequest* logged = log.requests.find(id);
    if (logged == nullptr || logged->outcome.digest != kept.outcome.digest ||
        logged->outcome.result != kept.outcome.result) {
      problems.push_back("a remembered request is not what the log says");
    }
  });
}

}  // namespace

void StoreImpl::check_superblocks(Problems& problems) const {
  bool current_seen = false;
  for (int copy = 0; copy < 2; ++copy) {
    const std::string who = copy == 0 ? "first superblock: " : "second superblock: ";
    std::array<std::byte, kSuperblockBytes> bytes;
    Status readable = map_.read(kSuperblockOffsets[copy], bytes);
    const Result<Superblock> found =
        readable.ok() ? decode_superblock(bytes) : Result<Superblock>(readable.error());
    if (!found.ok()) {
      problems.push_back(who + found.error().message());
      continue;
    }
    current_seen = current_seen || *found == superblocks_.current();
    if (found->log_primary != log_.offsets[0] || found->epoch != superblocks_.current().epoch) {
      problems.push_back(who + "is of an earlier opening or log");
    }
  }
  if (!current_seen) problems.push_back("neither superblock is the one last written");
  if (Status header = check_data_header(); !header.ok()) {
    problems.push_back(header.error().message());
  }
}

Status StoreImpl::check_log(State& scratch, CheckReport& report) {
  LogScanOptions options;
  options.epoch_max = superblocks_.current().epoch;
  const uint64_t end = out_ != nullptr ? out_->position : tail_;
  options.sealed_sequence = next_sequence_ - 1 - (out_ != nullptr ? 1 : 0);
  if (out_ != nullptr) options.end_max = end;  // the rest is being written
  Replay replay(scratch);
  const auto apply = [&](const RecordHeader& header, std::span<const std::byte> operations,
                         uint64_t position) { return replay.apply(header, operations, position); };
  PMSHELF_TRY_ASSIGN(const LogScan scan, scan_log(map_, log_, options, apply));
  report.records_checked = scan.records;
  for (const LogRange& range : scan.repairs) {
    report.problems.push_back("log copy " + std::to_string(range.copy + 1) + " is damaged at " +
                              std::to_string(range.position) + "+" + std::to_string(range.bytes));
  }
  for (const LogRange& range : scan.torn) {
    report.problems.push_back("log copy " + std::to_string(range.copy + 1) +
                              " is not zero behind its end, at " + std::to_string(range.position));
  }
  if (!scan.damage.empty()) report.problems.push_back(scan.damage);
  if (scan.end != end) report.problems.push_back("the log ends early");
  // What is staged is in memory already.
  RecordHeader header;
  header.unix_ms = clock_.unix_ms();
  if (out_ != nullptr) {
    header.op_count = out_->op_count;
    PMSHELF_TRY(apply(header, std::span(out_->record).subspan(kRecordHeaderBytes, out_->op_bytes),
                      out_->position + kRecordHeaderBytes));
  }
  if (pending_count_ > 0) {
    header.op_count = pending_count_;
    PMSHELF_TRY(
        apply(header, std::span(pending_).subspan(kRecordHeaderBytes), tail_ + kRecordHeaderBytes));
  }
  return {};
}

void StoreImpl::check_bad_blocks(CheckReport& report) const {
  const auto in_data = data_.bad_blocks();
  if (in_data.ok()) {
    state_->catalogue.for_each_region([&](const RegionEntry& region) {
      for (const media::BadBlock& bad : *in_data) {
        const uint64_t begin = std::max(bad.offset, region.offset);
        const uint64_t end = std::min(bad.offset + bad.bytes, region.offset + region.bytes);
        if (begin >= end) continue;
        report.bad_block_regions.push_back(describe(*state_, region) + ": " +
                                           std::to_string(begin - region.offset) + "+" +
                                           std::to_string(end - begin));
      }
    });
  }
  const auto in_map = map_.bad_blocks();
  if (!in_map.ok()) return;
  for (const media::BadBlock& bad : *in_map) {
    if (bad.offset >= metadata_bytes_) continue;
    report.problems.push_back("bad block in the metadata space: " + std::to_string(bad.offset) +
                              "+" + std::to_string(bad.bytes));
  }
}

Result<CheckReport> StoreImpl::check() {
  PMSHELF_TRY(usable());
  CheckReport report;
  report.space = space();
  if (!report_.damage.empty()) report.problems.push_back(report_.damage);
  check_superblocks(report.problems);
  const std::unique_ptr<State> scratch = fresh_state();
  if (Status read = check_log(*scratch, report); !read.ok()) {
    report.problems.push_back("log: " + read.error().message());
  } else {
    compare(*state_, *scratch, report.problems);
  }
  report.regions_checked = state_->catalogue.region_count();
  state_->space.verify(report.problems);
  check_space_sums(report.problems);
  check_bad_blocks(report);
  return report;
}

void StoreImpl::check_space_sums(Problems& problems) const {
  const auto expect_sum = [&](const SpaceInfo& info, const std::string& who) {
    if (info.used_bytes + info.free_bytes + info.metadata_bytes != info.capacity_bytes ||
        info.held_bytes > info.used_bytes) {
      problems.push_back("space of " + who + " does not add up");
    }
  };
  expect_sum(space(), "the store");
  for (const auto& [id, shelf] : state_->catalogue.shelves()) {
    expect_sum(space(id), "shelf '" + shelf->info.name + "'");
  }
  // Whatever is held is known to somebody.
  uint64_t waiting = 0;
  limbo_->for_each([&](const Limbo::Range& range, bool) { waiting += range.bytes; });
  for (const auto& [id, staged] : staged_) waiting += staged.footprint_bytes;
  const uint64_t held = space().held_bytes + state_->space.outside_bytes();
  if (held != waiting) {
    problems.push_back("space: " + std::to_string(held) + " bytes held, " +
                       std::to_string(waiting) + " accounted for");
  }
}

}  // namespace pmshelf::store
