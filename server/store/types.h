// Value types of the store. Sizes and offsets are bytes; offsets count from the start of the data
// media; ranges are half-open.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pmshelf::store {

using ShelfId = uint32_t;   // unique within a store, never reused
using RegionId = uint64_t;  // unique within a store, never reused
using StagedId = uint64_t;  // volatile: a reservation that no record names yet

inline constexpr uint64_t kExtentBytes = uint64_t{2} << 20;
inline constexpr uint32_t kPageBytes = 4096;
inline constexpr uint32_t kRegionNameBytesMax = 4096;
inline constexpr uint32_t kShelfNameBytesMax = 200;
inline constexpr uint32_t kPrincipalBytesMax = 255;
inline constexpr uint32_t kAclEntriesMax = 1024;           // access list entries of a shelf
inline constexpr uint32_t kAttributeBytesMax = 32 * 1024;  // all attributes of a region, encoded
inline constexpr uint32_t kBatchOpsMax = 4096;             // operations in one log record
inline constexpr uint32_t kTransactionRangesMax = 1024;
inline constexpr uint32_t kRequestsKept = 65536;  // newest request ids remembered
inline constexpr uint64_t kRequestKeepMs = 10 * 60 * 1000;

// Rights are bits; an access list names principals ("unix:alice", "token:ci", "cert:host7", or a
// glob of those) and what they may do.
enum Right : uint8_t { kRead = 1, kWrite = 2, kAdmin = 4 };

struct AclEntry {
  std::string principal;
  uint8_t rights = 0;
  bool operator==(const AclEntry&) const = default;
};

enum class SameHostPolicy : uint8_t { kDirect = 1, kCopy = 2, kOff = 3 };

struct ShelfInfo {
  ShelfId id = 0;
  std::string name;
  std::string owner;  // principal
  std::vector<AclEntry> acl;
  SameHostPolicy same_host = SameHostPolicy::kDirect;
  uint64_t capacity_bytes = 0;  // multiple of kExtentBytes
  uint64_t created_unix_ms = 0;
  bool operator==(const ShelfInfo&) const = default;
};

using Attributes = std::map<std::string, std::string>;

struct RegionInfo {
  RegionId id = 0;
  ShelfId shelf = 0;
  std::string name;
  uint64_t offset = 0;            // of the first byte; 0 for empty regions
  uint64_t bytes = 0;             // length
  uint64_t footprint_bytes = 0;   // what it takes of the shelf's capacity, >= bytes
  uint64_t modified_unix_ms = 0;  // of name, size or attributes; not of the bytes
  uint32_t attribute_bytes = 0;
};

// Space never lies: used + free + metadata = capacity, for a shelf and for a store.
struct SpaceInfo {
  uint64_t capacity_bytes = 0;
  uint64_t used_bytes = 0;          // footprints of live regions
  uint64_t held_bytes = 0;          // part of used: erased or staged, still referenced by somebody
  uint64_t free_bytes = 0;          // every byte a new region could take (slab slack included)
  uint64_t metadata_bytes = 0;      // part of capacity that holds no region bytes
  uint64_t largest_free_bytes = 0;  // largest region that could be created now
  uint64_t region_count = 0;
};

// Identity of one client request, remembered so that a retry is applied once. Zero id: none.
struct RequestId {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const RequestId&) const = default;
  explicit operator bool() const { return (high | low) != 0; }
};
struct Request {
  RequestId id;
  uint64_t digest = 0;  // of the request's body: the same id with another digest is kConflict
};
struct RequestOutcome {
  uint64_t digest = 0;
  uint64_t result = 0;  // the RegionId or ShelfId made, else 0
};

}  // namespace pmshelf::store
