#include "server/store/superblocks.h"

#include <array>
#include <string>

#include "server/store/mutant.h"

namespace pmshelf::store {
namespace {

Result<Superblock> read_copy(const media::Media& map, int copy) {
  std::array<std::byte, kSuperblockBytes> bytes;
  PMSHELF_TRY(map.read(kSuperblockOffsets[copy], bytes));
  return decode_superblock(bytes);
}

}  // namespace

Result<Superblocks> Superblocks::read(const media::Media& map) {
  const Result<Superblock> copies[2] = {read_copy(map, 0), read_copy(map, 1)};
  for (const auto& copy : copies) {
    if (copy.code() == Code::kUnsupported) return copy.error().with_context(map.name());
  }
  if (!copies[0].ok() && !copies[1].ok()) {
    return Error(Code::kCorrupt,
                 map.name() + ": no valid superblock (first: " + copies[0].error().message() +
                     "; second: " + copies[1].error().message() +
                     "): not a store, or damaged; see `pmshelf pool check`");
  }
  Superblocks out;
  out.one_was_bad_ = !copies[0].ok() || !copies[1].ok();
  out.newer_ = !copies[0].ok() || (copies[1].ok() && copies[1]->generation > copies[0]->generation);
  out.current_ = *copies[out.newer_];
  if (out.current_.meta_bytes > map.bytes()) {
    return Error(Code::kCorrupt, map.name() + " has " + std::to_string(map.bytes()) +
                                     " bytes, its superblock says " +
                                     std::to_string(out.current_.meta_bytes) +
                                     ": it was truncated");
  }
  return out;
}

Status Superblocks::write_one(media::Media& map) {
  ++current_.generation;
  const int copy = mutant(Mutant::kSuperblockOverNewer) ? newer_ : 1 - newer_;
  std::array<std::byte, kSuperblockBytes> bytes;
  encode_superblock(current_, bytes);
  PMSHELF_TRY(map.store(kSuperblockOffsets[copy], bytes));
  PMSHELF_TRY(map.flush(kSuperblockOffsets[copy], bytes.size()));
  PMSHELF_TRY(map.drain());
  newer_ = copy;
  return {};
}

Status Superblocks::write_both(media::Media& map) {
  PMSHELF_TRY(write_one(map));
  if (mutant(Mutant::kSkipSecondSuperblock)) return {};
  return write_one(map);
}

}  // namespace pmshelf::store
