// Counters of data-plane requests, cheap enough for every one of them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "common/wire/frame.h"
#include "pmshelf/error.h"

namespace pmshelf::dataplane {

enum class Path : uint8_t { kTcp = 0, kLocal = 1 };
inline constexpr size_t kPaths = 2;
inline constexpr size_t kOps = wire::kOpMax + 1;
// Bucket i counts latencies below 2^i us; the last one everything.
inline constexpr size_t kLatencyBuckets = 26;

struct OpCounts {
  uint64_t count = 0;  // answered ones, errors included
  uint64_t bytes = 0;  // payload
  uint64_t latency_us_sum = 0;
  std::array<uint64_t, kLatencyBuckets> latency{};  // of each bucket alone, not cumulative
};

struct OpSnapshot {
  std::array<std::array<OpCounts, kOps>, kPaths> ops;
  std::array<uint64_t, kCodeMax + 1> errors{};  // by code
};

// Owner: app. Any thread. A thread counts in a shard of its own (until there are more threads than
// shards) with relaxed atomics: no lock, no shared cache line. A snapshot is not a moment: counts
// that arrive during it may or may not be in it.
class OpMetrics {
 public:
  OpMetrics();
  ~OpMetrics();
  void answered(Path path, wire::Op op, Code code, uint64_t payload_bytes, uint64_t latency_us);
  OpSnapshot snapshot() const;

 private:
  static constexpr size_t kShards = 32;
  struct Shard;
  std::unique_ptr<Shard[]> shards_;
};

}  // namespace pmshelf::dataplane
