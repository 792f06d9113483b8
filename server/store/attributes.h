// Encoding of region attributes: sorted (key, value) pairs; see docs/format.md, "Attributes".
// Clients send and receive the same bytes, so the code is in common/base.
#pragma once

#include "common/base/attributes.h"
#include "server/store/types.h"

namespace pmshelf::store {

static_assert(kAttributeBytesMax == pmshelf::kAttributeBytesMax);
using pmshelf::decode_attributes;
using pmshelf::encode_attributes;

}  // namespace pmshelf::store
