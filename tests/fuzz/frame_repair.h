// Makes fuzzed bytes into frames whose headers decode, so that a fuzzer gets past the CRC.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/endian.h"
#include "common/wire/frame.h"

namespace pmshelf::wire {

// Takes the bytes as frames one after the other and repairs magic, version and CRC of each header;
// lengths are cut to 16 bits so that the next frame is reached. `change` may set further fields.
template <class Change>
std::vector<std::byte> repair_frames(std::span<const std::byte> input, Change change) {
  std::vector<std::byte> bytes(input.begin(), input.end());
  size_t at = 0;
  while (bytes.size() - at >= kFrameHeaderBytes) {
    std::byte* header = bytes.data() + at;
    store_le<uint16_t>(header, kFrameMagic);
    store_le<uint8_t>(header + 2, kFrameVersion);
    store_le<uint16_t>(header + 50, 0);
    store_le<uint16_t>(header + 54, 0);
    store_le<uint32_t>(header + 56, 0);
    change(header);
    store_le<uint32_t>(header + 60, crc32c(std::span<const std::byte>(header, 60)));
    const bool in_ring = (load_le<uint16_t>(header + 6) & kFlagInRing) != 0;
    const size_t rest =
        load_le<uint32_t>(header + 48) + (in_ring ? 0 : load_le<uint32_t>(header + 52));
    at += std::min(kFrameHeaderBytes + rest, bytes.size() - at);
  }
  return bytes;
}

}  // namespace pmshelf::wire
