// Operations of the metadata log: encoding, decoding (docs/format.md, "Operations").
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "pmshelf/result.h"
#include "server/store/types.h"

namespace pmshelf::store {

struct ShelfPut {
  ShelfInfo info;
};
struct ShelfDel {
  ShelfId shelf = 0;
};
struct RegionPut {
  RegionId region = 0;
  ShelfId shelf = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t footprint_bytes = 0;
  uint64_t modified_unix_ms = 0;
  std::string_view name;
  std::string_view attributes;
};
struct RegionDel {
  RegionId region = 0;
};
struct RegionRename {
  RegionId region = 0;
  uint64_t modified_unix_ms = 0;
  bool replace = false;
  std::string_view name;
};
struct RegionSwap {
  RegionId a = 0;
  RegionId b = 0;
  uint64_t modified_unix_ms = 0;
};
struct RegionResize {
  RegionId region = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t footprint_bytes = 0;
  uint64_t modified_unix_ms = 0;
};
struct RegionAttributes {
  RegionId region = 0;
  uint64_t modified_unix_ms = 0;
  std::string_view attributes;
};
struct RedoRange {
  uint64_t offset = 0;  // of the data media
  uint64_t bytes = 0;
};
struct Redo {
  uint64_t transaction = 0;
  uint64_t image_offset = 0;
  uint64_t image_bytes = 0;
  uint64_t image_digest = 0;  // XXH3-64
  std::vector<RedoRange> ranges;
};
struct RedoDone {
  uint64_t transaction = 0;
};
struct SpaceEnd {
  uint64_t data_end = 0;
};
struct RequestKept {
  uint64_t result = 0;
  uint64_t unix_ms = 0;
};

// One operation. String views point into the bytes that it was decoded from. A request with a
// zero id means none.
struct Operation {
  Request request;
  std::variant<ShelfPut, ShelfDel, RegionPut, RegionDel, RegionRename, RegionSwap, RegionResize,
               RegionAttributes, Redo, RedoDone, SpaceEnd, RequestKept>
      body;
};

using OpBuffer = std::vector<std::byte>;

// Appends one encoded operation. Preconditions: the limits of types.h hold.
void append_operation(OpBuffer& out, const Request& request, const ShelfPut& op);
void append_operation(OpBuffer& out, const Request& request, const ShelfDel& op);
void append_operation(OpBuffer& out, const Request& request, const RegionPut& op);
void append_operation(OpBuffer& out, const Request& request, const RegionDel& op);
void append_operation(OpBuffer& out, const Request& request, const RegionRename& op);
void append_operation(OpBuffer& out, const Request& request, const RegionSwap& op);
void append_operation(OpBuffer& out, const Request& request, const RegionResize& op);
void append_operation(OpBuffer& out, const Request& request, const RegionAttributes& op);
void append_operation(OpBuffer& out, const Request& request, const Redo& op);
void append_operation(OpBuffer& out, const Request& request, const RedoDone& op);
void append_operation(OpBuffer& out, const Request& request, const SpaceEnd& op);
void append_operation(OpBuffer& out, const Request& request, const RequestKept& op);

inline constexpr uint32_t kOperationHeaderBytes = 8;
inline constexpr uint32_t kOperationRequestBytes = 24;
inline constexpr uint32_t kRegionPutFixedBytes = 56;
inline constexpr uint32_t kRegionAttributesFixedBytes = 24;

// Encoded lengths of the operations that a snapshot consists of, without a request.
uint32_t shelf_put_bytes(const ShelfInfo& info);
constexpr uint32_t region_put_bytes(uint32_t name_bytes, uint32_t attribute_bytes) {
  const uint32_t bytes =
      kOperationHeaderBytes + kRegionPutFixedBytes + name_bytes + attribute_bytes;
  return (bytes + 7) & ~7u;
}
inline constexpr uint32_t kRequestKeptBytes = kOperationHeaderBytes + kOperationRequestBytes + 16;
inline constexpr uint32_t kSpaceEndBytes = kOperationHeaderBytes + 8;
inline constexpr uint32_t kRedoBytesMax =
    kOperationHeaderBytes + kOperationRequestBytes + 40 + 16 * kTransactionRangesMax;

// Decodes the operation at bytes[0] and tells its length. Takes any bytes; allocates no more than
// they are long. kCorrupt (with the reason) for anything that append_operation does not produce:
// lengths, reserved bytes, names, attribute CRC, limits. Whether it makes sense where it stands
// is replay.h's business.
Result<Operation> decode_operation(std::span<const std::byte> bytes, uint32_t& operation_bytes);

// 1..max bytes of UTF-8 without NUL.
bool is_valid_name(std::string_view name, uint32_t bytes_max);
// Everything but the id and the times: name, owner, access list, policy, capacity alignment.
// kInvalidArgument names the field.
Status validate_shelf_info(const ShelfInfo& info);

}  // namespace pmshelf::store
