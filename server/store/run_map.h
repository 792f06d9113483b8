// Free runs of extents: address order and length order.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/btree_set.h>

#include <cstdint>
#include <optional>
#include <utility>

namespace pmshelf::store {

// A set of disjoint, maximal runs [first, first + count) of extent numbers. Memory is proportional
// to the number of runs. Not thread-safe.
class RunMap {
 public:
  // Adds a run. Precondition: disjoint from all that is there.
  void give(uint64_t first, uint64_t count);
  // Takes `count` extents from the shortest run that has as many, lowest address first.
  std::optional<uint64_t> take(uint64_t count);
  // Takes exactly these. False, changing nothing, when some of them are not there.
  bool take_at(uint64_t first, uint64_t count);

  uint64_t longest() const { return by_length_.empty() ? 0 : by_length_.rbegin()->first; }
  uint64_t total() const { return total_; }
  bool contains(uint64_t first, uint64_t count) const;
  // The run that ends right before `extent`, or that begins at it: its other end.
  uint64_t start_of_run_ending_at(uint64_t extent) const;
  uint64_t end_of_run_starting_at(uint64_t extent) const;
  // Removes everything from `extent` on and returns it as a map of its own.
  RunMap split_off(uint64_t extent);
  const absl::btree_map<uint64_t, uint64_t>& runs() const { return by_address_; }

 private:
  using Iterator = absl::btree_map<uint64_t, uint64_t>::iterator;
  void insert(uint64_t first, uint64_t count);
  void remove(Iterator run);
  // The run that contains `extent`, or end().
  Iterator find(uint64_t extent);

  absl::btree_map<uint64_t, uint64_t> by_address_;            // first -> count
  absl::btree_set<std::pair<uint64_t, uint64_t>> by_length_;  // (count, first)
  uint64_t total_ = 0;
};

}  // namespace pmshelf::store
