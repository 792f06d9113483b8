#include "common/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace pmshelf {

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t seed) {
  constexpr size_t kMaxChunk = size_t{1} << 30;  // ISA-L takes an int length
  uint32_t state = ~seed;
  while (!bytes.empty()) {
    const size_t chunk = std::min(bytes.size(), kMaxChunk);
    // ISA-L's signature lacks const; it only reads.
    auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));
    state = crc32_iscsi(data, static_cast<int>(chunk), state);
    bytes = bytes.subspan(chunk);
  }
  return ~state;
}

}  // namespace pmshelf
