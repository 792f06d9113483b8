// Holes of sparse files. Internal to common/media.
#pragma once

#include <cstdint>
#include <string>

#include "common/media/range.h"
#include "pmshelf/result.h"

namespace pmshelf::media {

// From here on a hole is cheaper than zeros, and looking for holes cheaper than touching them.
inline constexpr uint64_t kHoleBytesMin = 64 << 10;
inline constexpr uint64_t kNoData = ~uint64_t{0};

// First byte at or after `offset` that is not in a hole of the file, or kNoData. Without a
// descriptor (-1: a device) everything is data. kIo.
Result<uint64_t> next_data(const std::string& name, int fd, uint64_t offset);

// What of [at, end) may be touched in one step from `at` on, which is data. Where the next hole
// begins is not asked: tmpfs walks all data up to it. A step is at most kHoleBytesMin long.
Extent data_step(uint64_t at, uint64_t end);

}  // namespace pmshelf::media
