// Numbers that nobody can guess: UUIDs and salts.
#pragma once

#include <cstdint>
#include <random>

namespace pmshelf::store {

inline uint64_t random_u64() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace pmshelf::store
