#include "server/app/metrics_export.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cmath>
#include <exception>
#include <utility>

namespace pmshelf::app {
namespace {

using dataplane::kLatencyBuckets;
using dataplane::kOps;
using dataplane::kPaths;
using dataplane::OpCounts;
using dataplane::OpSnapshot;
using dataplane::Path;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

constexpr std::array<const char*, kPaths> kPathNames = {"tcp", "local"};
constexpr std::array<const char*, kOps> kOpNames = {
    "",         "challenge",     "hello",       "ping",         "read",       "write",
    "flush",    "atomic_write8", "read_ranges", "write_ranges", "put",        "get",
    "transact", "map",           "unmap",       "ring",         "peer_token", "notice"};

// Makes families of the daemon's figures.
class Collector {
 public:
  explicit Collector(const MetricsSources& sources) : sources_(sources) {}

  std::vector<MetricFamily> collect() {
    requests();
    control();
    daemon();
    space();
    return std::move(families_);
  }

 private:
  MetricFamily& family(const char* name, const char* help, MetricType type) {
    MetricFamily& made = families_.emplace_back();
    made.name = name;
    made.help = help;
    made.type = type;
    return made;
  }
  static void counter(MetricFamily& family, Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.counter.value = value;
    family.metric.push_back(std::move(metric));
  }
  static void gauge(MetricFamily& family, Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.gauge.value = value;
    family.metric.push_back(std::move(metric));
  }
  void one_gauge(const char* name, const char* help, double value) {
    gauge(family(name, help, MetricType::Gauge), {}, value);
  }

  static ClientMetric histogram(const OpCounts& counts) {
    ClientMetric metric;
    uint64_t cumulative = 0;
    for (size_t bucket = 0; bucket < kLatencyBuckets; ++bucket) {
      cumulative += counts.latency[bucket];
      const double upper_s = bucket + 1 < kLatencyBuckets
                                 ? std::ldexp(1e-6, static_cast<int>(bucket))
                                 : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({cumulative, upper_s});
    }
    metric.histogram.sample_count = counts.count;
    metric.histogram.sample_sum = static_cast<double>(counts.latency_us_sum) * 1e-6;
    return metric;
  }

  void requests() {
    const OpSnapshot snapshot = sources_.data.snapshot();
    MetricFamily latency{"pmshelf_request_seconds",
                         "From the frame's arrival to its answer, per data path and operation",
                         MetricType::Histogram,
                         {}};
    MetricFamily bytes{
        "pmshelf_payload_bytes_total", "Payload received and sent", MetricType::Counter, {}};
    for (size_t path = 0; path < kPaths; ++path) {
      for (size_t op = 1; op < kOps; ++op) {
        const OpCounts& counts = snapshot.ops[path][op];
        if (counts.count == 0) continue;
        const Labels labels = {{"path", kPathNames[path]}, {"op", kOpNames[op]}};
        latency.metric.push_back(histogram(counts));
        latency.metric.back().label = labels;
        counter(bytes, labels, static_cast<double>(counts.bytes));
      }
    }
    families_.push_back(std::move(latency));
    families_.push_back(std::move(bytes));
    errors("pmshelf_request_errors_total", "Data-plane requests that were refused, by error",
           snapshot.errors);
  }

  void errors(const char* name, const char* help,
              const std::array<uint64_t, kCodeMax + 1>& by_code) {
    MetricFamily& made = family(name, help, MetricType::Counter);
    for (uint16_t code = 1; code <= kCodeMax; ++code) {
      if (by_code[code] == 0) continue;
      const std::string code_text(code_name(static_cast<Code>(code)));
      counter(made, {{"code", code_text}}, static_cast<double>(by_code[code]));
    }
  }

  void control() {
    MetricFamily calls{
        "pmshelf_control_calls_total", "Control-plane calls", MetricType::Counter, {}};
    MetricFamily time{"pmshelf_control_seconds_total",
                      "Time spent in control-plane calls",
                      MetricType::Counter,
                      {}};
    for (const auto& [name, method] : sources_.control.methods()) {
      counter(calls, {{"method", name}}, static_cast<double>(method.calls));
      counter(time, {{"method", name}}, static_cast<double>(method.elapsed_us) * 1e-6);
    }
    families_.push_back(std::move(calls));
    families_.push_back(std::move(time));
    errors("pmshelf_control_errors_total", "Control-plane calls that failed, by error",
           sources_.control.errors());
  }

  void daemon() {
    const session::Registry::Counts counts = sources_.registry.counts();
    one_gauge("pmshelf_sessions", "Open sessions", static_cast<double>(counts.sessions));
    one_gauge("pmshelf_grants", "Grants", static_cast<double>(counts.grants));
    one_gauge("pmshelf_locks", "Region locks", static_cast<double>(counts.locks));
    one_gauge("pmshelf_flush_queue", "Requests that wait for a flush thread",
              static_cast<double>(sources_.workers.waiting()));
    one_gauge("pmshelf_buffer_memory_bytes", "DRAM of transactions on their way and rings",
              static_cast<double>(sources_.memory.used_bytes()));
    one_gauge("pmshelf_recovery_seconds", "Recovery of all stores at the last start",
              static_cast<double>(sources_.recovery_us) * 1e-6);
    one_gauge("pmshelf_start_time_seconds", "Wall clock at the last start",
              static_cast<double>(sources_.started_unix_ms) * 1e-3);
    MetricFamily& connections =
        family("pmshelf_connections", "Data connections, per data path", MetricType::Gauge);
    for (size_t path = 0; path < kPaths; ++path) {
      gauge(connections, {{"path", kPathNames[path]}},
            sources_.connections(static_cast<Path>(path)));
    }
  }

  void space() {
    MetricFamily pools{"pmshelf_pool_available_bytes",
                       "Room left in the pool's file system or device",
                       MetricType::Gauge,
                       {}};
    MetricFamily shelves{"pmshelf_shelf_bytes",
                         "Space of a shelf: capacity, used, held, free, metadata",
                         MetricType::Gauge,
                         {}};
    MetricFamily regions{"pmshelf_shelf_regions", "Regions on a shelf", MetricType::Gauge, {}};
    MetricFamily trouble{
        "pmshelf_shelf_trouble", "1: the shelf is read-only, 2: offline", MetricType::Gauge, {}};
    size_t exported = 0;
    for (const auto& pool : sources_.pools) {
      const pool::PoolStat stat = pool->stat();
      gauge(pools, {{"pool", stat.name}}, static_cast<double>(stat.available_bytes));
      for (const auto& shelf : pool->shelves()) {
        if (++exported > kShelvesExportedMax) break;
        const std::string name = shelf->info().name;
        const store::SpaceInfo space = shelf->space();
        const std::pair<const char*, uint64_t> kinds[] = {{"capacity", space.capacity_bytes},
                                                          {"used", space.used_bytes},
                                                          {"held", space.held_bytes},
                                                          {"free", space.free_bytes},
                                                          {"metadata", space.metadata_bytes}};
        for (const auto& [kind, bytes] : kinds) {
          gauge(shelves, {{"pool", stat.name}, {"shelf", name}, {"kind", kind}},
                static_cast<double>(bytes));
        }
        const Labels labels = {{"pool", stat.name}, {"shelf", name}};
        gauge(regions, labels, static_cast<double>(space.region_count));
        gauge(trouble, labels, shelf->offline() ? 2 : shelf->read_only() ? 1 : 0);
      }
    }
    for (MetricFamily* made : {&pools, &shelves, &regions, &trouble}) {
      families_.push_back(std::move(*made));
    }
  }

  const MetricsSources& sources_;
  std::vector<MetricFamily> families_;
};

class Scrape final : public prometheus::Collectable {
 public:
  explicit Scrape(const MetricsSources& sources) : sources_(sources) {}
  std::vector<MetricFamily> Collect() const override { return Collector(sources_).collect(); }

 private:
  const MetricsSources sources_;
};

}  // namespace

void ControlMetrics::called(std::string_view method, Code code, uint64_t elapsed_us) {
  std::lock_guard lock(mutex_);
  ++errors_[static_cast<size_t>(code)];
  auto found = methods_.find(method);
  if (found == methods_.end()) {
    if (methods_.size() >= kMethodsMax) return;
    found = methods_.emplace(std::string(method), Method()).first;
  }
  ++found->second.calls;
  found->second.elapsed_us += elapsed_us;
}

std::map<std::string, ControlMetrics::Method, std::less<>> ControlMetrics::methods() const {
  std::lock_guard lock(mutex_);
  return methods_;
}

ControlMetrics::Method ControlMetrics::method(std::string_view name) const {
  std::lock_guard lock(mutex_);
  const auto found = methods_.find(name);
  return found == methods_.end() ? Method() : found->second;
}

std::array<uint64_t, kCodeMax + 1> ControlMetrics::errors() const {
  std::lock_guard lock(mutex_);
  return errors_;
}

std::map<std::string, uint64_t> metrics_snapshot(const MetricsSources& sources) {
  std::map<std::string, uint64_t> values;
  const OpSnapshot snapshot = sources.data.snapshot();
  for (size_t path = 0; path < kPaths; ++path) {
    const std::string path_name = kPathNames[path];
    values["connections." + path_name] = sources.connections(static_cast<Path>(path));
    for (size_t op = 1; op < kOps; ++op) {
      const OpCounts& counts = snapshot.ops[path][op];
      if (counts.count == 0) continue;
      const std::string suffix = "." + path_name + "." + kOpNames[op];
      values["requests" + suffix] = counts.count;
      values["bytes" + suffix] = counts.bytes;
      values["latency_us" + suffix] = counts.latency_us_sum;
    }
  }
  for (uint16_t code = 1; code <= kCodeMax; ++code) {
    const std::string suffix = "." + std::string(code_name(static_cast<Code>(code)));
    if (snapshot.errors[code] != 0) values["errors.data" + suffix] = snapshot.errors[code];
    const uint64_t control = sources.control.errors()[code];
    if (control != 0) values["errors.control" + suffix] = control;
  }
  for (const auto& [name, method] : sources.control.methods()) {
    values["control." + name] = method.calls;
  }
  values["flush_queue"] = sources.workers.waiting();
  values["buffer_memory_bytes"] = sources.memory.used_bytes();
  return values;
}

std::string metrics_text(const MetricsSources& sources) {
  return prometheus::TextSerializer().Serialize(Collector(sources).collect());
}

struct MetricsServer::Impl {
  std::shared_ptr<Scrape> scrape;
  std::unique_ptr<prometheus::Exposer> exposer;
};

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MetricsServer::~MetricsServer() = default;

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(const std::string& listen,
                                                            const MetricsSources& sources) {
  auto impl = std::make_unique<Impl>();
  impl->scrape = std::make_shared<Scrape>(sources);
  try {
    // One thread that serves, and limits on who may keep it busy.
    impl->exposer = std::make_unique<prometheus::Exposer>(
        std::vector<std::string>{"listening_ports", listen, "num_threads", "2",
                                 "request_timeout_ms", "5000", "max_request_size", "8192"});
    impl->exposer->RegisterCollectable(impl->scrape);
  } catch (const std::exception& error) {
    return Error(Code::kBusy, "[metrics] listen: '" + listen + "' cannot be used: " + error.what());
  }
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(impl)));
}

}  // namespace pmshelf::app
