#include "tests/crash/damage.h"

#include <cstring>
#include <functional>
#include <vector>

#include "common/base/clock.h"
#include "common/base/endian.h"
#include "common/base/units.h"
#include "server/store/format.h"
#include "server/store/store.h"
#include "tests/crash/scratch.h"

namespace pmshelf::crash {
namespace {

constexpr uint64_t kLogBytes = 16 * kKiB;

// A small store at rest, and its log taken apart.
struct Specimen {
  Images images{std::vector<std::byte>(4 * kMiB + 4 * kLogBytes), std::vector<std::byte>(6 * kMiB)};
  store::Superblock superblock;
  std::vector<std::pair<uint64_t, store::RecordHeader>> records;  // position in the log

  std::byte* log(int copy) {
    return images[0].data() + (copy == 0 ? superblock.log_primary : superblock.log_mirror);
  }
  uint32_t seed() const { return store::record_crc_seed(superblock.log_salt); }
};

void take_apart(Specimen& specimen) {
  for (const uint64_t offset : store::kSuperblockOffsets) {
    const std::span<const std::byte, store::kSuperblockBytes> bytes(
        specimen.images[0].data() + offset, store::kSuperblockBytes);
    const auto decoded = store::decode_superblock(bytes);
    if (decoded.ok() && decoded->generation > specimen.superblock.generation) {
      specimen.superblock = *decoded;
    }
  }
  uint64_t position = 0;
  while (true) {
    const store::RecordBounds any{0, store::kCounterMax, 0, store::kCounterMax};
    const auto header =
        store::decode_record({specimen.log(0) + position, specimen.superblock.log_bytes - position},
                             specimen.seed(), any);
    if (!header) return;
    specimen.records.emplace_back(position, *header);
    position += header->bytes;
  }
}

// A shelf, then one region of a page to a record.
Status make(Specimen& specimen, const Clock& clock) {
  Scratch scratch(specimen.images);
  auto map = scratch.media(0);
  auto data = scratch.media(1);
  store::FormatOptions format;
  format.log_bytes = kLogBytes;
  PMSHELF_TRY(store::Store::format(*map, data.get(), format, clock));
  {
    PMSHELF_TRY_ASSIGN(auto store, store::Store::open(std::move(map), std::move(data), {}, clock));
    store::ShelfInfo info;
    info.name = "s";
    info.owner = "unix:test";
    info.capacity_bytes = 4 * kMiB;
    PMSHELF_TRY_ASSIGN(const store::ShelfId shelf, store->create_shelf(info, {}));
    PMSHELF_TRY(store->sync());
    for (const char* name : {"a", "b", "c"}) {
      PMSHELF_TRY(store->create(shelf, name, 4096, "", {}));
      PMSHELF_TRY(store->sync());
    }
    PMSHELF_TRY(store->close());
  }
  specimen.images = scratch.copy();
  take_apart(specimen);
  return {};
}

// Both copies hold the changed record, with a right CRC again.
void rewrite(Specimen& specimen, size_t at, const std::function<void(std::byte* record)>& change,
             const std::function<void(store::RecordHeader&)>& change_header) {
  const auto [position, found] = specimen.records[at];
  store::RecordHeader header = found;
  change_header(header);
  for (int copy = 0; copy < 2; ++copy) {
    std::byte* record = specimen.log(copy) + position;
    change(record);
    store::encode_record_header(header, specimen.seed(), {record, header.bytes});
  }
}

// True when the store opens for writing as if nothing were wrong.
bool served(Specimen& specimen, const Clock& clock) {
  Scratch scratch(specimen.images);
  auto opened = store::Store::open(scratch.media(0), scratch.media(1), {}, clock);
  return opened.ok() && !(*opened)->recovery().read_only;
}

}  // namespace

std::optional<std::string> find_served_damage() {
  const ManualClock clock;
  const auto keep = [](auto&&) {};
  struct Damage {
    const char* what;
    std::function<void(Specimen&)> inflict;
  };
  // Places of the region's offset and bytes in its record: headers of record and operation, then
  // the field.
  constexpr size_t kOffsetField = store::kRecordHeaderBytes + 8 + 16;
  constexpr size_t kBytesField = kOffsetField + 8;
  const Damage damages[] = {
      {"a record with another sequence",
       [&](Specimen& specimen) {
         rewrite(specimen, 2, keep, [](store::RecordHeader& header) { header.sequence += 5; });
       }},
      {"a region one page beyond the end of the data space",
       [&](Specimen& specimen) {
         const uint64_t end = specimen.superblock.data_end;
         rewrite(
             specimen, 3,
             [&](std::byte* record) { store_le<uint64_t>(record + kOffsetField, end); }, keep);
       }},
      {"a region one byte longer than its footprint",
       [&](Specimen& specimen) {
         rewrite(
             specimen, 3,
             [&](std::byte* record) { store_le<uint64_t>(record + kBytesField, 4097); }, keep);
       }},
      {"a bit of a record's body flipped in both copies",
       [&](Specimen& specimen) {
         for (int copy = 0; copy < 2; ++copy) {
           specimen.log(copy)[specimen.records[1].first + kOffsetField] ^= std::byte{16};
         }
       }},
  };
  for (const Damage& damage : damages) {
    Specimen specimen;
    if (Status made = make(specimen, clock); !made.ok()) return made.error().to_string();
    if (specimen.records.size() < 4) return "the specimen's log has too few records";
    if (!served(specimen, clock)) return "the undamaged store is refused";
    damage.inflict(specimen);
    if (served(specimen, clock)) return std::string("damage is served: ") + damage.what;
  }
  return std::nullopt;
}

}  // namespace pmshelf::crash
