// Encoding of region attributes (docs/format.md, "Attributes"): on media, in frames, in clients.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "pmshelf/result.h"

namespace pmshelf {

inline constexpr uint32_t kAttributeBytesMax = 32 * 1024;  // all attributes of a region, encoded
inline constexpr uint32_t kAttributeKeyBytesMax = 255;

// Per pair u16 key length, u32 value length, key, value; keys ascending by bytes, UTF-8 without
// NUL. kInvalidArgument names a bad key or a total over kAttributeBytesMax.
Result<std::string> encode_attributes(const std::map<std::string, std::string>& attributes);
// kCorrupt for anything that encode_attributes does not produce.
Result<std::map<std::string, std::string>> decode_attributes(std::string_view bytes);

}  // namespace pmshelf
