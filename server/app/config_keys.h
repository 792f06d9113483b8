// The one list of configuration keys. Reader, printer and comparison are visitors of it.
#pragma once

#include "server/app/config.h"

namespace pmshelf::app {

// Limits of numbers: {least, most}.
struct Between {
  uint64_t least;
  uint64_t most;
};
inline constexpr uint64_t kSecondMs = 1000;
inline constexpr uint64_t kDayMs = 86'400'000;

template <class Visitor, class Pool>
void visit_pool(Visitor& visit, Pool& pool) {
  visit.text("name", pool.name, "1..64 of [A-Za-z0-9._-]");
  visit.text(
      "path", pool.path,
      "A directory (DAX mount, tmpfs or any file system) or a DAX device such as /dev/dax0.0");
  visit.flag(
      "preallocate", pool.preallocate,
      "Directories: take the space of a shelf when it is made, so that it cannot run out later");
  visit.flag("device", pool.device, "The path is a plain file that stands in for a device");
  visit.flag("format", pool.format,
             "Devices: write an empty store when the first bytes are zero; never over data");
}

// `Visitor` has section, text, texts, flag, count, bytes, duration, pools; `AnyConfig` is Config or
// const Config.
template <class Visitor, class AnyConfig>
void visit_config(Visitor& visit, AnyConfig& config) {
  visit.section("daemon");
  visit.text("state_dir", config.state_dir, "Tokens and the default pool");
  visit.text("runtime_dir", config.runtime_dir,
             "The two Unix sockets, data.sock and control.sock; at most 94 bytes");
  visit.count("data_threads", config.data_threads, Between{0, 256},
              "Threads that move data; 0: one per CPU, at most 16");
  visit.count("flush_threads", config.flush_threads, Between{1, 1024},
              "Threads that wait for the file system on pools without DAX");
  visit.duration("drain_timeout", config.drain_timeout_ms, Between{0, kDayMs},
                 "At SIGTERM clients get this long to finish");

  visit.section("control");
  visit.texts("listen", config.control_listen,
              "Control plane (gRPC), besides control.sock. Any address but loopback needs [tls]");

  visit.section("data");
  visit.texts("listen", config.data_listen,
              "Data plane, besides data.sock. Any address but loopback needs [tls]");
  visit.count("connections_max", config.connections_max, Between{1, 1'000'000},
              "Further connections are closed at once");
  visit.count("in_flight_max", config.in_flight_max, Between{1, 4096},
              "Unanswered requests of one connection; then the daemon stops reading");
  visit.bytes("buffer_memory", config.buffer_memory_bytes,
              Between{uint64_t{8} << 20, uint64_t{1} << 40},
              "DRAM for transactions on their way and same-host rings, all connections together");

  visit.section("tls");
  visit.text("cert", config.tls_cert, "Certificate chain, PEM. Read again when it changes");
  visit.text("key", config.tls_key, "Its private key, PEM, readable by the daemon's user alone");
  visit.text("client_ca", config.tls_client_ca,
             "Clients with a certificate of this authority are principals cert:COMMON-NAME");

  visit.section("auth");
  visit.texts("admins", config.admins,
              "Principals (or globs) that may do everything: unix:NAME, token:NAME, cert:NAME");
  visit.texts("creators", config.creators, "Principals (or globs) that may create shelves");
  visit.text("token_file", config.token_file, "Hashes of the tokens that were given out");

  visit.section("session");
  visit.duration("timeout", config.session_timeout_ms, Between{kSecondMs, kDayMs},
                 "A session without a sign of life ends after this long");
  visit.duration("lease", config.lease_ms, Between{kSecondMs, kDayMs},
                 "A grant without a sign of life of its session ends after this long");
  visit.count("max", config.sessions_max, Between{1, 1'000'000}, "Sessions at the same time");

  visit.section("log");
  visit.text("level", config.log.level, "trace, debug, info, warn, error, off");
  visit.text("format", config.log.format, "text or json, one line an event");
  visit.text("file", config.log.file, "Empty: standard error. Re-opened at SIGHUP");

  visit.section("metrics");
  visit.text("listen", config.metrics_listen,
             "Prometheus over HTTP, such as 127.0.0.1:7209. Empty: none. No TLS, no login");

  visit.pools(config.pools);
}

}  // namespace pmshelf::app
