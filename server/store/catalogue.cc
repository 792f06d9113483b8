#include "server/store/catalogue.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>
#include <new>
#include <utility>

#include "common/base/check.h"
#include "server/store/operations.h"
#include "server/store/random.h"

namespace pmshelf::store {
namespace {

// Names come from clients: nobody can prepare collisions without knowing this.
uint64_t random_seed() {
  static const uint64_t seed = random_u64();
  return seed;
}

RegionEntry* make_entry(const RegionEntry& fields, std::string_view name) {
  void* memory = ::operator new(sizeof(RegionEntry) + name.size());
  auto* entry = new (memory) RegionEntry(fields);
  entry->name_bytes = static_cast<uint16_t>(name.size());
  std::memcpy(entry + 1, name.data(), name.size());
  return entry;
}

void free_entry(RegionEntry* entry) { ::operator delete(entry); }

uint32_t snapshot_bytes_of(const RegionEntry& region) {
  return region_put_bytes(region.name_bytes, region.attribute_bytes);
}

}  // namespace

RegionInfo RegionEntry::info() const {
  RegionInfo out;
  out.id = id;
  out.shelf = shelf;
  out.name = name();
  out.offset = offset;
  out.bytes = bytes;
  out.footprint_bytes = footprint_bytes;
  out.modified_unix_ms = modified_unix_ms;
  out.attribute_bytes = attribute_bytes;
  return out;
}

size_t Catalogue::NameHash::operator()(const NameKey& key) const {
  return XXH3_64bits_withSeed(key.name.data(), key.name.size(), random_seed() + key.shelf);
}

Catalogue::Catalogue() = default;
Catalogue::Catalogue(Catalogue&& other) noexcept { *this = std::move(other); }
Catalogue& Catalogue::operator=(Catalogue&& other) noexcept {
  if (this != &other) {
    clear();
    shelves_.swap(other.shelves_);
    shelves_by_name_.swap(other.shelves_by_name_);
    by_id_.swap(other.by_id_);
    by_name_.swap(other.by_name_);
    std::swap(snapshot_bytes_, other.snapshot_bytes_);
  }
  return *this;
}
Catalogue::~Catalogue() { clear(); }

void Catalogue::clear() {
  by_name_.clear();
  for (RegionEntry* region : by_id_) free_entry(region);
  by_id_.clear();
  shelves_by_name_.clear();
  shelves_.clear();
  snapshot_bytes_ = 0;
}

ShelfEntry* Catalogue::shelf(ShelfId id) const {
  const auto it = shelves_.find(id);
  return it == shelves_.end() ? nullptr : it->second.get();
}

ShelfEntry* Catalogue::shelf(std::string_view name) const {
  const auto it = shelves_by_name_.find(std::string(name));
  return it == shelves_by_name_.end() ? nullptr : it->second;
}

ShelfEntry& Catalogue::add_shelf(ShelfInfo info) {
  snapshot_bytes_ += shelf_put_bytes(info);
  auto entry = std::make_unique<ShelfEntry>();
  entry->info = std::move(info);
  ShelfEntry& out = *entry;
  shelves_by_name_.emplace(out.info.name, &out);
  shelves_.emplace(out.info.id, std::move(entry));
  return out;
}

void Catalogue::update_shelf(ShelfEntry& shelf, ShelfInfo info) {
  snapshot_bytes_ += shelf_put_bytes(info);
  snapshot_bytes_ -= shelf_put_bytes(shelf.info);
  shelves_by_name_.erase(shelf.info.name);
  shelf.info = std::move(info);
  shelves_by_name_.emplace(shelf.info.name, &shelf);
}

void Catalogue::remove_shelf(ShelfEntry& shelf) {
  PMSHELF_CHECK(shelf.region_count == 0);
  snapshot_bytes_ -= shelf_put_bytes(shelf.info);
  shelves_by_name_.erase(shelf.info.name);
  shelves_.erase(ShelfId{shelf.info.id});  // a copy: the argument dies with the entry
}

RegionEntry* Catalogue::region(RegionId id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : *it;
}

RegionEntry* Catalogue::region(ShelfId shelf, std::string_view name) const {
  const auto it = by_name_.find(NameKey{shelf, name});
  return it == by_name_.end() ? nullptr : *it;
}

void Catalogue::link(RegionEntry& region) {
  by_id_.insert(&region);
  by_name_.insert(&region);
  ShelfEntry& shelf = *this->shelf(region.shelf);
  if (shelf.ordered) shelf.ordered->insert(&region);
}

void Catalogue::unlink(RegionEntry& region) {
  ShelfEntry& shelf = *this->shelf(region.shelf);
  if (shelf.ordered) shelf.ordered->erase(&region);
  by_name_.erase(&region);
  by_id_.erase(&region);
}

RegionEntry& Catalogue::add_region(const RegionEntry& fields, std::string_view name) {
  RegionEntry& region = *make_entry(fields, name);
  ShelfEntry& shelf = *this->shelf(region.shelf);
  ++shelf.region_count;
  shelf.live_bytes += region.footprint_bytes;
  snapshot_bytes_ += snapshot_bytes_of(region);
  link(region);
  return region;
}

void Catalogue::remove_region(RegionEntry& region) {
  ShelfEntry& shelf = *this->shelf(region.shelf);
  --shelf.region_count;
  shelf.live_bytes -= region.footprint_bytes;
  snapshot_bytes_ -= snapshot_bytes_of(region);
  unlink(region);
  free_entry(&region);
}

RegionEntry& Catalogue::rename(RegionEntry& region, std::string_view name) {
  RegionEntry& renamed = *make_entry(region, name);
  snapshot_bytes_ += snapshot_bytes_of(renamed);
  snapshot_bytes_ -= snapshot_bytes_of(region);
  unlink(region);
  free_entry(&region);
  link(renamed);
  return renamed;
}

void Catalogue::swap_names(RegionEntry& a, RegionEntry& b) {
  RegionEntry& new_a = *make_entry(a, b.name());
  RegionEntry& new_b = *make_entry(b, a.name());
  // The sum of name lengths stays, but each is padded with its own attributes.
  snapshot_bytes_ += snapshot_bytes_of(new_a) + snapshot_bytes_of(new_b);
  snapshot_bytes_ -= snapshot_bytes_of(a) + snapshot_bytes_of(b);
  for (RegionEntry* old : {&a, &b}) {
    unlink(*old);
    free_entry(old);
  }
  link(new_a);
  link(new_b);
}

void Catalogue::set_place(RegionEntry& region, uint64_t offset, uint64_t bytes,
                          uint64_t footprint_bytes) {
  ShelfEntry& shelf = *this->shelf(region.shelf);
  shelf.live_bytes += footprint_bytes;
  shelf.live_bytes -= region.footprint_bytes;
  region.offset = offset;
  region.bytes = bytes;
  region.footprint_bytes = footprint_bytes;
}

void Catalogue::set_attributes(RegionEntry& region, uint64_t position, uint16_t bytes,
                               uint32_t crc) {
  snapshot_bytes_ -= snapshot_bytes_of(region);
  region.attribute_position = position;
  region.attribute_bytes = bytes;
  region.attribute_crc = crc;
  snapshot_bytes_ += snapshot_bytes_of(region);
}

const OrderedIndex& Catalogue::ordered(ShelfEntry& shelf) const {
  if (!shelf.ordered) {
    shelf.ordered = std::make_unique<OrderedIndex>();
    for (RegionEntry* region : by_id_) {
      if (region->shelf == shelf.info.id) shelf.ordered->insert(region);
    }
  }
  return *shelf.ordered;
}

}  // namespace pmshelf::store
