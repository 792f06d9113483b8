// Moves bytes from where they are read to where they are written, both at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <span>

#include "pmshelf/result.h"

namespace pmshelf::cli {

inline constexpr size_t kPumpChunkBytes = size_t{8} << 20;  // the largest exchange of the protocol

struct PumpEnds {
  // Fills the whole span with the bytes at `offset`. The span lives until the future is ready.
  std::function<std::future<Status>(uint64_t offset, std::span<std::byte>)> read;
  // The bytes at `offset` are where they belong when the future is ready.
  std::function<std::future<Status>(uint64_t offset, std::span<const std::byte>)> write;
  // After each written chunk; an error ends the pump with it.
  std::function<Status(uint64_t done_bytes)> progress;
};

// Moves [0, bytes). While a chunk is written the next one is read, so two chunk buffers are all
// the memory it takes. Returns the first error of either end; no call of an end is outstanding
// when it returns. Offsets rise: an end may be a stream.
Status pump(uint64_t bytes, const PumpEnds& ends, size_t chunk_bytes = kPumpChunkBytes);

// An end made of a blocking call, run on a thread of its own.
std::future<Status> run_aside(std::function<Status()> call);

}  // namespace pmshelf::cli
