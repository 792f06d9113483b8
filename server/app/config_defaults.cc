// Defaults that depend on who runs the daemon.
#include <pwd.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>

#include "server/app/config.h"

namespace pmshelf::app {
namespace {

// Both sockets' paths must fit into sockaddr_un with their NUL.
constexpr size_t kSocketNameBytesMax = sizeof("/control.sock") - 1;
constexpr size_t kSocketPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || value[0] != '/' ? std::string() : std::string(value);
}

}  // namespace

Environment Environment::current() {
  Environment environment;
  environment.uid = ::geteuid();
  environment.user = std::to_string(environment.uid);
  environment.home = variable("HOME");
  if (const passwd* entry = ::getpwuid(environment.uid)) {  // before any thread
    environment.user = entry->pw_name;
    if (environment.home.empty()) environment.home = entry->pw_dir;
  }
  environment.xdg_runtime_dir = variable("XDG_RUNTIME_DIR");
  environment.xdg_state_home = variable("XDG_STATE_HOME");
  environment.xdg_config_home = variable("XDG_CONFIG_HOME");
  environment.unit_runtime_dir = variable("RUNTIME_DIRECTORY");
  environment.unit_state_dir = variable("STATE_DIRECTORY");
  environment.unit_config_dir = variable("CONFIGURATION_DIRECTORY");
  return environment;
}

std::string default_runtime_dir(const Environment& environment, const std::string& private_name) {
  if (private_name.empty() && !environment.unit_runtime_dir.empty()) {
    return environment.unit_runtime_dir;
  }
  if (private_name.empty() && environment.uid == 0) return "/run/pmshelf";
  const std::string suffix = private_name.empty() ? "" : "/" + private_name;
  const std::string preferred = environment.xdg_runtime_dir + "/pmshelf" + suffix;
  const bool fits = preferred.size() + kSocketNameBytesMax <= kSocketPathBytesMax;
  if (!environment.xdg_runtime_dir.empty() && fits) return preferred;
  return "/tmp/pmshelf-" + std::to_string(environment.uid) + suffix;
}

std::string default_config_file(const Environment& environment) {
  if (!environment.unit_config_dir.empty()) return environment.unit_config_dir + "/pmshelfd.toml";
  if (environment.uid == 0) return "/etc/pmshelf/pmshelfd.toml";
  if (!environment.xdg_config_home.empty()) {
    return environment.xdg_config_home + "/pmshelf/pmshelfd.toml";
  }
  return environment.home + "/.config/pmshelf/pmshelfd.toml";
}

void fill_defaults(Config& config, const Environment& environment) {
  if (config.state_dir.empty()) {
    if (!environment.unit_state_dir.empty()) {
      config.state_dir = environment.unit_state_dir;
    } else if (environment.uid == 0) {
      config.state_dir = "/var/lib/pmshelf";
    } else if (!environment.xdg_state_home.empty()) {
      config.state_dir = environment.xdg_state_home + "/pmshelf";
    } else {
      config.state_dir = environment.home + "/.local/state/pmshelf";
    }
  }
  if (config.runtime_dir.empty()) config.runtime_dir = default_runtime_dir(environment, "");
  if (config.token_file.empty()) config.token_file = config.state_dir + "/tokens";
  if (config.admins.empty()) {
    config.admins = {"unix:root"};
    if (environment.user != "root") config.admins.push_back("unix:" + environment.user);
  }
  if (config.pools.empty()) {
    PoolConfig pool;
    pool.path = config.state_dir + "/pool";
    config.pools.push_back(pool);
  }
}

}  // namespace pmshelf::app
