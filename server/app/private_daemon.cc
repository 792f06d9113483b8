#include "server/app/private_daemon.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace pmshelf::app {

Result<std::string> private_folder_name(const std::string& directory) {
  struct stat status{};
  if (::stat(directory.c_str(), &status) != 0) {
    const Code code = errno == ENOENT ? Code::kNotFound : Code::kIo;
    return Error(code, "--private: '" + directory + "': " + std::strerror(errno));
  }
  if (!S_ISDIR(status.st_mode)) {
    return Error(Code::kInvalidArgument, "--private: '" + directory + "' is not a directory");
  }
  std::array<char, 48> name{};
  std::snprintf(name.data(), name.size(), "p-%" PRIx64 "-%" PRIx64,
                static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino));
  return std::string(name.data());
}

Result<Config> private_config(const std::string& directory, const Environment& environment) {
  PMSHELF_TRY_ASSIGN(const std::string name, private_folder_name(directory));
  Config config;
  config.runtime_dir = default_runtime_dir(environment, name);
  config.state_dir = config.runtime_dir;
  config.control_listen.clear();
  config.data_listen.clear();
  config.data_threads = 2;
  config.flush_threads = 8;
  config.drain_timeout_ms = 2000;
  config.log.file = config.runtime_dir + "/pmshelfd.log";
  PoolConfig pool;
  pool.path = directory;
  config.pools.push_back(pool);
  fill_defaults(config, environment);
  config.token_file.clear();
  return config;
}

bool IdleWatch::check(bool busy, uint64_t visits, uint64_t now_ms) {
  if (busy || visits != visits_) {
    visits_ = visits;
    idle_since_ms_ = now_ms;
    return false;
  }
  return now_ms - idle_since_ms_ >= (visits_ != 0 ? idle_exit_ms_ : kNobodyCameMs);
}

}  // namespace pmshelf::app
