// The daemon's configuration: one typed TOML file, read once (docs/operations.md).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/logging.h"
#include "pmshelf/result.h"

namespace pmshelf::app {

struct PoolConfig {
  std::string name = "default";
  std::string path;
  bool preallocate = true;
  bool format = false;
  bool device = false;
};

// Every field has a default; empty paths and lists stand for defaults that depend on who runs the
// daemon (fill_defaults). Plain values, made by load_config and never changed afterwards.
struct Config {
  // [daemon]
  std::string state_dir, runtime_dir;
  uint32_t data_threads = 0;  // 0: one per CPU, at most kDataThreadsDefaultMax
  uint32_t flush_threads = 16;
  uint64_t drain_timeout_ms = 10'000;
  // [control]
  std::vector<std::string> control_listen = {"127.0.0.1:7200"};
  // [data]
  std::vector<std::string> data_listen = {"127.0.0.1:7201"};
  uint32_t connections_max = 4096;
  uint32_t in_flight_max = 128;
  uint64_t buffer_memory_bytes = uint64_t{1} << 30;
  // [tls]
  std::string tls_cert, tls_key, tls_client_ca;
  // [auth]
  std::vector<std::string> admins, creators = {"unix:*"};
  std::string token_file;
  // [session]
  uint64_t session_timeout_ms = 30'000;
  uint64_t lease_ms = 30'000;
  uint32_t sessions_max = 4096;
  // [log]
  LogOptions log;
  // [metrics]
  std::string metrics_listen;
  // [[pool]]
  std::vector<PoolConfig> pools;

  std::string file;                  // where it came from; empty: defaults only
  std::map<std::string, int> lines;  // "control.listen", "pool[0].path" -> line in `file`
};

inline constexpr uint32_t kDataThreadsDefaultMax = 16;
inline constexpr uint32_t kConfigBytesMax = 1 << 20;
inline constexpr uint32_t kPoolsMax = 256;

// Who runs the daemon: decides the default paths. From the process (current) or made by tests.
struct Environment {
  uint32_t uid = 0;
  std::string user;  // of uid; "1000" when it has no name
  std::string home, xdg_runtime_dir, xdg_state_home, xdg_config_home;
  // Set by systemd for RuntimeDirectory=, StateDirectory=, ConfigurationDirectory=.
  std::string unit_runtime_dir, unit_state_dir, unit_config_dir;
  static Environment current();
};

// Reads the file and checks names, types and ranges of its keys. The message of the error
// (kInvalidArgument; kNotFound, kIo for the file itself) lists every problem, one a line, as
// "FILE:LINE: [section] key: what and how to cure it".
Result<Config> load_config(const std::string& file);
// As load_config, of `text`; `file` is for messages.
Result<Config> parse_config(const std::string& text, const std::string& file);

// Puts the environment's values where the config has none: folders, token file, administrators,
// the default pool.
void fill_defaults(Config& config, const Environment& environment);
// $XDG_RUNTIME_DIR/pmshelf, /tmp/pmshelf-UID or /run/pmshelf (docs/protocol.md, "Finding the
// daemon"). `private_name` is "" or the private daemon's folder inside it.
std::string default_runtime_dir(const Environment& environment, const std::string& private_name);
// The file that is read when none is named: of the system (root) or of the user.
std::string default_config_file(const Environment& environment);

// Compares the configuration with the machine: addresses, duplicate ports, TLS files, key file
// modes, certificate dates, pool paths. Precondition: fill_defaults was called. Error as above.
Status check_config(const Config& config);

// "FILE:LINE: [section] key" or "[section] key" of a key written as in Config::lines.
std::string locate(const Config& config, const std::string& key);

// The configuration as TOML with a comment for each key; load_config reads it back unchanged.
std::string print_config(const Config& config);

// Keys ("log.level") whose values differ.
std::vector<std::string> changed_keys(const Config& before, const Config& after);

}  // namespace pmshelf::app
