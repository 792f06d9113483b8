// Applies logged operations to the volatile state, each only if it makes sense where it stands.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "pmshelf/result.h"
#include "server/store/catalogue.h"
#include "server/store/format.h"
#include "server/store/operations.h"
#include "server/store/requests.h"
#include "server/store/space.h"

namespace pmshelf::store {

// Everything about a store that is rebuilt from its log.
struct State {
  State(uint64_t data_begin, uint64_t data_end) : space(data_begin, data_end) {}
  Catalogue catalogue;
  Space space;
  Requests requests;
  uint64_t next_shelf = 1;
  uint64_t next_region = 1;

  // Bytes of operations in a snapshot of all this.
  uint64_t snapshot_bytes() const {
    return catalogue.snapshot_bytes() + requests.count() * kRequestKeptBytes + kSpaceEndBytes;
  }
};

// One pass over a log. Takes any operations whatever: what makes no sense is kCorrupt with the
// reason, and leaves the state half changed (the caller throws it away).
class Replay {
 public:
  explicit Replay(State& state) : state_(state) {}

  // All operations of one record. `position` is that of operations[0] in the log.
  Status apply(const RecordHeader& header, std::span<const std::byte> operations,
               uint64_t position);
  // A REDO that no REDO_DONE has followed.
  const std::optional<Redo>& open_redo() const { return redo_; }

 private:
  Status apply(const ShelfPut& op, const Operation& all);
  Status apply(const ShelfDel& op, const Operation& all);
  Status apply(const RegionPut& op, const Operation& all);
  Status apply(const RegionDel& op, const Operation& all);
  Status apply(const RegionRename& op, const Operation& all);
  Status apply(const RegionSwap& op, const Operation& all);
  Status apply(const RegionResize& op, const Operation& all);
  Status apply(const RegionAttributes& op, const Operation& all);
  Status apply(const Redo& op, const Operation& all);
  Status apply(const RedoDone& op, const Operation& all);
  Status apply(const SpaceEnd& op, const Operation& all);
  Status apply(const RequestKept& op, const Operation& all);
  Status new_id(uint64_t id, uint64_t& next);
  void remember(const Operation& all, uint64_t result);
  void drop(RegionEntry& region);
  uint64_t position_of(std::string_view attributes) const;

  State& state_;
  RecordHeader header_;
  std::span<const std::byte> operations_;
  uint64_t position_ = 0;
  bool snapshot_over_ = false;
  std::optional<Redo> redo_;
};

}  // namespace pmshelf::store
