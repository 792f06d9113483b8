// Numbers of docs/format.md, "Operations"; private to operations*.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace pmshelf::store::wire {

enum class Kind : uint8_t {
  kShelfPut = 1,
  kShelfDel = 2,
  kRegionPut = 3,
  kRegionDel = 4,
  kRegionRename = 5,
  kRegionSwap = 6,
  kRegionResize = 7,
  kRegionAttributes = 8,
  kRedo = 9,
  kRedoDone = 10,
  kSpace = 11,
  kRequest = 12,
};

inline constexpr uint8_t kFlagRequest = 1;
inline constexpr uint16_t kFlagReplace = 1;

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace pmshelf::store::wire
