// Compares the configuration with the machine that it is to run on.
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "common/base/clock.h"
#include "server/app/config.h"
#include "server/app/listen_address.h"
#include "server/control/tls.h"
#include "server/control/token_file.h"

namespace pmshelf::app {
namespace {

constexpr size_t kRuntimeDirBytesMax =
    sizeof(sockaddr_un::sun_path) - 1 - (sizeof("/control.sock") - 1);
static_assert(kRuntimeDirBytesMax == 94, "named in config_keys.h and docs/operations.md");

// Collects problems, each with its place.
class Checker {
 public:
  explicit Checker(const Config& config) : config_(config) {}

  void check(const std::string& key, const Status& status) {
    if (!status.ok()) note(key, status.error().message());
  }
  void note(const std::string& key, const std::string& what) { add(place(key) + ": " + what); }
  // A problem that names its place already.
  void add(const std::string& problem) { problems_ += (problems_.empty() ? "" : "\n") + problem; }
  std::string place(const std::string& key) const { return locate(config_, key); }
  Status result() const {
    if (problems_.empty()) return {};
    return Error(Code::kInvalidArgument, problems_);
  }

 private:
  const Config& config_;
  std::string problems_;
};

Status absolute(const std::string& path) {
  if (path.starts_with('/')) return {};
  return Error(Code::kInvalidArgument, "'" + path + "' must be an absolute path");
}

void check_folders(const Config& config, Checker& checker) {
  checker.check("daemon.state_dir", absolute(config.state_dir));
  checker.check("daemon.runtime_dir", absolute(config.runtime_dir));
  if (!config.log.file.empty()) checker.check("log.file", absolute(config.log.file));
  if (config.runtime_dir.size() > kRuntimeDirBytesMax) {
    checker.note("daemon.runtime_dir", "'" + config.runtime_dir +
                                           "' is too long for the path of a Unix socket: at most "
                                           "94 bytes");
  }
  if (config.token_file.empty()) return;  // private daemons keep none
  checker.check("auth.token_file", absolute(config.token_file));
  if (const auto tokens = control::read_token_file(config.token_file); !tokens.ok()) {
    checker.note("auth.token_file", tokens.error().message());
  }
}

// load_tls begins its messages with what it was reading.
const char* tls_key_of(const std::string& message) {
  if (message.starts_with("key")) return "tls.key";
  return message.starts_with("client") ? "tls.client_ca" : "tls.cert";
}

void check_tls(const Config& config, Checker& checker) {
  if (config.tls_cert.empty() != config.tls_key.empty()) {
    const char* missing = config.tls_cert.empty() ? "tls.cert" : "tls.key";
    checker.note(missing, "is missing: cert and key belong together");
  }
  if (!config.tls_client_ca.empty() && config.tls_cert.empty()) {
    checker.note("tls.client_ca", "needs cert and key as well");
  }
  if (config.tls_cert.empty() || config.tls_key.empty()) return;
  const SystemClock clock;
  const auto loaded =
      control::load_tls({config.tls_cert, config.tls_key, config.tls_client_ca}, clock);
  if (!loaded.ok()) checker.note(tls_key_of(loaded.error().message()), loaded.error().message());
}

void check_addresses(const Config& config, Checker& checker) {
  struct Setting {
    const char* key;
    std::vector<std::string> texts;
    bool tls;  // without need for it, or there is a certificate
    bool unix_sockets;
  };
  const bool tls = !config.tls_cert.empty();
  std::vector<std::string> metrics;
  if (!config.metrics_listen.empty()) metrics.push_back(config.metrics_listen);
  const Setting settings[] = {{"control.listen", config.control_listen, tls, true},
                              {"data.listen", config.data_listen, tls, false},
                              {"metrics.listen", metrics, true, false}};
  std::vector<std::pair<std::string, ListenAddress>> taken;
  for (const Setting& setting : settings) {
    for (const std::string& text : setting.texts) {
      const auto address = parse_listen_address(checker.place(setting.key), text, setting.tls);
      if (!address.ok()) {
        checker.add(address.error().message());
        continue;
      }
      if (!address->unix_path.empty() && !setting.unix_sockets) {
        checker.note(setting.key, "'" + text +
                                      "' must be a TCP address: data.sock in "
                                      "[daemon] runtime_dir is always there");
      }
      for (const auto& [other, other_address] : taken) {
        if (listen_addresses_clash(*address, other_address)) {
          checker.note(setting.key, "'" + text + "' takes the same port as " + other);
        }
      }
      taken.emplace_back(std::string(setting.key) + " '" + text + "'", *address);
    }
  }
}

Status check_pool_path(const PoolConfig& pool) {
  const auto wrong = [&](const std::string& what) {
    return Error(Code::kInvalidArgument, "'" + pool.path + "' " + what);
  };
  PMSHELF_TRY(absolute(pool.path));
  struct stat status{};
  if (::stat(pool.path.c_str(), &status) != 0) {
    const int error = errno;
    if (error == ENOENT && ::lstat(pool.path.c_str(), &status) == 0 && S_ISLNK(status.st_mode)) {
      return wrong("is a link to something that does not exist");
    }
    if (error == ENOENT) return wrong("does not exist: make the directory, or mount the device");
    return wrong(std::string("cannot be used: ") + std::strerror(error));
  }
  if (S_ISDIR(status.st_mode)) {
    return pool.device ? Status(wrong("is a directory: leave 'device' out")) : Status();
  }
  if (S_ISCHR(status.st_mode) || (S_ISREG(status.st_mode) && pool.device)) return {};
  if (S_ISREG(status.st_mode)) {
    return wrong("is a plain file: name a directory, or set device = true to use it as a device");
  }
  if (S_ISFIFO(status.st_mode)) return wrong("is a FIFO: name a directory or a DAX device");
  if (S_ISBLK(status.st_mode)) {
    return wrong("is a block device: mount it (with -o dax) and name the directory");
  }
  return wrong("is neither a directory nor a DAX device");
}

Status check_pool_name(const std::string& name) {
  bool good = !name.empty() && name.size() <= 64 && name.front() != '.';
  for (const char letter : name) {
    good = good && (std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '.' ||
                    letter == '_' || letter == '-');
  }
  if (good) return {};
  return Error(Code::kInvalidArgument,
               "'" + name + "': 1 to 64 of A-Z a-z 0-9 . _ - and no dot in front");
}

void check_pools(const Config& config, Checker& checker) {
  std::set<std::string> names;
  std::set<std::pair<dev_t, ino_t>> places;
  const std::string default_path = config.state_dir + "/pool";
  for (size_t index = 0; index < config.pools.size(); ++index) {
    const PoolConfig& pool = config.pools[index];
    const std::string key = "pool[" + std::to_string(index) + "].";
    checker.check(key + "name", check_pool_name(pool.name));
    if (!names.insert(pool.name).second) {
      checker.note(key + "name", "'" + pool.name + "' is the name of an earlier pool");
    }
    struct stat status{};
    const bool there = ::stat(pool.path.c_str(), &status) == 0;
    const bool to_be_made = !there && errno == ENOENT && pool.path == default_path;
    if (to_be_made) continue;
    checker.check(key + "path", check_pool_path(pool));
    if (there && !places.emplace(status.st_dev, status.st_ino).second) {
      checker.note(key + "path", "'" + pool.path + "' is the path of an earlier pool");
    }
  }
}

}  // namespace

Status check_config(const Config& config) {
  Checker checker(config);
  check_folders(config, checker);
  check_tls(config, checker);
  check_addresses(config, checker);
  check_pools(config, checker);
  return checker.result();
}

}  // namespace pmshelf::app
