// A whole store whose log holds any bytes whatever: opening it gives an error, or a store that
// reads sensibly; one that may be written is sound, and opens again the same.
//
// Input: a list of records, each a u16 length and that many bytes of operations, which get a right
// header and CRC (otherwise nothing would be replayed); a length with bit 15 set is put into the
// log as raw bytes instead. Bit 14: into the first copy only.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <vector>

#include "common/base/clock.h"
#include "common/base/endian.h"
#include "common/media/recording_media.h"
#include "server/store/format.h"
#include "server/store/operations.h"
#include "server/store/store.h"

using namespace pmshelf;
using namespace pmshelf::store;

namespace {

constexpr uint64_t kDataBytes = 8 * kExtentBytes;
constexpr uint64_t kSalt = 42;

void must(bool holds, const char* what) {
  if (holds) return;
  std::cerr << what << '\n';
  std::abort();
}

Superblock superblock() {
  Superblock s;
  s.generation = 1;
  s.epoch = 1;
  s.meta_bytes = kMetadataBytesMin;
  s.data_begin = kDirectoryDataBegin;
  s.data_end = kDataBytes;
  s.log_primary = kLogAreaBegin;
  s.log_mirror = kLogAreaBegin + kLogBytesMin;
  s.log_bytes = kLogBytesMin;
  s.log_salt = kSalt;
  s.log_first_sequence = 1;
  s.next_shelf = 2;
  s.next_region = 4;
  return s;
}

class Image {
 public:
  Image()
      : map_(media::make_memory_media(std::vector<std::byte>(kMetadataBytesMin))),
        data_(media::make_memory_media(std::vector<std::byte>(kDataBytes))) {
    std::array<std::byte, kSuperblockBytes> block;
    encode_superblock(superblock(), block);
    for (const uint64_t offset : kSuperblockOffsets) must(map_->store(offset, block).ok(), "store");
    encode_data_header({}, block);
    must(data_->store(0, block).ok(), "store");
  }

  // Returns false when the log is full.
  bool add(uint16_t length, std::span<const std::byte> bytes) {
    const bool raw = (length & 0x8000) != 0, one_copy = (length & 0x4000) != 0;
    std::vector<std::byte> record(raw ? 0 : kRecordHeaderBytes);
    record.insert(record.end(), bytes.begin(), bytes.end());
    if (!raw) {
      RecordHeader header;
      header.op_bytes = static_cast<uint32_t>(bytes.size());
      header.bytes = record_bytes(header.op_bytes);
      header.sequence = sequence_++;
      header.epoch = 1;
      header.snapshot = header.sequence == 1;
      header.op_count = std::max(1u, count_operations(bytes));
      record.resize(header.bytes);
      encode_record_header(header, record_crc_seed(kSalt), record);
    }
    record.resize(align_up(record.size(), kRecordAlignmentBytes));
    if (end_ + record.size() > kLogBytesMin) return false;
    for (int copy = 0; copy < (one_copy ? 1 : 2); ++copy) {
      must(map_->store(kLogAreaBegin + copy * kLogBytesMin + end_, record).ok(), "store");
    }
    end_ += record.size();
    return true;
  }

  std::unique_ptr<Store> open(const Clock& clock) {
    auto opened = Store::open(copy_of(*map_), copy_of(*data_), {}, clock);
    if (!opened.ok()) {
      must(opened.code() == Code::kCorrupt || opened.code() == Code::kUnsupported, "error code");
      return nullptr;
    }
    return *std::move(opened);
  }

 private:
  static uint32_t count_operations(std::span<const std::byte> bytes) {
    uint32_t count = 0;
    while (!bytes.empty()) {
      uint32_t length = 0;
      if (!decode_operation(bytes, length).ok()) break;
      bytes = bytes.subspan(length);
      ++count;
    }
    return std::min(count, kBatchOpsMax);
  }
  static std::unique_ptr<media::Media> copy_of(const media::Media& media) {
    std::vector<std::byte> bytes(media.bytes());
    must(media.read(0, bytes).ok(), "read");
    return media::make_memory_media(std::move(bytes));
  }

  std::unique_ptr<media::Media> map_, data_;
  uint64_t sequence_ = 1;
  uint64_t end_ = 0;
};

void use(Store& store) {
  for (const ShelfInfo& shelf : store.shelves()) {
    store.scan(shelf.id, "", "", true, [&](const RegionInfo& region) {
      must(region.offset + region.footprint_bytes <= kDataBytes, "region outside");
      must(region.bytes <= region.footprint_bytes, "region larger than its footprint");
      must(store.attributes(region.id).ok(), "attributes");
      return true;
    });
    const SpaceInfo space = store.space(shelf.id);
    must(space.used_bytes + space.free_bytes + space.metadata_bytes == space.capacity_bytes,
         "space");
  }
  const auto report = store.check();
  must(report.ok(), "check");
  if (store.recovery().read_only) return;
  for (const std::string& problem : report->problems) std::cerr << problem << '\n';
  must(report->problems.empty(), "not sound");
  must(store.compact().ok(), "compact");
  must(store.check()->problems.empty(), "not sound after compaction");
  must(store.close().ok(), "close");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ManualClock clock;
  Image image;
  auto rest = std::as_bytes(std::span(data, size));
  while (rest.size() >= 2) {
    const auto length = load_le<uint16_t>(rest.data());
    rest = rest.subspan(2);
    const size_t bytes = std::min<size_t>(length & 0x3fff, rest.size());
    if (!image.add(length, rest.first(bytes))) break;
    rest = rest.subspan(bytes);
  }
  if (const auto store = image.open(clock)) use(*store);
  return 0;
}
