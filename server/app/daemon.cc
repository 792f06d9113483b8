#include "server/app/daemon.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/transport/stream/stream_listener.h"
#include "server/app/data_threads.h"
#include "server/app/folders.h"
#include "server/app/listen_address.h"
#include "server/app/metrics_export.h"
#include "server/app/tls_reloader.h"
#include "server/app/version.h"
#include "server/control/control_server.h"
#include "server/dataplane/data_plane.h"

namespace pmshelf::app {
namespace {

using dataplane::Path;

uint32_t thread_count(uint32_t configured) {
  if (configured != 0) return configured;
  return std::clamp(std::thread::hardware_concurrency(), 1U, kDataThreadsDefaultMax);
}

uint64_t random_number() {
  uint64_t number = 0;
  wire::fill_random(std::as_writable_bytes(std::span(&number, 1)));
  return number;
}

session::RegistryLimits registry_limits(const Config& config) {
  session::RegistryLimits limits;
  limits.sessions_max = config.sessions_max;
  limits.session_timeout_ms = config.session_timeout_ms;
  limits.lease_ms = config.lease_ms;
  return limits;
}

control::AuthenticatorOptions authenticator_options(const Config& config) {
  control::AuthenticatorOptions options;
  options.token_file = config.token_file;
  options.admins = config.admins;
  options.creators = config.creators;
  return options;
}

// As many descriptors as the system lets us have: each connection needs one.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// A TCP address of the data plane that is listened on.
struct DataAddress {
  ListenAddress address;  // with the port in use
  bool tls = false;
};

}  // namespace

// In the order of making; members are destroyed from the last to the first.
struct Daemon::Parts {
  Parts(const Config& with, const DaemonMode& with_mode)
      : config(with), mode(with_mode), registry(registry_limits(with), clock), handles(registry) {}

  Status open_folders();
  Status open_pools();
  Status open_data_plane();
  Status open_listeners();
  Status listen_data(const std::string& text);
  Status open_control();
  Status open_metrics();
  Result<std::unique_ptr<transport::StreamListener>> listen(transport::ListenOptions options);

  std::vector<control::Endpoint> endpoints(bool same_host) const;
  control::StatusReport status() const;
  Result<std::string> issue_peer_token(const transport::PeerInfo& peer);
  std::shared_ptr<pool::Shelf> find_shelf(uint64_t key) const;
  uint32_t connections(Path path) const;
  void close_sessions();
  bool has_tls() const { return !config.tls_cert.empty(); }

  Config config;
  const DaemonMode mode;
  const SystemClock clock;
  const uint64_t started_ms = clock.boot_ms();
  const uint64_t boot_epoch = random_number();
  session::Registry registry;
  session::Handles handles;
  std::vector<std::unique_ptr<pool::Pool>> pools;
  control::PoolSet pool_set;
  uint64_t recovery_us = 0;
  std::unique_ptr<control::Authenticator> authenticator;
  dataplane::OpMetrics data_metrics;
  ControlMetrics control_metrics;
  std::unique_ptr<dataplane::MemoryBudget> memory;
  std::unique_ptr<dataplane::WorkerPool> workers;
  std::unique_ptr<dataplane::DataPlane> data_plane;
  std::unique_ptr<DataThreads> threads;
  std::unique_ptr<TlsReloader> tls;
  std::unique_ptr<MetricsSources> metrics_sources;
  std::unique_ptr<control::ControlServer> control;
  std::unique_ptr<transport::StreamListener> local_listener;
  std::vector<std::unique_ptr<transport::StreamListener>> tcp_listeners;
  std::vector<DataAddress> tcp_addresses;  // of tcp_listeners
  std::unique_ptr<MetricsServer> metrics_server;
  bool drained = false;
};

Status Daemon::Parts::open_folders() {
  const bool for_everybody = ::geteuid() == 0 && !mode.private_daemon;
  PMSHELF_TRY(make_runtime_folder(config.runtime_dir, for_everybody ? 0755 : 0700));
  return make_folder(config.state_dir, 0700);
}

Status Daemon::Parts::open_pools() {
  for (const PoolConfig& from : config.pools) {
    if (from.path == config.state_dir + "/pool") PMSHELF_TRY(make_folder(from.path, 0700));
    pool::PoolOptions options;
    options.name = from.name;
    options.path = from.path;
    options.preallocate = from.preallocate;
    options.device = from.device;
    options.format = from.format;
    options.mirror_media = mode.mirror_seed.has_value();
    options.mirror_seed = mode.mirror_seed.value_or(1);
    options.owner_note = config.runtime_dir + "/data.sock";
    Result<std::unique_ptr<pool::Pool>> opened = pool::Pool::open(options, clock);
    if (!opened.ok()) return opened.error().with_context("pool '" + from.name + "'");
    pools.push_back(*std::move(opened));
    PMSHELF_TRY(pool_set.add(*pools.back()));
    const pool::PoolStat stat = pools.back()->stat();
    spdlog::info("pool '{}' at '{}': {}, {} shelves", stat.name, stat.path,
                 media::storage_class_name(stat.storage_class), stat.shelf_count);
    for (const std::string& trouble : stat.trouble)
      spdlog::error("pool '{}': {}", stat.name, trouble);
  }
  for (const auto& pool : pools) {
    for (const auto& shelf : pool->shelves()) recovery_us += shelf->recovery().elapsed_us;
  }
  return {};
}

Status Daemon::Parts::open_data_plane() {
  memory = std::make_unique<dataplane::MemoryBudget>(config.buffer_memory_bytes);
  workers = std::make_unique<dataplane::WorkerPool>(config.flush_threads, kFlushQueueMax);
  dataplane::DataPlaneParts plane{registry, handles, *workers, data_metrics, *memory, {}, {}};
  plane.find_shelf = [this](uint64_t key) { return find_shelf(key); };
  plane.issue_peer_token = [this](const transport::PeerInfo& peer) {
    return issue_peer_token(peer);
  };
  plane.boot_epoch = boot_epoch;
  plane.in_flight_max = config.in_flight_max;
  data_plane = std::make_unique<dataplane::DataPlane>(std::move(plane));
  threads = std::make_unique<DataThreads>(thread_count(config.data_threads));
  if (has_tls()) {
    // No client certificates here: Hello proves the session, whatever it was opened with.
    PMSHELF_TRY_ASSIGN(tls, TlsReloader::open({config.tls_cert, config.tls_key, {}}));
  }
  return {};
}

Result<std::unique_ptr<transport::StreamListener>> Daemon::Parts::listen(
    transport::ListenOptions options) {
  options.limits.connections_max = config.connections_max;
  options.limits.in_flight_max = config.in_flight_max;
  return transport::StreamListener::open(threads->contexts(), std::move(options),
                                         data_plane->factory());
}

Status Daemon::Parts::listen_data(const std::string& text) {
  PMSHELF_TRY_ASSIGN(ListenAddress address, parse_listen_address("[data] listen", text, has_tls()));
  const bool with_tls = !address.loopback;
  transport::ListenOptions options;
  options.address = address.host;
  options.port = address.port;
  if (with_tls) options.tls_context = [reloader = tls.get()] { return reloader->current(); };
  auto listener = listen(std::move(options));
  if (!listener.ok()) return listener.error().with_context("[data] listen '" + text + "'");
  address.port = (*listener)->port();
  tcp_listeners.push_back(*std::move(listener));
  tcp_addresses.push_back({address, with_tls});
  return {};
}

Status Daemon::Parts::open_listeners() {
  transport::ListenOptions local;
  local.unix_path = config.runtime_dir + "/data.sock";
  auto listener = listen(std::move(local));
  if (!listener.ok()) return listener.error().with_context("[daemon] runtime_dir");
  local_listener = *std::move(listener);
  for (const std::string& text : config.data_listen) PMSHELF_TRY(listen_data(text));
  return {};
}

Status Daemon::Parts::open_control() {
  control::ControlOptions options;
  options.listen.push_back({.setting = "[daemon] runtime_dir",
                            .address = "unix:" + config.runtime_dir + "/control.sock"});
  for (const std::string& text : config.control_listen) {
    PMSHELF_TRY_ASSIGN(const ListenAddress address,
                       parse_listen_address("[control] listen", text, has_tls()));
    options.listen.push_back(
        {.setting = "[control] listen", .address = text, .tls = !address.loopback});
  }
  options.tls.cert_file = config.tls_cert;
  options.tls.key_file = config.tls_key;
  options.tls.client_ca_file = config.tls_client_ca;
  options.version = PMSHELF_VERSION;
  options.boot_epoch = boot_epoch;
  options.session_timeout_ms = config.session_timeout_ms;
  control::ControlHooks hooks;
  hooks.endpoints = [this](bool same_host) { return endpoints(same_host); };
  hooks.status = [this] { return status(); };
  hooks.drain_began = [this] { data_plane->notify_drain(); };
  hooks.stop = [] { ::kill(::getpid(), SIGTERM); };
  hooks.called = [this](std::string_view method, Code code, uint64_t elapsed_us) {
    control_metrics.called(method, code, elapsed_us);
  };
  const control::ControlParts parts{registry, handles, pool_set, *authenticator, clock};
  control = std::make_unique<control::ControlServer>(parts, std::move(options), std::move(hooks));
  return control->start();
}

Status Daemon::Parts::open_metrics() {
  metrics_sources.reset(new MetricsSources{
      data_metrics, control_metrics, registry, *workers, *memory, pools,
      [this](Path path) { return connections(path); }, recovery_us, clock.unix_ms()});
  if (config.metrics_listen.empty()) return {};
  PMSHELF_TRY_ASSIGN(metrics_server, MetricsServer::start(config.metrics_listen, *metrics_sources));
  return {};
}

std::vector<control::Endpoint> Daemon::Parts::endpoints(bool same_host) const {
  std::vector<control::Endpoint> all;
  if (same_host) all.push_back({"local", config.runtime_dir + "/data.sock", false});
  for (const DataAddress& data : tcp_addresses) {
    // A loopback address means another host to a client from elsewhere.
    if (data.address.loopback && !same_host) continue;
    const std::string port = ":" + std::to_string(data.address.port);
    all.push_back({"tcp", data.address.wildcard ? port : data.address.text(), data.tls});
  }
  return all;
}

control::StatusReport Daemon::Parts::status() const {
  control::StatusReport report;
  report.uptime_ms = clock.boot_ms() - started_ms;
  report.recovery_us = recovery_us;
  report.counters = metrics_snapshot(*metrics_sources);
  return report;
}

Result<std::string> Daemon::Parts::issue_peer_token(const transport::PeerInfo& peer) {
  if (mode.private_daemon && peer.uid != 0 && peer.uid != ::geteuid()) {
    return Error(Code::kPermissionDenied, "this daemon is private to uid " +
                                              std::to_string(::geteuid()) + "; you are uid " +
                                              std::to_string(peer.uid));
  }
  return authenticator->issue_peer_token(peer.uid, peer.gid, peer.pid);
}

std::shared_ptr<pool::Shelf> Daemon::Parts::find_shelf(uint64_t key) const {
  for (const auto& pool : pools) {
    for (auto& shelf : pool->shelves()) {
      if (shelf->key() == key) return shelf;
    }
  }
  return nullptr;
}

uint32_t Daemon::Parts::connections(Path path) const {
  if (path == Path::kLocal) return local_listener ? local_listener->connection_count() : 0;
  uint32_t count = 0;
  for (const auto& listener : tcp_listeners) count += listener->connection_count();
  return count;
}

void Daemon::Parts::close_sessions() {
  for (const session::SessionView& view : registry.list()) {
    registry.close(view.id, "the daemon is ending");
  }
}

Daemon::Daemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Daemon::~Daemon() {
  if (Status drained = drain(); !drained.ok()) {
    spdlog::error("shutdown: {}", drained.error().message());
  }
}

Result<std::unique_ptr<Daemon>> Daemon::start(const Config& config, const DaemonMode& mode) {
  raise_descriptor_limit();
  std::unique_ptr<Daemon> daemon(new Daemon(std::make_unique<Parts>(config, mode)));
  Parts& parts = *daemon->parts_;
  PMSHELF_TRY(parts.open_folders());
  PMSHELF_TRY(parts.open_pools());
  PMSHELF_TRY_ASSIGN(parts.authenticator,
                     control::Authenticator::open(authenticator_options(config), parts.clock));
  PMSHELF_TRY(parts.open_data_plane());
  // The control plane is the door: it opens when there is something behind it.
  PMSHELF_TRY(parts.open_listeners());
  PMSHELF_TRY(parts.open_metrics());
  PMSHELF_TRY(parts.open_control());
  spdlog::info("ready: {}", daemon->summary());
  return daemon;
}

bool Daemon::tick() {
  parts_->registry.sweep();
  parts_->control->sweep();
  if (parts_->tls) parts_->tls->check();
  return parts_->threads->alive(parts_->clock.boot_ms(), kDataThreadStuckMs);
}

void Daemon::reload(const Config& fresh) {
  std::string restart;
  for (const std::string& key : changed_keys(parts_->config, fresh)) {
    if (key.starts_with("log.") || key == "daemon.drain_timeout") continue;
    restart += (restart.empty() ? "" : ", ") + key;
  }
  if (Status logging = set_up_logging(fresh.log); !logging.ok()) {
    spdlog::error("reload: [log] {}; the old log goes on", logging.error().message());
  } else {
    parts_->config.log = fresh.log;
  }
  parts_->config.drain_timeout_ms = fresh.drain_timeout_ms;
  if (parts_->tls) parts_->tls->check();
  if (!restart.empty()) spdlog::warn("reload: takes effect after a restart only: {}", restart);
  spdlog::info("reload: done; {}", summary());
}

bool Daemon::busy() const {
  return parts_->registry.counts().sessions != 0 || parts_->connections(Path::kLocal) != 0 ||
         parts_->connections(Path::kTcp) != 0;
}

uint64_t Daemon::sessions_opened() const {
  return parts_->control_metrics.method("Sessions.Open").calls;
}

Status Daemon::drain() {
  Parts& parts = *parts_;
  if (std::exchange(parts.drained, true)) return {};
  const uint64_t end_ms = parts.clock.boot_ms() + parts.config.drain_timeout_ms;
  const auto left_ms = [&] {
    const uint64_t now_ms = parts.clock.boot_ms();
    return now_ms < end_ms ? end_ms - now_ms : 0;
  };
  if (parts.control) parts.control->begin_drain();  // tells data connections, too
  parts.metrics_server.reset();
  if (parts.control) parts.control->shutdown(left_ms());
  if (parts.local_listener) parts.local_listener->stop(left_ms());
  for (const auto& listener : parts.tcp_listeners) listener->stop(left_ms());
  parts.local_listener.reset();
  parts.tcp_listeners.clear();
  if (parts.workers) parts.workers->stop();
  parts.threads.reset();  // with what was still posted: nothing holds regions any more
  parts.close_sessions();
  Status result;
  for (const auto& pool : parts.pools) {
    const std::string name = pool->stat().name;
    Status closed = pool->close();
    if (!closed.ok() && result.ok()) result = closed.error().with_context("pool '" + name + "'");
  }
  return result;
}

std::string Daemon::data_socket() const { return parts_->config.runtime_dir + "/data.sock"; }

std::string Daemon::summary() const {
  std::string text = "control";
  for (const std::string& address : parts_->control->addresses()) text += " " + address;
  text += ", data unix:" + data_socket();
  for (const DataAddress& data : parts_->tcp_addresses) {
    text += " " + data.address.text() + (data.tls ? " (TLS)" : "");
  }
  if (!parts_->config.metrics_listen.empty()) text += ", metrics " + parts_->config.metrics_listen;
  return text;
}

}  // namespace pmshelf::app
