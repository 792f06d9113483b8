// The metrics of the whole daemon: for Prometheus, and as a snapshot for Admin.Status.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "pmshelf/result.h"
#include "server/dataplane/memory_budget.h"
#include "server/dataplane/op_metrics.h"
#include "server/dataplane/worker_pool.h"
#include "server/pool/pool.h"
#include "server/session/registry.h"

namespace pmshelf::app {

// Calls of the control plane by method. Any thread; one short lock a call.
class ControlMetrics {
 public:
  struct Method {
    uint64_t calls = 0;
    uint64_t elapsed_us = 0;
  };
  void called(std::string_view method, Code code, uint64_t elapsed_us);
  std::map<std::string, Method, std::less<>> methods() const;
  Method method(std::string_view name) const;
  std::array<uint64_t, kCodeMax + 1> errors() const;

 private:
  static constexpr size_t kMethodsMax = 256;
  mutable std::mutex mutex_;
  std::map<std::string, Method, std::less<>> methods_;
  std::array<uint64_t, kCodeMax + 1> errors_{};
};

// Where the figures come from. Owner: the daemon; everything outlives the exporter.
struct MetricsSources {
  const dataplane::OpMetrics& data;
  const ControlMetrics& control;
  const session::Registry& registry;
  const dataplane::WorkerPool& workers;
  const dataplane::MemoryBudget& memory;
  const std::vector<std::unique_ptr<pool::Pool>>& pools;
  std::function<uint32_t(dataplane::Path)> connections;
  uint64_t recovery_us = 0;
  uint64_t started_unix_ms = 0;
};

inline constexpr size_t kShelvesExportedMax = 10'000;

// Names and values for `pmshelf top`: requests, payload bytes, errors, connections and so on.
std::map<std::string, uint64_t> metrics_snapshot(const MetricsSources& sources);
// The text of one scrape (Prometheus exposition format).
std::string metrics_text(const MetricsSources& sources);

// Serves metrics_text over HTTP at /metrics, on a thread of its own. Owner: the daemon.
class MetricsServer {
 public:
  // `listen` was checked by check_config. kBusy: the address is taken or not there.
  static Result<std::unique_ptr<MetricsServer>> start(const std::string& listen,
                                                      const MetricsSources& sources);
  ~MetricsServer();

 private:
  struct Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pmshelf::app
