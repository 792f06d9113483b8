#include "server/store/log.h"

#include <algorithm>
#include <array>

#include "server/store/mutant.h"

namespace pmshelf::store {
namespace {

constexpr uint64_t kCopyChunkBytes = 1 * kMiB;

// Copies a range of one log copy over the same range of the other.
Status copy_over(media::Media& map, const LogPlace& place, const LogRange& range) {
  std::vector<std::byte> chunk(std::min(range.bytes, kCopyChunkBytes));
  for (uint64_t done = 0; done < range.bytes;) {
    const auto part = std::span(chunk).first(std::min<uint64_t>(chunk.size(), range.bytes - done));
    const uint64_t position = range.position + done;
    PMSHELF_TRY(map.read(place.offsets[1 - range.copy] + position, part));
    PMSHELF_TRY(map.store(place.offsets[range.copy] + position, part));
    done += part.size();
  }
  return map.flush(place.offsets[range.copy] + range.position, range.bytes);
}

}  // namespace

LogPlace LogPlace::of(const Superblock& superblock) {
  LogPlace place;
  place.offsets[0] = superblock.log_primary;
  place.offsets[1] = superblock.log_mirror;
  place.bytes = superblock.log_bytes;
  place.salt = superblock.log_salt;
  place.first_sequence = superblock.log_first_sequence;
  place.first_epoch = superblock.log_first_epoch;
  return place;
}

Status write_record(media::Media& map, const LogPlace& place, uint64_t position,
                    std::span<const std::byte> record) {
  const uint64_t primary = place.offsets[0] + position;
  const uint64_t mirror = place.offsets[1] + position;
  PMSHELF_TRY(map.store(primary, record));
  PMSHELF_TRY(map.store(mirror, record));
  if (!mutant(Mutant::kSkipFlushPrimary)) PMSHELF_TRY(map.flush(primary, record.size()));
  if (!mutant(Mutant::kSkipFlushMirror)) PMSHELF_TRY(map.flush(mirror, record.size()));
  if (mutant(Mutant::kSkipRecordDrain)) return {};
  return map.drain();
}

Status repair_log(media::Media& map, const LogPlace& place, const LogScan& scan) {
  for (const LogRange& range : scan.repairs) PMSHELF_TRY(copy_over(map, place, range));
  if (!mutant(Mutant::kSkipTornTailZeroing)) {
    for (const LogRange& range : scan.torn) {
      const uint64_t offset = place.offsets[range.copy] + range.position;
      PMSHELF_TRY(map.zero(offset, range.bytes));
      PMSHELF_TRY(map.flush(offset, range.bytes));
    }
  }
  if (scan.repairs.empty() && scan.torn.empty()) return {};
  return map.drain();
}

}  // namespace pmshelf::store
