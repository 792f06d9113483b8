#include "server/store/replay.h"

#include <string>
#include <utility>
#include <vector>

#include "common/base/crc32c.h"
#include "server/store/mutant.h"

namespace pmshelf::store {
namespace {

Error bad(std::string what) { return Error(Code::kCorrupt, std::move(what)); }

uint32_t crc_of(std::string_view text) {
  return crc32c(std::as_bytes(std::span(text.data(), text.size())));
}

// A footprint may be larger than the bytes need, never smaller.
bool holds(uint64_t footprint_bytes, uint64_t bytes) {
  return bytes <= footprint_bytes + (mutant(Mutant::kAcceptBeyondEnd) ? 1 : 0);
}

}  // namespace

Status Replay::apply(const RecordHeader& header, std::span<const std::byte> operations,
                     uint64_t position) {
  header_ = header;
  operations_ = operations;
  position_ = position;
  if (header.snapshot && snapshot_over_) return bad("a snapshot behind other records");
  snapshot_over_ = !header.snapshot;
  auto rest = operations;
  uint32_t count = 0;
  for (; !rest.empty(); ++count) {
    uint32_t bytes = 0;
    PMSHELF_TRY_ASSIGN(const Operation op, decode_operation(rest, bytes));
    if (redo_ && !std::holds_alternative<RedoDone>(op.body)) {
      return bad("an operation between REDO and REDO_DONE");
    }
    PMSHELF_TRY(std::visit([&](const auto& body) { return apply(body, op); }, op.body));
    rest = rest.subspan(bytes);
  }
  if (count != header.op_count) return bad("operation count does not match");
  return {};
}

// Ids rise; those in a snapshot were given out before it.
Status Replay::new_id(uint64_t id, uint64_t& next) {
  if (header_.snapshot ? id == 0 || id >= next : id < next) return bad("id given out twice");
  if (id >= kCounterMax) return bad("id too large");
  if (!header_.snapshot) next = id + 1;
  return {};
}

void Replay::remember(const Operation& all, uint64_t result) {
  if (all.request.id) state_.requests.remember(all.request, result, header_.unix_ms);
}

uint64_t Replay::position_of(std::string_view attributes) const {
  return position_ + (reinterpret_cast<const std::byte*>(attributes.data()) - operations_.data());
}

void Replay::drop(RegionEntry& region) {
  state_.space.release(region.shelf, region.offset, region.footprint_bytes);
  state_.catalogue.remove_region(region);
}

Status Replay::apply(const ShelfPut& op, const Operation& all) {
  Catalogue& catalogue = state_.catalogue;
  const ShelfInfo& info = op.info;
  ShelfEntry* shelf = catalogue.shelf(info.id);
  const ShelfEntry* same_name = catalogue.shelf(info.name);
  if (same_name != nullptr && same_name != shelf) return bad("two shelves of one name");
  const uint64_t old_bytes = shelf == nullptr ? 0 : shelf->info.capacity_bytes;
  if (info.capacity_bytes > old_bytes &&
      info.capacity_bytes - old_bytes > state_.space.assignable_bytes()) {
    return bad("capacities of shelves are more than the data space");
  }
  if (shelf == nullptr) {
    PMSHELF_TRY(new_id(info.id, state_.next_shelf));
    state_.space.add_shelf(info.id, info.capacity_bytes);
    catalogue.add_shelf(info);
  } else {
    if (state_.space.owned_bytes(info.id) > info.capacity_bytes) {
      return bad("regions are more than the shelf's capacity");
    }
    state_.space.set_capacity(info.id, info.capacity_bytes);
    catalogue.update_shelf(*shelf, info);
  }
  remember(all, info.id);
  return {};
}

Status Replay::apply(const ShelfDel& op, const Operation& all) {
  ShelfEntry* shelf = state_.catalogue.shelf(op.shelf);
  if (shelf == nullptr) return bad("erases a shelf that is not there");
  std::vector<RegionEntry*> regions;
  state_.catalogue.for_each_region([&](RegionEntry& region) {
    if (region.shelf == op.shelf) regions.push_back(&region);
  });
  for (RegionEntry* region : regions) drop(*region);
  state_.space.remove_shelf(op.shelf);
  state_.catalogue.remove_shelf(*shelf);
  remember(all, 0);
  return {};
}

Status Replay::apply(const RegionPut& op, const Operation& all) {
  if (state_.catalogue.shelf(op.shelf) == nullptr)
    return bad("region on a shelf that is not there");
  PMSHELF_TRY(new_id(op.region, state_.next_region));
  if (state_.catalogue.region(op.region) != nullptr) return bad("id given out twice");
  if (!holds(op.footprint_bytes, op.bytes)) return bad("region larger than its footprint");
  PMSHELF_TRY(state_.space.occupy(op.shelf, op.offset, op.footprint_bytes));
  if (RegionEntry* old = state_.catalogue.region(op.shelf, op.name)) drop(*old);
  RegionEntry fields;
  fields.id = op.region;
  fields.shelf = op.shelf;
  fields.offset = op.offset;
  fields.bytes = op.bytes;
  fields.footprint_bytes = op.footprint_bytes;
  fields.modified_unix_ms = op.modified_unix_ms;
  fields.attribute_bytes = static_cast<uint16_t>(op.attributes.size());
  fields.attribute_crc = crc_of(op.attributes);
  fields.attribute_position = position_of(op.attributes);
  state_.catalogue.add_region(fields, op.name);
  remember(all, op.region);
  return {};
}

Status Replay::apply(const RegionDel& op, const Operation& all) {
  RegionEntry* region = state_.catalogue.region(op.region);
  if (region == nullptr) return bad("erases a region that is not there");
  drop(*region);
  remember(all, 0);
  return {};
}

Status Replay::apply(const RegionRename& op, const Operation& all) {
  RegionEntry* region = state_.catalogue.region(op.region);
  if (region == nullptr) return bad("renames a region that is not there");
  RegionEntry* old = state_.catalogue.region(region->shelf, op.name);
  if (old != nullptr && old != region) {
    if (!op.replace) return bad("renames to a name that is taken");
    drop(*old);
  }
  region->modified_unix_ms = op.modified_unix_ms;
  state_.catalogue.rename(*region, op.name);
  remember(all, 0);
  return {};
}

Status Replay::apply(const RegionSwap& op, const Operation& all) {
  RegionEntry* a = state_.catalogue.region(op.a);
  RegionEntry* b = state_.catalogue.region(op.b);
  if (a == nullptr || b == nullptr || a->shelf != b->shelf) {
    return bad("swaps regions that are not on one shelf");
  }
  a->modified_unix_ms = b->modified_unix_ms = op.modified_unix_ms;
  if (a != b) state_.catalogue.swap_names(*a, *b);
  remember(all, 0);
  return {};
}

Status Replay::apply(const RegionResize& op, const Operation& all) {
  RegionEntry* region = state_.catalogue.region(op.region);
  if (region == nullptr) return bad("resizes a region that is not there");
  if (!holds(op.footprint_bytes, op.bytes)) return bad("region larger than its footprint");
  state_.space.release(region->shelf, region->offset, region->footprint_bytes);
  PMSHELF_TRY(state_.space.occupy(region->shelf, op.offset, op.footprint_bytes));
  state_.catalogue.set_place(*region, op.offset, op.bytes, op.footprint_bytes);
  region->modified_unix_ms = op.modified_unix_ms;
  remember(all, 0);
  return {};
}

Status Replay::apply(const RegionAttributes& op, const Operation& all) {
  RegionEntry* region = state_.catalogue.region(op.region);
  if (region == nullptr) return bad("attributes of a region that is not there");
  state_.catalogue.set_attributes(*region, position_of(op.attributes),
                                  static_cast<uint16_t>(op.attributes.size()),
                                  crc_of(op.attributes));
  region->modified_unix_ms = op.modified_unix_ms;
  remember(all, 0);
  return {};
}

Status Replay::apply(const Redo& op, const Operation& all) {
  redo_ = op;
  remember(all, 0);
  return {};
}

Status Replay::apply(const RedoDone& op, const Operation& all) {
  if (!redo_ || redo_->transaction != op.transaction) return bad("REDO_DONE without its REDO");
  redo_.reset();
  remember(all, 0);
  return {};
}

Status Replay::apply(const SpaceEnd& op, const Operation& all) {
  if (op.data_end % kExtentBytes != 0 || op.data_end < state_.space.begin_bytes() ||
      op.data_end >= kCounterMax) {
    return bad("absurd end of the data space");
  }
  if (op.data_end >= state_.space.end_bytes()) {
    state_.space.grow_end(op.data_end);
  } else {
    const uint64_t less = state_.space.end_bytes() - op.data_end;
    if (less > state_.space.assignable_bytes() || !state_.space.cut_end(op.data_end)) {
      return bad("the data space ends before its regions do");
    }
  }
  remember(all, 0);
  return {};
}

Status Replay::apply(const RequestKept& op, const Operation& all) {
  if (!header_.snapshot) return bad("remembered request outside a snapshot");
  state_.requests.remember(all.request, op.result, op.unix_ms);
  return {};
}

}  // namespace pmshelf::store
