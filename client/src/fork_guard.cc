#include "client/src/fork_guard.h"

#include <pthread.h>

#include <atomic>

#include "common/base/check.h"

namespace pmshelf::client {
namespace {

std::atomic<uint64_t> generation{0};

}  // namespace

uint64_t fork_generation() {
  static const bool registered = [] {
    PMSHELF_CHECK(pthread_atfork(nullptr, nullptr, [] { ++generation; }) == 0);
    return true;
  }();
  return registered ? generation.load(std::memory_order_relaxed) : 0;
}

}  // namespace pmshelf::client
