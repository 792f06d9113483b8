// Encoding of region attributes: sorted (key, value) pairs; see docs/format.md, "Attributes".
#pragma once

#include <string>
#include <string_view>

#include "pmshelf/result.h"
#include "server/store/types.h"

namespace pmshelf::store {

// u16 key length, u32 value length, key, value; keys ascending, 1..255 bytes of UTF-8 without NUL.
// kInvalidArgument names a bad key or a total over kAttributeBytesMax.
Result<std::string> encode_attributes(const Attributes& attributes);
// kCorrupt for anything that encode_attributes does not produce.
Result<Attributes> decode_attributes(std::string_view bytes);

}  // namespace pmshelf::store
