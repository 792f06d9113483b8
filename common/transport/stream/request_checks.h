// Small words that the parts of StreamConnection share. Private to the stream library.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "common/transport/stream_server.h"

namespace pmshelf::transport {

inline Error invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

inline Error lost_memory() { return {Code::kIo, "the region's memory became inaccessible"}; }

inline uint64_t sum_bytes(std::span<const Window> windows) {
  uint64_t total_bytes = 0;
  for (const Window& window : windows) total_bytes += window.bytes;
  return total_bytes;
}

inline bool in_ring(const wire::FrameHeader& header) {
  return (header.flags & wire::kFlagInRing) != 0;
}

}  // namespace pmshelf::transport
