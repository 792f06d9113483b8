// What a Lock handle holds.
#pragma once

#include <mutex>

#include "client/src/core.h"
#include "pmshelf/client.h"

namespace pmshelf {

struct Lock::Impl {
 public:
  Impl(client::CoreRef core, uint64_t lock_id, uint64_t generation)
      : core_(std::move(core)), lock_id_(lock_id), generation_(generation) {}
  // Unlocks in the background.
  ~Impl();
  Status unlock();

 private:
  static Status send(client::Core& core, uint64_t lock_id, uint64_t generation);

  const client::CoreRef core_;
  const uint64_t lock_id_;
  const uint64_t generation_;  // of the session that holds it
  std::mutex mutex_;
  bool unlocked_ = false;
};

}  // namespace pmshelf
