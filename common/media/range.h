// Range checks shared by every media. Internal to common/media.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "pmshelf/result.h"

namespace pmshelf::media {

inline constexpr uint64_t kWordBytes = 8;
inline constexpr uint64_t kLineBytes = 64;
inline constexpr uint64_t kPageBytes = 4096;

// A half-open range of bytes of one media.
struct Extent {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t end() const { return offset + bytes; }
  friend bool operator==(const Extent&, const Extent&) = default;
};

// The smallest range of whole `unit`s (a power of two) that contains `extent`.
inline Extent widen(const Extent& extent, uint64_t unit) {
  const uint64_t begin = extent.offset & ~(unit - 1);
  const uint64_t end = (extent.end() + unit - 1) & ~(unit - 1);
  return {begin, end - begin};
}

// kOutOfRange unless [offset, offset + bytes) lies inside [0, limit).
Status check_range(const std::string& name, uint64_t offset, uint64_t bytes, uint64_t limit);
// As check_range for a word; kInvalidArgument unless offset is a multiple of 8.
Status check_word(const std::string& name, uint64_t offset, uint64_t limit);
bool is_zero(const std::byte* data, size_t bytes);
// The kIo of an access that raised SIGBUS.
Error bus_error(const std::string& name, uint64_t offset, uint64_t bytes);

}  // namespace pmshelf::media
