// CRC-32C (Castagnoli), through ISA-L, which uses the CPU's instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pmshelf {

// RFC 3720 convention: crc32c("123456789") == 0xE3069283. `seed` continues an earlier value.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t seed = 0);

}  // namespace pmshelf
