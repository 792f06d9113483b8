// Store: format, open, close.
#include <algorithm>
#include <array>

#include "common/base/units.h"
#include "server/store/random.h"
#include "server/store/store_impl.h"

namespace pmshelf::store {
namespace {

// The two ends of the data space and the length of the metadata space of a new store.
Status lay_out(media::Media& map, media::Media& data, const FormatOptions& options,
               Superblock& out) {
  out.data_end = align_down(data.bytes(), kExtentBytes);
  const uint64_t metadata_bytes_min = kLogAreaBegin + 4 * options.log_bytes;
  if (options.device) {
    const uint64_t usual = std::max(map.bytes() / 64, kDeviceMetadataBytesMin);
    const uint64_t wanted = options.metadata_bytes != 0 ? options.metadata_bytes : usual;
    if (wanted > map.bytes()) {
      return Error(Code::kNoSpace, map.name() + ": smaller than its metadata space");
    }
    out.meta_bytes = out.data_begin = align_up(wanted, kExtentBytes);
  } else {
    if (map.bytes() < metadata_bytes_min) PMSHELF_TRY(map.resize(metadata_bytes_min));
    out.meta_bytes = map.bytes();
    out.data_begin = kDirectoryDataBegin;
  }
  if (out.meta_bytes < metadata_bytes_min) {
    return Error(Code::kNoSpace, map.name() + ": metadata space must have at least " +
                                     std::to_string(metadata_bytes_min) + " bytes");
  }
  const uint64_t least = out.data_begin + (options.device ? kExtentBytes : 0);
  if (out.data_end < least) {
    return Error(Code::kNoSpace, data.name() + ": " + std::to_string(data.bytes()) +
                                     " bytes, at least " + std::to_string(least) + " needed");
  }
  return {};
}

// On devices, where metadata space is fixed, requests may take a quarter of the largest log.
uint32_t requests_limit(const Superblock& superblock) {
  if (superblock.kind == StoreKind::kDirectory) return kRequestsKept;
  const uint64_t log_bytes = (superblock.meta_bytes - kLogAreaBegin) / 4;
  return static_cast<uint32_t>(
      std::min<uint64_t>(kRequestsKept, log_bytes / 4 / kRequestKeptBytes));
}

Status zero_flushed(media::Media& media, uint64_t offset, uint64_t bytes) {
  PMSHELF_TRY(media.zero(offset, bytes));
  return media.flush(offset, bytes);
}

Status write_data_header(media::Media& data, const Uuid& uuid) {
  std::array<std::byte, kDataHeaderBytes> header;
  encode_data_header(uuid, header);
  PMSHELF_TRY(data.store(0, header));
  PMSHELF_TRY(data.flush(0, header.size()));
  return data.drain();
}

}  // namespace

Status Store::format(media::Media& map, media::Media* data, const FormatOptions& options,
                     const Clock& clock) {
  media::Media& bytes = data == nullptr ? map : *data;
  Superblock first;
  PMSHELF_TRY(lay_out(map, bytes, options, first));
  first.uuid = {options.uuid_high, options.uuid_low};
  if (first.uuid == Uuid{}) first.uuid = {random_u64(), random_u64()};
  first.kind = options.device ? StoreKind::kDevice : StoreKind::kDirectory;
  first.log_primary = kLogAreaBegin;
  first.log_mirror = kLogAreaBegin + options.log_bytes;
  first.log_bytes = options.log_bytes;
  first.log_salt = random_u64();
  first.log_first_sequence = 1;
  first.clean = true;
  first.created_unix_ms = clock.unix_ms();
  first.flush_granularity_bytes = map.flush_granularity_bytes();
  first.storage_class = static_cast<uint8_t>(map.storage_class());
  // What was there before stops counting first.
  for (const uint64_t offset : kSuperblockOffsets) {
    PMSHELF_TRY(zero_flushed(map, offset, kSuperblockBytes));
  }
  PMSHELF_TRY(map.drain());
  PMSHELF_TRY(zero_flushed(map, kLogAreaBegin, 2 * options.log_bytes));
  if (!options.device) PMSHELF_TRY(write_data_header(bytes, first.uuid));
  PMSHELF_TRY(map.drain());
  return Superblocks(first).write_both(map);
}

Result<std::unique_ptr<Store>> Store::open(std::unique_ptr<media::Media> map,
                                           std::unique_ptr<media::Media> data,
                                           const OpenOptions& options, const Clock& clock) {
  PMSHELF_TRY_ASSIGN(Superblocks superblocks, Superblocks::read(*map));
  const bool device = superblocks.current().kind == StoreKind::kDevice;
  if (device != (data == nullptr)) {
    return Error(Code::kInvalidArgument, map->name() + (device ? ": is the store of a device"
                                                               : ": is half a store of two files"));
  }
  auto store = std::make_unique<StoreImpl>(std::move(map), std::move(data), options, clock,
                                           std::move(superblocks));
  PMSHELF_TRY(store->recover());
  return std::unique_ptr<Store>(std::move(store));
}

StoreImpl::StoreImpl(std::unique_ptr<media::Media> map, std::unique_ptr<media::Media> data,
                     const OpenOptions& options, const Clock& clock, Superblocks superblocks)
    : map_owner_(std::move(map)),
      data_owner_(std::move(data)),
      map_(*map_owner_),
      data_(data_owner_ ? *data_owner_ : *map_owner_),
      clock_(clock),
      requests_limit_(requests_limit(superblocks.current())),
      read_only_(options.read_only),
      superblocks_(std::move(superblocks)),
      log_(LogPlace::of(superblocks_.current())),
      metadata_bytes_(superblocks_.current().meta_bytes) {}

Status StoreImpl::close() {
  PMSHELF_TRY(usable());
  if (read_only_) return {};
  PMSHELF_TRY(sync());
  Superblock& next = superblocks_.next();
  next.clean = true;
  next.log_sealed_sequence = next_sequence_ - 1;
  if (Status written = superblocks_.write_both(map_); !written.ok()) {
    return go_offline(std::move(written).error());
  }
  read_only_ = true;
  return {};
}

}  // namespace pmshelf::store
