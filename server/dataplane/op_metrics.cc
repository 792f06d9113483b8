#include "server/dataplane/op_metrics.h"

#include <algorithm>
#include <bit>

namespace pmshelf::dataplane {
namespace {

using Counter = std::atomic<uint64_t>;

void add(Counter& counter, uint64_t value) { counter.fetch_add(value, std::memory_order_relaxed); }
uint64_t get(const Counter& counter) { return counter.load(std::memory_order_relaxed); }

size_t shard_of_this_thread(size_t shards) {
  static std::atomic<size_t> next{0};
  thread_local const size_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine % shards;
}

}  // namespace

struct alignas(64) OpMetrics::Shard {
  struct Op {
    Counter bytes{0}, latency_us_sum{0};
    std::array<Counter, kLatencyBuckets> latency{};
  };
  std::array<std::array<Op, kOps>, kPaths> ops;
  std::array<Counter, kCodeMax + 1> errors{};
};

OpMetrics::OpMetrics() : shards_(std::make_unique<Shard[]>(kShards)) {}
OpMetrics::~OpMetrics() = default;

void OpMetrics::answered(Path path, wire::Op op, Code code, uint64_t payload_bytes,
                         uint64_t latency_us) {
  Shard& shard = shards_[shard_of_this_thread(kShards)];
  Shard::Op& counts = shard.ops[static_cast<size_t>(path)][static_cast<size_t>(op)];
  const size_t bucket = std::min<size_t>(std::bit_width(latency_us), kLatencyBuckets - 1);
  add(counts.latency[bucket], 1);
  add(counts.latency_us_sum, latency_us);
  if (payload_bytes != 0) add(counts.bytes, payload_bytes);
  if (code != Code::kOk) add(shard.errors[static_cast<size_t>(code)], 1);
}

OpSnapshot OpMetrics::snapshot() const {
  OpSnapshot all;
  for (size_t index = 0; index < kShards; ++index) {
    const Shard& shard = shards_[index];
    for (size_t path = 0; path < kPaths; ++path) {
      for (size_t op = 0; op < kOps; ++op) {
        const Shard::Op& from = shard.ops[path][op];
        OpCounts& to = all.ops[path][op];
        to.bytes += get(from.bytes);
        to.latency_us_sum += get(from.latency_us_sum);
        for (size_t bucket = 0; bucket < kLatencyBuckets; ++bucket) {
          const uint64_t count = get(from.latency[bucket]);
          to.latency[bucket] += count;
          to.count += count;
        }
      }
    }
    for (size_t code = 0; code <= kCodeMax; ++code) all.errors[code] += get(shard.errors[code]);
  }
  return all;
}

}  // namespace pmshelf::dataplane
