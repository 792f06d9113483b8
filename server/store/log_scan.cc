// Reading the log: which records are there, where it ends, what is torn and what is damaged.
#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "server/store/log.h"

namespace pmshelf::store {
namespace {

constexpr uint64_t kWindowBytes = 4 * kMiB;  // of each copy, read at once
static_assert(kWindowBytes >= 2 * kRecordBytesMax);

bool all_zero(std::span<const std::byte> bytes) {
  return bytes[0] == std::byte{0} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

// Length of the zeros that `bytes` begins with, in whole lines. A window ends with a whole line.
uint64_t zero_lines(std::span<const std::byte> bytes) {
  uint64_t at = 0;
  while (at + kPageBytes <= bytes.size() && all_zero(bytes.subspan(at, kPageBytes))) {
    at += kPageBytes;
  }
  while (at + kRecordAlignmentBytes <= bytes.size() &&
         all_zero(bytes.subspan(at, kRecordAlignmentBytes))) {
    at += kRecordAlignmentBytes;
  }
  return at;
}

// Reads what can be read; pages that cannot be are left as ones, which no record and no zero tail
// looks like.
void read_tolerantly(const media::Media& map, uint64_t offset, std::span<std::byte> target) {
  if (map.read(offset, target).ok()) return;
  while (!target.empty()) {
    const uint64_t page_left = kPageBytes - offset % kPageBytes;
    const auto part = target.first(std::min<uint64_t>(page_left, target.size()));
    if (!map.read(offset, part).ok()) std::memset(part.data(), 0xff, part.size());
    offset += part.size();
    target = target.subspan(part.size());
  }
}

// A window over both copies that moves forward.
class Window {
 public:
  Window(const media::Media& map, const LogPlace& place, uint64_t end)
      : map_(map), place_(place), end_(end), capacity_(std::min(kWindowBytes, end)) {
    for (auto& buffer : buffers_) buffer = std::make_unique_for_overwrite<std::byte[]>(capacity_);
  }

  // Bytes of `copy` from `position` to the window's end: at least `bytes`, or all up to the log's
  // end. Invalidates what earlier calls returned.
  std::span<const std::byte> at(int copy, uint64_t position, uint64_t bytes) {
    const uint64_t need = std::min(bytes, end_ - position);
    if (position < begin_ || position + need > begin_ + size_) load(position);
    return {buffers_[copy].get() + (position - begin_), begin_ + size_ - position};
  }
  uint64_t left(uint64_t position) const { return end_ - position; }

 private:
  void load(uint64_t position) {
    begin_ = position;
    size_ = std::min(capacity_, end_ - position);
    for (int copy = 0; copy < kLogCopies; ++copy) {
      read_tolerantly(map_, place_.offsets[copy] + position, {buffers_[copy].get(), size_});
    }
  }

  const media::Media& map_;
  const LogPlace& place_;
  const uint64_t end_;
  const uint64_t capacity_;
  std::unique_ptr<std::byte[]> buffers_[kLogCopies];
  uint64_t begin_ = 0;
  uint64_t size_ = 0;
};

class Scanner {
 public:
  Scanner(const media::Media& map, const LogPlace& place, const LogScanOptions& options,
          const RecordVisitor& visit)
      : options_(options),
        visit_(visit),
        seed_(record_crc_seed(place.salt)),
        window_(map, place, std::min(place.bytes, options.end_max)) {
    scan_.next_sequence = place.first_sequence;
    scan_.last_epoch = place.first_epoch;
  }

  Result<LogScan> run() {
    while (scan_.next_sequence < options_.sequence_end) {
      PMSHELF_TRY_ASSIGN(const bool more, take_record());
      if (!more) break;
    }
    examine_tail();
    return std::move(scan_);
  }

 private:
  // The record at `position` of one copy, when it is the next one.
  std::optional<RecordHeader> next_in(int copy) {
    const RecordBounds bounds{scan_.next_sequence, scan_.next_sequence, scan_.last_epoch,
                              options_.epoch_max};
    auto bytes = window_.at(copy, scan_.end, kRecordHeaderBytes);
    const uint32_t length = record_length(bytes);
    if (length > bytes.size() && length <= kRecordBytesMax) {
      bytes = window_.at(copy, scan_.end, length);  // it crosses the window's end
    }
    return decode_record(bytes, seed_, bounds);
  }

  Result<bool> take_record() {
    if (window_.left(scan_.end) < kRecordHeaderBytes) return false;
    const auto primary = next_in(0);
    auto mirror = std::optional<RecordHeader>();
    if (primary) {
      // Equal bytes need no second CRC.
      const auto a = window_.at(0, scan_.end, primary->bytes).first(primary->bytes);
      const auto b = window_.at(1, scan_.end, primary->bytes).first(primary->bytes);
      const bool same = std::memcmp(a.data(), b.data(), a.size()) == 0;
      mirror = same ? primary : next_in(1);
      if (mirror && !same) {
        scan_.damage = "two different records " + std::to_string(primary->sequence);
        return false;
      }
    } else {
      mirror = next_in(1);
      if (!mirror) return false;
    }
    PMSHELF_TRY(accept(primary ? *primary : *mirror, primary ? 0 : 1));
    if (!primary || !mirror) note_repair(primary ? 1 : 0, primary ? primary->bytes : mirror->bytes);
    scan_.end += primary ? primary->bytes : mirror->bytes;
    return true;
  }

  Status accept(const RecordHeader& header, int copy) {
    const auto record = window_.at(copy, scan_.end, header.bytes);
    PMSHELF_TRY(visit_(header, record.subspan(kRecordHeaderBytes, header.op_bytes),
                       scan_.end + kRecordHeaderBytes));
    ++scan_.records;
    scan_.next_sequence = header.sequence + 1;
    scan_.last_epoch = header.epoch;
    return {};
  }

  void note_repair(int copy, uint64_t bytes) {
    ++scan_.repaired_records;
    if (!scan_.repairs.empty() && scan_.repairs.back().copy == copy &&
        scan_.repairs.back().position + scan_.repairs.back().bytes == scan_.end) {
      scan_.repairs.back().bytes += bytes;
    } else {
      scan_.repairs.push_back({copy, scan_.end, bytes});
    }
  }

  // Behind the last record everything must be zero, but for one torn record.
  void examine_tail() {
    uint64_t dirty_end[kLogCopies] = {scan_.end, scan_.end};
    std::optional<uint64_t> later;  // sequence of a record found there
    for (uint64_t position = scan_.end; window_.left(position) > 0;) {
      const uint64_t zeros =
          std::min(zero_lines(window_.at(0, position, 1)), zero_lines(window_.at(1, position, 1)));
      position += zeros;
      if (zeros > 0) continue;
      for (int copy = 0; copy < kLogCopies; ++copy) {
        const auto line = window_.at(copy, position, kRecordAlignmentBytes);
        if (zero_lines(line.first(std::min<size_t>(line.size(), kRecordAlignmentBytes))) > 0) {
          continue;
        }
        dirty_end[copy] = position + kRecordAlignmentBytes;
        if (!later) later = record_at(copy, position);
      }
      position += kRecordAlignmentBytes;
    }
    for (int copy = 0; copy < kLogCopies; ++copy) {
      const uint64_t dirty = dirty_end[copy] - scan_.end;
      if (dirty > 0) scan_.torn.push_back({copy, scan_.end, dirty});
      scan_.torn_bytes = std::max(scan_.torn_bytes, dirty);
    }
    judge(later);
  }

  std::optional<uint64_t> record_at(int copy, uint64_t position) {
    const uint64_t more = window_.left(position) / kRecordAlignmentBytes;
    const RecordBounds bounds{scan_.next_sequence, scan_.next_sequence + more, scan_.last_epoch,
                              kCounterMax};
    const auto header = decode_record(window_.at(copy, position, kRecordBytesMax), seed_, bounds);
    return header ? std::optional(header->sequence) : std::nullopt;
  }

  void judge(const std::optional<uint64_t>& later) {
    if (!scan_.damage.empty()) return;
    const std::string expected = std::to_string(scan_.next_sequence);
    if (later == scan_.next_sequence) {
      scan_.damage = "record " + expected + " is not where or when it should be";
    } else if (later) {
      scan_.damage = "record " + expected + " is damaged in both copies, yet record " +
                     std::to_string(*later) + " follows";
    } else if (scan_.next_sequence <= options_.sealed_sequence) {
      scan_.damage = "record " + expected + " is damaged in both copies, yet records up to " +
                     std::to_string(options_.sealed_sequence) + " were durable";
    }
  }

  const LogScanOptions& options_;
  const RecordVisitor& visit_;
  const uint32_t seed_;
  Window window_;
  LogScan scan_;
};

}  // namespace

Result<LogScan> scan_log(const media::Media& map, const LogPlace& place,
                         const LogScanOptions& options, const RecordVisitor& visit) {
  return Scanner(map, place, options, visit).run();
}

}  // namespace pmshelf::store
