// What is live: shelves and regions, by id, by name and in order of names.
#pragma once

#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server/store/types.h"

namespace pmshelf::store {

// One region. The name follows in the same allocation; attributes stay on media. Owner: Catalogue.
struct RegionEntry {
  RegionId id = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t footprint_bytes = 0;
  uint64_t modified_unix_ms = 0;
  uint64_t attribute_position = 0;  // in the log; meaningless without attributes
  uint32_t attribute_crc = 0;
  ShelfId shelf = 0;
  uint16_t attribute_bytes = 0;
  uint16_t name_bytes = 0;

  std::string_view name() const { return {reinterpret_cast<const char*>(this + 1), name_bytes}; }
  RegionInfo info() const;
};
static_assert(sizeof(RegionEntry) == 64, "part of the 200 bytes a region may take");
static_assert(kAttributeBytesMax <= UINT16_MAX && kRegionNameBytesMax <= UINT16_MAX);

struct OrderByName {
  using is_transparent = void;
  bool operator()(const RegionEntry* a, const RegionEntry* b) const {
    return a->name() < b->name();
  }
  bool operator()(const RegionEntry* a, std::string_view b) const { return a->name() < b; }
  bool operator()(std::string_view a, const RegionEntry* b) const { return a < b->name(); }
};
using OrderedIndex = absl::btree_set<RegionEntry*, OrderByName>;

struct ShelfEntry {
  ShelfInfo info;
  uint64_t region_count = 0;
  uint64_t live_bytes = 0;                // footprints
  std::unique_ptr<OrderedIndex> ordered;  // built by the first ordered()
};

// Volatile. Changes are unconditional: callers have checked that they make sense. Owner: the
// store. Not thread-safe. About 140 bytes a region with a name of 24 bytes.
class Catalogue {
 public:
  Catalogue();
  Catalogue(Catalogue&&) noexcept;
  Catalogue& operator=(Catalogue&&) noexcept;
  ~Catalogue();

  // ---- shelves
  ShelfEntry* shelf(ShelfId id) const;
  ShelfEntry* shelf(std::string_view name) const;
  const absl::flat_hash_map<ShelfId, std::unique_ptr<ShelfEntry>>& shelves() const {
    return shelves_;
  }
  ShelfEntry& add_shelf(ShelfInfo info);
  void update_shelf(ShelfEntry& shelf, ShelfInfo info);
  void remove_shelf(ShelfEntry& shelf);  // precondition: no regions

  // ---- regions
  RegionEntry* region(RegionId id) const;
  RegionEntry* region(ShelfId shelf, std::string_view name) const;
  uint64_t region_count() const { return by_id_.size(); }
  // Precondition: id and name are free, the shelf is there. `fields` has everything but the name.
  RegionEntry& add_region(const RegionEntry& fields, std::string_view name);
  void remove_region(RegionEntry& region);
  // The entry moves: the old reference is dead.
  RegionEntry& rename(RegionEntry& region, std::string_view name);
  // Precondition: same shelf. Both entries move.
  void swap_names(RegionEntry& a, RegionEntry& b);
  void set_place(RegionEntry& region, uint64_t offset, uint64_t bytes, uint64_t footprint_bytes);
  void set_attributes(RegionEntry& region, uint64_t position, uint16_t bytes, uint32_t crc);
  const OrderedIndex& ordered(ShelfEntry& shelf) const;
  // In no order. `visit` takes RegionEntry& and changes nothing that the catalogue indexes.
  template <class F>
  void for_each_region(F&& visit) const {
    for (RegionEntry* region : by_id_) visit(*region);
  }

  // Bytes of the operations that a snapshot of all this consists of.
  uint64_t snapshot_bytes() const { return snapshot_bytes_; }

 private:
  struct NameKey {
    ShelfId shelf;
    std::string_view name;
  };
  struct IdHash {
    using is_transparent = void;
    size_t operator()(const RegionEntry* region) const { return (*this)(region->id); }
    size_t operator()(RegionId id) const {
      const uint64_t mixed = id * 0x9E3779B97F4A7C15u;
      return mixed ^ mixed >> 32;
    }
  };
  struct IdEqual {
    using is_transparent = void;
    bool operator()(const RegionEntry* a, const RegionEntry* b) const { return a == b; }
    bool operator()(const RegionEntry* a, RegionId b) const { return a->id == b; }
    bool operator()(RegionId a, const RegionEntry* b) const { return a == b->id; }
  };
  struct NameHash {
    using is_transparent = void;
    size_t operator()(const RegionEntry* region) const {
      return (*this)(NameKey{region->shelf, region->name()});
    }
    size_t operator()(const NameKey& key) const;
  };
  struct NameEqual {
    using is_transparent = void;
    bool operator()(const RegionEntry* a, const RegionEntry* b) const { return a == b; }
    bool operator()(const RegionEntry* a, const NameKey& b) const {
      return a->shelf == b.shelf && a->name() == b.name;
    }
    bool operator()(const NameKey& a, const RegionEntry* b) const { return (*this)(b, a); }
  };

  void link(RegionEntry& region);
  void unlink(RegionEntry& region);
  void clear();

  absl::flat_hash_map<ShelfId, std::unique_ptr<ShelfEntry>> shelves_;
  absl::flat_hash_map<std::string, ShelfEntry*> shelves_by_name_;
  absl::flat_hash_set<RegionEntry*, IdHash, IdEqual> by_id_;
  absl::flat_hash_set<RegionEntry*, NameHash, NameEqual> by_name_;
  uint64_t snapshot_bytes_ = 0;
};

}  // namespace pmshelf::store
