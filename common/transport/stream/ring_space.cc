#include "common/transport/stream/ring_space.h"

#include <iterator>

#include "common/base/units.h"

namespace pmshelf::transport {
namespace {

constexpr uint64_t kUnitBytes = 64;

}  // namespace

std::optional<uint64_t> RingSpace::take(uint64_t bytes) {
  const uint64_t run_bytes = align_up(bytes, kUnitBytes);
  for (auto run = free_.begin(); run != free_.end(); ++run) {
    if (run->second < run_bytes) continue;
    const auto [position, free_bytes] = *run;
    free_.erase(run);
    if (free_bytes > run_bytes) free_.emplace(position + run_bytes, free_bytes - run_bytes);
    return position;
  }
  return std::nullopt;
}

void RingSpace::give_back(uint64_t position, uint64_t bytes) {
  auto run = free_.emplace(position, align_up(bytes, kUnitBytes)).first;
  if (const auto next = std::next(run);
      next != free_.end() && run->first + run->second == next->first) {
    run->second += next->second;
    free_.erase(next);
  }
  if (run == free_.begin()) return;
  const auto before = std::prev(run);
  if (before->first + before->second == run->first) {
    before->second += run->second;
    free_.erase(run);
  }
}

}  // namespace pmshelf::transport
