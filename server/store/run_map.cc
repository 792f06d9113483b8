#include "server/store/run_map.h"

#include "common/base/check.h"

namespace pmshelf::store {

void RunMap::insert(uint64_t first, uint64_t count) {
  by_address_.emplace(first, count);
  by_length_.emplace(count, first);
  total_ += count;
}

void RunMap::remove(Iterator run) {
  by_length_.erase({run->second, run->first});
  total_ -= run->second;
  by_address_.erase(run);
}

RunMap::Iterator RunMap::find(uint64_t extent) {
  auto it = by_address_.upper_bound(extent);
  if (it == by_address_.begin()) return by_address_.end();
  --it;
  return extent - it->first < it->second ? it : by_address_.end();
}

void RunMap::give(uint64_t first, uint64_t count) {
  if (count == 0) return;
  PMSHELF_CHECK(find(first) == by_address_.end());
  auto next = by_address_.lower_bound(first);
  PMSHELF_CHECK(next == by_address_.end() || next->first >= first + count);
  uint64_t begin = first;
  uint64_t end = first + count;
  if (next != by_address_.end() && next->first == end) {
    end += next->second;
    remove(next);
  }
  if (first > 0) {
    if (auto before = find(first - 1); before != by_address_.end()) {
      begin = before->first;
      remove(before);
    }
  }
  insert(begin, end - begin);
}

std::optional<uint64_t> RunMap::take(uint64_t count) {
  const auto it = by_length_.lower_bound({count, 0});
  if (it == by_length_.end()) return std::nullopt;
  const uint64_t first = it->second;
  take_at(first, count);
  return first;
}

bool RunMap::take_at(uint64_t first, uint64_t count) {
  const auto run = find(first);
  if (run == by_address_.end() || run->second - (first - run->first) < count) return false;
  const uint64_t begin = run->first;
  const uint64_t end = run->first + run->second;
  remove(run);
  if (begin < first) insert(begin, first - begin);
  if (first + count < end) insert(first + count, end - first - count);
  return true;
}

bool RunMap::contains(uint64_t first, uint64_t count) const {
  const auto run = const_cast<RunMap*>(this)->find(first);
  return run != by_address_.end() && run->second - (first - run->first) >= count;
}

uint64_t RunMap::start_of_run_ending_at(uint64_t extent) const {
  if (extent == 0) return extent;
  const auto run = const_cast<RunMap*>(this)->find(extent - 1);
  return run == by_address_.end() ? extent : run->first;
}

uint64_t RunMap::end_of_run_starting_at(uint64_t extent) const {
  const auto run = by_address_.find(extent);
  return run == by_address_.end() ? extent : extent + run->second;
}

RunMap RunMap::split_off(uint64_t extent) {
  RunMap out;
  if (auto run = find(extent); run != by_address_.end() && run->first < extent) {
    const uint64_t first = run->first;
    const uint64_t end = run->first + run->second;
    remove(run);
    insert(first, extent - first);
    insert(extent, end - extent);
  }
  for (auto it = by_address_.lower_bound(extent); it != by_address_.end();
       it = by_address_.lower_bound(extent)) {
    out.insert(it->first, it->second);
    remove(it);
  }
  return out;
}

}  // namespace pmshelf::store
