// The metadata log on media: two copies of the same records at the same positions.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/media/media.h"
#include "pmshelf/result.h"
#include "server/store/format.h"

namespace pmshelf::store {

inline constexpr int kLogCopies = 2;

// Where a log lies and how its records are told from others. Positions are relative to a copy.
struct LogPlace {
  uint64_t offsets[kLogCopies] = {0, 0};  // primary, mirror
  uint64_t bytes = 0;                     // of each copy
  uint64_t salt = 0;
  uint64_t first_sequence = 1;
  uint64_t first_epoch = 0;

  static LogPlace of(const Superblock& superblock);
};

// Stores one record in both copies, flushes and fences: durable on return. After an error its
// state is unknown. Precondition: it fits at `position`.
Status write_record(media::Media& map, const LogPlace& place, uint64_t position,
                    std::span<const std::byte> record);

struct LogRange {
  int copy = 0;
  uint64_t position = 0;
  uint64_t bytes = 0;
};

// What a scan found.
struct LogScan {
  uint64_t end = 0;  // position behind the last record
  uint64_t next_sequence = 0;
  uint64_t last_epoch = 0;
  uint64_t records = 0;
  uint64_t repaired_records = 0;
  std::vector<LogRange> repairs;  // to be rewritten from the other copy
  std::vector<LogRange> torn;     // behind the end and not zero: to be zeroed
  uint64_t torn_bytes = 0;        // in the copy that has more of them
  std::string damage;             // not empty: what lies behind `end` is lost or unreadable
};

struct LogScanOptions {
  uint64_t epoch_max = 0;              // the superblock's
  uint64_t sealed_sequence = 0;        // records up to here were durable
  uint64_t end_max = UINT64_MAX;       // ignore everything from this position on
  uint64_t sequence_end = UINT64_MAX;  // stop before this record as if it were damaged
};

// Called for each record in order, with its operations and their position in the log. An error
// stops the scan before this record.
using RecordVisitor =
    std::function<Status(const RecordHeader& header, std::span<const std::byte> operations,
                         uint64_t operations_position)>;

// Reads both copies from the start, taking each record from a copy in which it is right
// (docs/format.md, "Log"). Changes nothing. An error is the visitor's; unreadable media are
// treated as damaged bytes.
Result<LogScan> scan_log(const media::Media& map, const LogPlace& place,
                         const LogScanOptions& options, const RecordVisitor& visit);

// Rewrites ranges from the other copy, zeroes torn ones, flushes and fences.
Status repair_log(media::Media& map, const LogPlace& place, const LogScan& scan);

}  // namespace pmshelf::store
