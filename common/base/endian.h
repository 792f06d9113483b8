// Little-endian fields in byte buffers: the only way on-media and on-wire bytes are read or made.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace pmshelf {

static_assert(std::endian::native == std::endian::little, "pmshelf runs on little-endian hosts");

// Precondition: sizeof(T) bytes are readable at `at`; any alignment.
template <class T>
  requires std::is_unsigned_v<T>
T load_le(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Precondition: sizeof(T) bytes are writable at `at`; any alignment. For DRAM buffers only:
// pool memory is written through Media.
template <class T>
  requires std::is_unsigned_v<T>
void store_le(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

}  // namespace pmshelf
