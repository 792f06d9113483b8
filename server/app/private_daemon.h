// What makes a daemon a private one (docs/protocol.md, "Finding the daemon").
#pragma once

#include <string>

#include "pmshelf/result.h"
#include "server/app/config.h"

namespace pmshelf::app {

inline constexpr uint64_t kNobodyCameMs = 30'000;  // ends when no client ever came

// "p-DEV-INODE" in hex, of an existing directory. kNotFound, kInvalidArgument, kIo.
Result<std::string> private_folder_name(const std::string& directory);

// The configuration of the private daemon of `directory` (absolute, existing): Unix sockets in a
// runtime folder of its own, no TCP, no stored tokens, log beside the sockets.
Result<Config> private_config(const std::string& directory, const Environment& environment);

// When a private daemon ends: long enough without sessions and connections. One thread.
class IdleWatch {
 public:
  IdleWatch(uint64_t idle_exit_ms, uint64_t now_ms)
      : idle_exit_ms_(idle_exit_ms), idle_since_ms_(now_ms) {}
  // True when it is time to end. `visits` counts the sessions that were opened so far: some come
  // and go between two calls.
  bool check(bool busy, uint64_t visits, uint64_t now_ms);

 private:
  const uint64_t idle_exit_ms_;
  uint64_t idle_since_ms_;
  uint64_t visits_ = 0;
};

}  // namespace pmshelf::app
