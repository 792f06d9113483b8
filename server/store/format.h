// Fixed structures on media: superblock, data header, record header (docs/format.md).
//
// Pure functions over byte buffers. Decoders take any bytes whatever and never abort; encoders
// write every byte of their range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/base/units.h"
#include "pmshelf/result.h"
#include "server/store/types.h"

namespace pmshelf::store {

inline constexpr uint16_t kFormatMajor = 1;
inline constexpr uint16_t kFormatMinor = 0;
inline constexpr uint32_t kEndianWord = 0x01020304;

inline constexpr uint32_t kSuperblockBytes = 4096;
inline constexpr uint64_t kSuperblockOffsets[2] = {0, 2 * kMiB};  // in different huge pages
inline constexpr uint32_t kDataHeaderBytes = 4096;
inline constexpr uint64_t kDirectoryDataBegin = kExtentBytes;  // of NAME.data; the header is below

inline constexpr uint64_t kLogAreaBegin = 4 * kMiB;
inline constexpr uint64_t kLogBytesMin = 256 * kKiB;
inline constexpr uint64_t kLogAlignmentBytes = 4096;
// Two logs of two copies: the one in use and the one that compaction writes.
inline constexpr uint64_t kMetadataBytesMin = kLogAreaBegin + 4 * kLogBytesMin;
inline constexpr uint64_t kDeviceMetadataBytesMin = 8 * kMiB;

inline constexpr uint32_t kRecordHeaderBytes = 64;
inline constexpr uint32_t kRecordAlignmentBytes = 64;
inline constexpr uint32_t kRecordBytesMax = static_cast<uint32_t>(kMiB);
inline constexpr uint32_t kRecordOpBytesMax = kRecordBytesMax - kRecordHeaderBytes;
inline constexpr uint32_t kRecordFlagSnapshot = 1;

// Identifiers, sequences, epochs and generations stay below this, so that adding one never wraps.
inline constexpr uint64_t kCounterMax = uint64_t{1} << 62;

static_assert(kSuperblockOffsets[1] + kSuperblockBytes <= kLogAreaBegin);
static_assert(kLogBytesMin % kLogAlignmentBytes == 0);
static_assert(kRecordBytesMax % kRecordAlignmentBytes == 0);

struct Uuid {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const Uuid&) const = default;
};

enum class StoreKind : uint8_t { kDirectory = 1, kDevice = 2 };

// docs/format.md, "Superblock"; fields in the order of its table.
struct Superblock {
  uint16_t minor = kFormatMinor;
  uint32_t compat = 0;
  uint32_t ro_compat = 0;
  uint32_t incompat = 0;
  bool clean = false;
  Uuid uuid;
  uint64_t generation = 0;
  uint64_t epoch = 0;
  uint64_t meta_bytes = 0;
  uint64_t data_begin = 0;
  uint64_t data_end = 0;
  uint64_t log_primary = 0;
  uint64_t log_mirror = 0;
  uint64_t log_bytes = 0;
  uint64_t log_salt = 0;
  uint64_t log_first_sequence = 0;
  uint64_t log_sealed_sequence = 0;
  uint64_t unsafe_shutdowns = 0;
  uint64_t created_unix_ms = 0;
  uint32_t flush_granularity_bytes = 0;
  uint8_t storage_class = 0;
  StoreKind kind = StoreKind::kDirectory;
  uint64_t log_first_epoch = 0;
  uint64_t next_shelf = 1;
  uint64_t next_region = 1;
  bool operator==(const Superblock&) const = default;
};

void encode_superblock(const Superblock& superblock, std::span<std::byte, kSuperblockBytes> out);
// kCorrupt: magic, CRC or a field that no pmshelf writes. kUnsupported: whole, but of another
// major, byte order, or with unknown incompat bits; the message names both versions.
Result<Superblock> decode_superblock(std::span<const std::byte, kSuperblockBytes> bytes);

void encode_data_header(const Uuid& uuid, std::span<std::byte, kDataHeaderBytes> out);
// The UUID of the store that the data file belongs to. Errors as above.
Result<Uuid> decode_data_header(std::span<const std::byte, kDataHeaderBytes> bytes);

// Length of a record that holds this many bytes of operations.
constexpr uint32_t record_bytes(uint32_t op_bytes) {
  return static_cast<uint32_t>(align_up(kRecordHeaderBytes + op_bytes, kRecordAlignmentBytes));
}

struct RecordHeader {
  uint32_t bytes = 0;  // of the whole record
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  uint32_t op_count = 0;
  uint32_t op_bytes = 0;  // before padding
  uint64_t unix_ms = 0;
  bool snapshot = false;
  bool operator==(const RecordHeader&) const = default;
};

// Where every CRC of a log's records starts from.
uint32_t record_crc_seed(uint64_t log_salt);
// Writes header and CRC into the first 64 bytes of `record`; operations and padding are in place.
// Precondition: record.size() == header.bytes == record_bytes(header.op_bytes).
void encode_record_header(const RecordHeader& header, uint32_t crc_seed,
                          std::span<std::byte> record);

// What a record at some place may look like.
struct RecordBounds {
  uint64_t sequence_min = 0, sequence_max = 0;  // inclusive
  uint64_t epoch_min = 0, epoch_max = 0;        // inclusive
};
// The length that a record says it has. Precondition: 64 bytes are there.
uint32_t record_length(std::span<const std::byte> bytes);
// The record that starts at bytes[0], or nothing when there is no valid one wholly inside `bytes`.
std::optional<RecordHeader> decode_record(std::span<const std::byte> bytes, uint32_t crc_seed,
                                          const RecordBounds& bounds);

}  // namespace pmshelf::store
