// What a remembered request id stands for: the same id with another body is a conflict.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "common/wire/frame.h"
#include "pmshelf/result.h"
#include "server/pool/pool.h"

namespace pmshelf::dataplane {

// Of a value's bytes only the first kDigestValueBytesMax count (with its length): a retry repeats
// its own body, and hashing 8 MiB again would cost as much as receiving them.
inline constexpr uint64_t kDigestValueBytesMax = 64 * 1024;

// Of a Transact: regions, offsets and bytes, whole. Not its grants: a client that repeats it in a
// new session has other ones.
uint64_t transact_digest(std::span<const store::WriteRange> writes);

struct PutBody {
  std::string_view name, attributes;
  bool if_absent = false;
};
// Of a Put whose value lies in pool memory (kIo, read guarded) or in DRAM.
Result<uint64_t> put_digest(const PutBody& body, const pool::RegionRef& value);
uint64_t put_digest(const PutBody& body, std::span<const std::byte> value);

}  // namespace pmshelf::dataplane
