// Promises of the request counters: every answer counts once, in the bucket of its latency.
#include "server/dataplane/op_metrics.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace pmshelf::dataplane {
namespace {

const OpCounts& counts(const OpSnapshot& snapshot, Path path, wire::Op op) {
  return snapshot.ops[static_cast<size_t>(path)][static_cast<size_t>(op)];
}

TEST(OpMetrics, CountsByPathAndOpAndErrorsByCode) {
  OpMetrics metrics;
  metrics.answered(Path::kTcp, wire::Op::kRead, Code::kOk, 100, 3);
  metrics.answered(Path::kTcp, wire::Op::kRead, Code::kStaleGrant, 0, 1);
  metrics.answered(Path::kLocal, wire::Op::kWrite, Code::kOk, 7, 1'000'000'000'000);
  const OpSnapshot snapshot = metrics.snapshot();
  EXPECT_EQ(counts(snapshot, Path::kTcp, wire::Op::kRead).count, 2U);
  EXPECT_EQ(counts(snapshot, Path::kTcp, wire::Op::kRead).bytes, 100U);
  EXPECT_EQ(counts(snapshot, Path::kTcp, wire::Op::kRead).latency_us_sum, 4U);
  EXPECT_EQ(counts(snapshot, Path::kLocal, wire::Op::kWrite).bytes, 7U);
  EXPECT_EQ(counts(snapshot, Path::kLocal, wire::Op::kRead).count, 0U);
  EXPECT_EQ(snapshot.errors[static_cast<size_t>(Code::kStaleGrant)], 1U);
  EXPECT_EQ(snapshot.errors[static_cast<size_t>(Code::kOk)], 0U);
}

TEST(OpMetrics, BucketIHoldsLatenciesBelowTwoToTheI) {
  OpMetrics metrics;
  for (const uint64_t us : {0, 1, 2, 3, 4, 1023, 1024}) {
    metrics.answered(Path::kTcp, wire::Op::kGet, Code::kOk, 0, us);
  }
  const OpSnapshot snapshot = metrics.snapshot();
  const auto& latency = counts(snapshot, Path::kTcp, wire::Op::kGet).latency;
  EXPECT_EQ(latency[0], 1U);   // 0
  EXPECT_EQ(latency[1], 1U);   // 1
  EXPECT_EQ(latency[2], 2U);   // 2, 3
  EXPECT_EQ(latency[3], 1U);   // 4
  EXPECT_EQ(latency[10], 1U);  // 1023
  EXPECT_EQ(latency[11], 1U);  // 1024
}

TEST(OpMetrics, ThreadsLoseNothing) {
  OpMetrics metrics;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 40; ++thread) {  // more than shards
    threads.emplace_back([&] {
      for (int index = 0; index < 1000; ++index) {
        metrics.answered(Path::kTcp, wire::Op::kPing, Code::kOk, 1, 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counts(metrics.snapshot(), Path::kTcp, wire::Op::kPing).count, 40'000U);
}

}  // namespace
}  // namespace pmshelf::dataplane
