#include "server/store/format.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/endian.h"
#include "server/store/mutant.h"

namespace pmshelf::store {
namespace {

// Byte tables: where each field of docs/format.md lies.
namespace sb {
enum Offset : uint32_t {
  kMagic = 0,
  kEndian = 8,
  kMajor = 12,
  kMinor = 14,
  kCompat = 16,
  kRoCompat = 20,
  kIncompat = 24,
  kFlags = 28,
  kUuidHigh = 32,
  kUuidLow = 40,
  kGeneration = 48,
  kEpoch = 56,
  kMetaBytes = 64,
  kDataBegin = 72,
  kDataEnd = 80,
  kLogPrimary = 88,
  kLogMirror = 96,
  kLogBytes = 104,
  kLogSalt = 112,
  kLogFirstSequence = 120,
  kLogSealedSequence = 128,
  kUnsafeShutdowns = 136,
  kCreated = 144,
  kGranularity = 152,
  kClass = 156,
  kKind = 157,
  kReservedSmall = 158,
  kLogFirstEpoch = 160,
  kNextShelf = 168,
  kNextRegion = 176,
  kReserved = 184,
  kCrc = 4092,
};
static_assert(kCrc + 4 == kSuperblockBytes);
}  // namespace sb

namespace dh {
enum Offset : uint32_t {
  kMagic = 0,
  kEndian = 8,
  kMajor = 12,
  kMinor = 14,
  kUuidHigh = 16,
  kUuidLow = 24,
  kReserved = 32,
  kCrc = 4092,
};
static_assert(kCrc + 4 == kDataHeaderBytes);
}  // namespace dh

namespace rec {
enum Offset : uint32_t {
  kCrc = 0,
  kBytes = 4,
  kSequence = 8,
  kEpoch = 16,
  kOpCount = 24,
  kOpBytes = 28,
  kUnixMs = 32,
  kFlags = 40,
  kReserved = 44,
};
static_assert(kReserved + 20 == kRecordHeaderBytes);
}  // namespace rec

constexpr char kSuperblockMagic[8] = {'P', 'M', 'S', 'H', 'E', 'L', 'F', '1'};
constexpr char kDataMagic[8] = {'P', 'M', 'S', 'H', 'D', 'A', 'T', 'A'};
constexpr uint32_t kFlagClean = 1;

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

Error corrupt(const std::string& what) { return Error(Code::kCorrupt, what); }

// What superblock and data header have in common: magic, byte order, CRC, major.
Status check_block(std::span<const std::byte, 4096> bytes, const char (&magic)[8],
                   const std::string& what) {
  if (std::memcmp(bytes.data(), magic, sizeof magic) != 0) return corrupt(what + ": no magic");
  if (load_le<uint32_t>(&bytes[4092]) != crc32c(bytes.first(4092))) {
    return corrupt(what + ": wrong CRC");
  }
  if (const auto endian = load_le<uint32_t>(&bytes[8]); endian != kEndianWord) {
    return Error(Code::kUnsupported, what + ": made on a host with another byte order");
  }
  if (const auto major = load_le<uint16_t>(&bytes[12]); major != kFormatMajor) {
    return Error(Code::kUnsupported, what + ": format version " + std::to_string(major) +
                                         ", this program knows version " +
                                         std::to_string(kFormatMajor));
  }
  return {};
}

// Fields that a whole superblock of this version can only hold by a bug or by malice.
Status check_fields(const Superblock& s) {
  const auto absurd = [](const char* field) {
    return corrupt(std::string("superblock: absurd ") + field);
  };
  const uint64_t counters[] = {s.generation,          s.epoch,           s.log_first_sequence,
                               s.log_sealed_sequence, s.log_first_epoch, s.next_region,
                               s.unsafe_shutdowns};
  for (const uint64_t counter : counters) {
    if (counter >= kCounterMax) return absurd("counter");
  }
  if (s.next_shelf == 0 || s.next_shelf > UINT32_MAX || s.next_region == 0) {
    return absurd("next id");
  }
  if (s.log_first_sequence == 0 || s.log_sealed_sequence + 1 < s.log_first_sequence) {
    return absurd("sequence");
  }
  if (s.log_first_epoch > s.epoch) return absurd("epoch");
  const bool log_aligned = s.log_primary % kLogAlignmentBytes == 0 &&
                           s.log_mirror % kLogAlignmentBytes == 0 &&
                           s.log_bytes % kLogAlignmentBytes == 0 && s.log_bytes > 0;
  if (!log_aligned || s.log_primary < kLogAreaBegin || s.log_mirror < kLogAreaBegin ||
      !range_inside(s.log_primary, s.log_bytes, s.meta_bytes) ||
      !range_inside(s.log_mirror, s.log_bytes, s.meta_bytes)) {
    return absurd("log place");
  }
  const uint64_t apart =
      s.log_primary > s.log_mirror ? s.log_primary - s.log_mirror : s.log_mirror - s.log_primary;
  if (apart < s.log_bytes) return absurd("log place: the copies overlap");
  if (s.data_begin % kExtentBytes != 0 || s.data_end % kExtentBytes != 0 || s.data_begin == 0 ||
      s.data_begin > s.data_end) {
    return absurd("data space");
  }
  if (s.kind != StoreKind::kDirectory && s.kind != StoreKind::kDevice) return absurd("kind");
  if (s.kind == StoreKind::kDevice && s.data_begin < s.meta_bytes) return absurd("data_begin");
  return {};
}

}  // namespace

void encode_superblock(const Superblock& s, std::span<std::byte, kSuperblockBytes> out) {
  std::memset(out.data(), 0, out.size());
  std::memcpy(&out[sb::kMagic], kSuperblockMagic, sizeof kSuperblockMagic);
  store_le<uint32_t>(&out[sb::kEndian], kEndianWord);
  store_le<uint16_t>(&out[sb::kMajor], kFormatMajor);
  store_le<uint16_t>(&out[sb::kMinor], s.minor);
  store_le<uint32_t>(&out[sb::kCompat], s.compat);
  store_le<uint32_t>(&out[sb::kRoCompat], s.ro_compat);
  store_le<uint32_t>(&out[sb::kIncompat], s.incompat);
  store_le<uint32_t>(&out[sb::kFlags], s.clean ? kFlagClean : 0);
  store_le<uint64_t>(&out[sb::kUuidHigh], s.uuid.high);
  store_le<uint64_t>(&out[sb::kUuidLow], s.uuid.low);
  store_le<uint64_t>(&out[sb::kGeneration], s.generation);
  store_le<uint64_t>(&out[sb::kEpoch], s.epoch);
  store_le<uint64_t>(&out[sb::kMetaBytes], s.meta_bytes);
  store_le<uint64_t>(&out[sb::kDataBegin], s.data_begin);
  store_le<uint64_t>(&out[sb::kDataEnd], s.data_end);
  store_le<uint64_t>(&out[sb::kLogPrimary], s.log_primary);
  store_le<uint64_t>(&out[sb::kLogMirror], s.log_mirror);
  store_le<uint64_t>(&out[sb::kLogBytes], s.log_bytes);
  store_le<uint64_t>(&out[sb::kLogSalt], s.log_salt);
  store_le<uint64_t>(&out[sb::kLogFirstSequence], s.log_first_sequence);
  store_le<uint64_t>(&out[sb::kLogSealedSequence], s.log_sealed_sequence);
  store_le<uint64_t>(&out[sb::kUnsafeShutdowns], s.unsafe_shutdowns);
  store_le<uint64_t>(&out[sb::kCreated], s.created_unix_ms);
  store_le<uint32_t>(&out[sb::kGranularity], s.flush_granularity_bytes);
  store_le<uint8_t>(&out[sb::kClass], s.storage_class);
  store_le<uint8_t>(&out[sb::kKind], static_cast<uint8_t>(s.kind));
  store_le<uint64_t>(&out[sb::kLogFirstEpoch], s.log_first_epoch);
  store_le<uint64_t>(&out[sb::kNextShelf], s.next_shelf);
  store_le<uint64_t>(&out[sb::kNextRegion], s.next_region);
  store_le<uint32_t>(&out[sb::kCrc], crc32c(out.first(sb::kCrc)));
}

Result<Superblock> decode_superblock(std::span<const std::byte, kSuperblockBytes> in) {
  PMSHELF_TRY(check_block(in, kSuperblockMagic, "superblock"));
  Superblock s;
  s.minor = load_le<uint16_t>(&in[sb::kMinor]);
  s.compat = load_le<uint32_t>(&in[sb::kCompat]);
  s.ro_compat = load_le<uint32_t>(&in[sb::kRoCompat]);
  s.incompat = load_le<uint32_t>(&in[sb::kIncompat]);
  if (s.incompat != 0) {
    return Error(Code::kUnsupported, "superblock: format version 1." + std::to_string(s.minor) +
                                         " with incompat bits " + std::to_string(s.incompat) +
                                         ", this program knows version 1.0 and no such bits");
  }
  const auto flags = load_le<uint32_t>(&in[sb::kFlags]);
  s.clean = (flags & kFlagClean) != 0;
  s.uuid = {load_le<uint64_t>(&in[sb::kUuidHigh]), load_le<uint64_t>(&in[sb::kUuidLow])};
  s.generation = load_le<uint64_t>(&in[sb::kGeneration]);
  s.epoch = load_le<uint64_t>(&in[sb::kEpoch]);
  s.meta_bytes = load_le<uint64_t>(&in[sb::kMetaBytes]);
  s.data_begin = load_le<uint64_t>(&in[sb::kDataBegin]);
  s.data_end = load_le<uint64_t>(&in[sb::kDataEnd]);
  s.log_primary = load_le<uint64_t>(&in[sb::kLogPrimary]);
  s.log_mirror = load_le<uint64_t>(&in[sb::kLogMirror]);
  s.log_bytes = load_le<uint64_t>(&in[sb::kLogBytes]);
  s.log_salt = load_le<uint64_t>(&in[sb::kLogSalt]);
  s.log_first_sequence = load_le<uint64_t>(&in[sb::kLogFirstSequence]);
  s.log_sealed_sequence = load_le<uint64_t>(&in[sb::kLogSealedSequence]);
  s.unsafe_shutdowns = load_le<uint64_t>(&in[sb::kUnsafeShutdowns]);
  s.created_unix_ms = load_le<uint64_t>(&in[sb::kCreated]);
  s.flush_granularity_bytes = load_le<uint32_t>(&in[sb::kGranularity]);
  s.storage_class = load_le<uint8_t>(&in[sb::kClass]);
  s.kind = static_cast<StoreKind>(load_le<uint8_t>(&in[sb::kKind]));
  s.log_first_epoch = load_le<uint64_t>(&in[sb::kLogFirstEpoch]);
  s.next_shelf = load_le<uint64_t>(&in[sb::kNextShelf]);
  s.next_region = load_le<uint64_t>(&in[sb::kNextRegion]);
  if ((flags & ~kFlagClean) != 0 || !all_zero(in.subspan(sb::kReservedSmall, 2)) ||
      !all_zero(in.subspan(sb::kReserved, sb::kCrc - sb::kReserved))) {
    return corrupt("superblock: reserved bytes are not zero");
  }
  PMSHELF_TRY(check_fields(s));
  return s;
}

void encode_data_header(const Uuid& uuid, std::span<std::byte, kDataHeaderBytes> out) {
  std::memset(out.data(), 0, out.size());
  std::memcpy(&out[dh::kMagic], kDataMagic, sizeof kDataMagic);
  store_le<uint32_t>(&out[dh::kEndian], kEndianWord);
  store_le<uint16_t>(&out[dh::kMajor], kFormatMajor);
  store_le<uint16_t>(&out[dh::kMinor], kFormatMinor);
  store_le<uint64_t>(&out[dh::kUuidHigh], uuid.high);
  store_le<uint64_t>(&out[dh::kUuidLow], uuid.low);
  store_le<uint32_t>(&out[dh::kCrc], crc32c(out.first(dh::kCrc)));
}

Result<Uuid> decode_data_header(std::span<const std::byte, kDataHeaderBytes> in) {
  PMSHELF_TRY(check_block(in, kDataMagic, "data header"));
  if (!all_zero(in.subspan(dh::kReserved, dh::kCrc - dh::kReserved))) {
    return corrupt("data header: reserved bytes are not zero");
  }
  return Uuid{load_le<uint64_t>(&in[dh::kUuidHigh]), load_le<uint64_t>(&in[dh::kUuidLow])};
}

uint32_t record_crc_seed(uint64_t log_salt) {
  std::byte salt[8];
  store_le<uint64_t>(salt, log_salt);
  return crc32c(salt);
}

void encode_record_header(const RecordHeader& header, uint32_t crc_seed,
                          std::span<std::byte> record) {
  PMSHELF_CHECK(record.size() == header.bytes && header.bytes == record_bytes(header.op_bytes) &&
                header.bytes <= kRecordBytesMax);
  std::byte* out = record.data();
  std::memset(out, 0, kRecordHeaderBytes);
  store_le<uint32_t>(out + rec::kBytes, header.bytes);
  store_le<uint64_t>(out + rec::kSequence, header.sequence);
  store_le<uint64_t>(out + rec::kEpoch, header.epoch);
  store_le<uint32_t>(out + rec::kOpCount, header.op_count);
  store_le<uint32_t>(out + rec::kOpBytes, header.op_bytes);
  store_le<uint64_t>(out + rec::kUnixMs, header.unix_ms);
  store_le<uint32_t>(out + rec::kFlags, header.snapshot ? kRecordFlagSnapshot : 0);
  store_le<uint32_t>(out + rec::kCrc, crc32c(record.subspan(rec::kBytes), crc_seed));
}

uint32_t record_length(std::span<const std::byte> bytes) {
  return load_le<uint32_t>(bytes.data() + rec::kBytes);
}

std::optional<RecordHeader> decode_record(std::span<const std::byte> bytes, uint32_t crc_seed,
                                          const RecordBounds& bounds) {
  if (bytes.size() < kRecordHeaderBytes) return std::nullopt;
  const std::byte* in = bytes.data();
  RecordHeader header;
  header.bytes = load_le<uint32_t>(in + rec::kBytes);
  if (header.bytes > std::min<uint64_t>(bytes.size(), kRecordBytesMax)) return std::nullopt;
  header.op_bytes = load_le<uint32_t>(in + rec::kOpBytes);
  if (header.op_bytes > kRecordOpBytesMax || header.bytes != record_bytes(header.op_bytes)) {
    return std::nullopt;
  }
  header.sequence = load_le<uint64_t>(in + rec::kSequence);
  if (!mutant(Mutant::kIgnoreSequence) &&
      (header.sequence < bounds.sequence_min || header.sequence > bounds.sequence_max)) {
    return std::nullopt;
  }
  header.epoch = load_le<uint64_t>(in + rec::kEpoch);
  if (header.epoch < bounds.epoch_min || header.epoch > bounds.epoch_max) return std::nullopt;
  header.op_count = load_le<uint32_t>(in + rec::kOpCount);
  if (header.op_count == 0 || header.op_count > kBatchOpsMax) return std::nullopt;
  const auto flags = load_le<uint32_t>(in + rec::kFlags);
  if ((flags & ~kRecordFlagSnapshot) != 0) return std::nullopt;
  if (!all_zero(bytes.subspan(rec::kReserved, kRecordHeaderBytes - rec::kReserved))) {
    return std::nullopt;
  }
  header.snapshot = flags != 0;
  header.unix_ms = load_le<uint64_t>(in + rec::kUnixMs);
  const auto covered = bytes.subspan(rec::kBytes, header.bytes - rec::kBytes);
  if (!mutant(Mutant::kIgnoreRecordCrc) &&
      load_le<uint32_t>(in + rec::kCrc) != crc32c(covered, crc_seed)) {
    return std::nullopt;
  }
  return header;
}

}  // namespace pmshelf::store
