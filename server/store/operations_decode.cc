#include <algorithm>
#include <string>

#include "common/base/crc32c.h"
#include "common/base/endian.h"
#include "server/store/operation_kinds.h"
#include "server/store/operations.h"

namespace pmshelf::store {
namespace {

using wire::as_bytes;
using wire::kFlagReplace;
using wire::kFlagRequest;
using wire::Kind;

// Reads one operation front to back. After the first read past the end everything is zero and
// ok() is false.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  uint8_t u8() { return get<uint8_t>(); }
  uint16_t u16() { return get<uint16_t>(); }
  uint32_t u32() { return get<uint32_t>(); }
  uint64_t u64() { return get<uint64_t>(); }
  void reserved(size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) ok_ = (u8() == 0) && ok_;
  }
  std::string_view text(size_t bytes) {
    if (bytes > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view out(reinterpret_cast<const char*>(rest_.data()), bytes);
    rest_ = rest_.subspan(bytes);
    return out;
  }
  size_t left() const { return rest_.size(); }
  bool ok() const { return ok_; }
  // True when all was read and nothing but the padding to 8 bytes, of zeros, is left.
  bool finished() {
    if (rest_.size() >= 8) return false;
    reserved(rest_.size());
    return ok_;
  }

 private:
  template <class T>
  T get() {
    if (sizeof(T) > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return 0;
    }
    const T value = load_le<T>(rest_.data());
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  std::span<const std::byte> rest_;
  bool ok_ = true;
};

Error bad(const std::string& what) { return Error(Code::kCorrupt, "operation: " + what); }

Result<ShelfPut> read_shelf_put(Reader& in) {
  ShelfPut op;
  ShelfInfo& info = op.info;
  info.id = in.u32();
  info.same_host = static_cast<SameHostPolicy>(in.u8());
  in.reserved(1);
  const uint16_t entries = in.u16();
  info.capacity_bytes = in.u64();
  info.created_unix_ms = in.u64();
  const uint16_t name_bytes = in.u16();
  const uint16_t owner_bytes = in.u16();
  in.reserved(4);
  info.name = in.text(name_bytes);
  info.owner = in.text(owner_bytes);
  for (uint32_t i = 0; i < entries && in.ok(); ++i) {  // every entry takes bytes: bounded
    AclEntry entry;
    const uint16_t principal_bytes = in.u16();
    entry.rights = in.u8();
    entry.principal = in.text(principal_bytes);
    info.acl.push_back(std::move(entry));
  }
  if (!in.ok()) return bad("shelf record is cut off");
  if (info.id == 0) return bad("shelf 0");
  if (Status valid = validate_shelf_info(info); !valid.ok()) return bad(valid.error().message());
  return op;
}

Result<RegionPut> read_region_put(Reader& in) {
  RegionPut op;
  op.region = in.u64();
  op.shelf = in.u32();
  const uint16_t name_bytes = in.u16();
  in.reserved(2);
  op.offset = in.u64();
  op.bytes = in.u64();
  op.footprint_bytes = in.u64();
  op.modified_unix_ms = in.u64();
  const uint32_t attribute_bytes = in.u32();
  const uint32_t attribute_crc = in.u32();
  op.name = in.text(name_bytes);
  op.attributes = in.text(attribute_bytes);
  if (!in.ok()) return bad("region record is cut off");
  if (!is_valid_name(op.name, kRegionNameBytesMax)) return bad("region name");
  if (op.attributes.size() > kAttributeBytesMax ||
      crc32c(as_bytes(op.attributes)) != attribute_crc) {
    return bad("attributes do not match their CRC");
  }
  return op;
}

Result<RegionRename> read_rename(Reader& in) {
  RegionRename op;
  op.region = in.u64();
  op.modified_unix_ms = in.u64();
  const uint16_t name_bytes = in.u16();
  const uint16_t flags = in.u16();
  in.reserved(4);
  op.name = in.text(name_bytes);
  if (!in.ok()) return bad("rename is cut off");
  if ((flags & ~kFlagReplace) != 0) return bad("rename flags");
  op.replace = flags != 0;
  if (!is_valid_name(op.name, kRegionNameBytesMax)) return bad("region name");
  return op;
}

Result<RegionAttributes> read_attributes(Reader& in) {
  RegionAttributes op;
  op.region = in.u64();
  op.modified_unix_ms = in.u64();
  const uint32_t bytes = in.u32();
  const uint32_t crc = in.u32();
  op.attributes = in.text(bytes);
  if (!in.ok()) return bad("attributes are cut off");
  if (op.attributes.size() > kAttributeBytesMax || crc32c(as_bytes(op.attributes)) != crc) {
    return bad("attributes do not match their CRC");
  }
  return op;
}

Result<Redo> read_redo(Reader& in) {
  Redo op;
  op.transaction = in.u64();
  op.image_offset = in.u64();
  op.image_bytes = in.u64();
  op.image_digest = in.u64();
  const uint32_t count = in.u32();
  in.reserved(4);
  if (!in.ok() || count == 0 || count > kTransactionRangesMax || in.left() / 16 < count) {
    return bad("redo count");
  }
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; ++i) {
    RedoRange range;
    range.offset = in.u64();
    range.bytes = in.u64();
    if (range.bytes == 0 || range.bytes > op.image_bytes - sum) return bad("redo range");
    sum += range.bytes;
    op.ranges.push_back(range);
  }
  if (sum != op.image_bytes) return bad("redo ranges and image differ in length");
  return op;
}

Result<RegionSwap> read_swap(Reader& in) {
  RegionSwap op;
  op.a = in.u64();
  op.b = in.u64();
  op.modified_unix_ms = in.u64();
  return op;
}

Result<RegionResize> read_resize(Reader& in) {
  RegionResize op;
  op.region = in.u64();
  op.offset = in.u64();
  op.bytes = in.u64();
  op.footprint_bytes = in.u64();
  op.modified_unix_ms = in.u64();
  return op;
}

Result<RequestKept> read_request(Reader& in) {
  RequestKept op;
  op.result = in.u64();
  op.unix_ms = in.u64();
  return op;
}

Result<ShelfDel> read_shelf_del(Reader& in) {
  ShelfDel op{in.u32()};
  in.reserved(4);
  return op;
}

// Puts what a reader returned into the operation.
template <class T>
Status take(Operation& op, Result<T> body) {
  PMSHELF_TRY_ASSIGN(op.body, std::move(body));
  return {};
}

Status read_body(Kind kind, Reader& in, Operation& op) {
  switch (kind) {
    case Kind::kShelfPut:
      return take(op, read_shelf_put(in));
    case Kind::kShelfDel:
      return take(op, read_shelf_del(in));
    case Kind::kRegionPut:
      return take(op, read_region_put(in));
    case Kind::kRegionDel:
      return take<RegionDel>(op, RegionDel{in.u64()});
    case Kind::kRegionRename:
      return take(op, read_rename(in));
    case Kind::kRegionSwap:
      return take(op, read_swap(in));
    case Kind::kRegionResize:
      return take(op, read_resize(in));
    case Kind::kRegionAttributes:
      return take(op, read_attributes(in));
    case Kind::kRedo:
      return take(op, read_redo(in));
    case Kind::kRedoDone:
      return take<RedoDone>(op, RedoDone{in.u64()});
    case Kind::kSpace:
      return take<SpaceEnd>(op, SpaceEnd{in.u64()});
    case Kind::kRequest:
      return take(op, read_request(in));
  }
  return bad("unknown kind " + std::to_string(static_cast<unsigned>(kind)));
}

}  // namespace

Result<Operation> decode_operation(std::span<const std::byte> bytes, uint32_t& operation_bytes) {
  Reader header(bytes.first(std::min<size_t>(bytes.size(), kOperationHeaderBytes)));
  const auto kind = static_cast<Kind>(header.u8());
  const uint8_t flags = header.u8();
  header.reserved(2);
  operation_bytes = header.u32();
  if (!header.ok() || (flags & ~kFlagRequest) != 0) return bad("header");
  if (operation_bytes % 8 != 0 || operation_bytes < kOperationHeaderBytes ||
      operation_bytes > bytes.size()) {
    return bad("length");
  }
  Reader in(bytes.subspan(kOperationHeaderBytes, operation_bytes - kOperationHeaderBytes));
  Operation op;
  if (flags == kFlagRequest) {
    op.request.id.high = in.u64();
    op.request.id.low = in.u64();
    op.request.digest = in.u64();
    if (!op.request.id) return bad("request id 0");
  } else if (kind == Kind::kRequest) {
    return bad("remembered request without a request");
  }
  PMSHELF_TRY(read_body(kind, in, op));
  if (!in.finished()) return bad("length does not match its kind");
  return op;
}

}  // namespace pmshelf::store
