#include "server/store/operations.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/endian.h"
#include "common/base/units.h"
#include "common/base/utf8.h"
#include "server/store/format.h"
#include "server/store/operation_kinds.h"

namespace pmshelf::store {
namespace {

using wire::as_bytes;
using wire::kFlagReplace;
using wire::kFlagRequest;
using wire::Kind;

// The largest operation fits a record, so that anything valid can be staged and kept.
constexpr uint32_t kShelfPutBytesMax = kOperationHeaderBytes + kOperationRequestBytes + 32 +
                                       kShelfNameBytesMax + kPrincipalBytesMax +
                                       kAclEntriesMax * (3 + kPrincipalBytesMax) + 8;
static_assert(kShelfPutBytesMax <= kRecordOpBytesMax);
static_assert(kRedoBytesMax <= kRecordOpBytesMax);
static_assert(region_put_bytes(kRegionNameBytesMax, kAttributeBytesMax) + kOperationRequestBytes <=
              kRecordOpBytesMax);

// Writes one operation front to back; the constructor makes room for exactly its length.
class Writer {
 public:
  Writer(OpBuffer& out, Kind kind, const Request& request, size_t body_bytes) {
    const size_t begin = out.size();
    const size_t request_bytes = request.id ? kOperationRequestBytes : 0;
    const size_t bytes = align_up(kOperationHeaderBytes + request_bytes + body_bytes, 8);
    out.resize(begin + bytes);  // zero-filled
    at_ = out.data() + begin;
    end_ = at_ + kOperationHeaderBytes + request_bytes + body_bytes;
    u8(static_cast<uint8_t>(kind));
    u8(request.id ? kFlagRequest : 0);
    skip(2);
    u32(static_cast<uint32_t>(bytes));
    if (request.id) {
      u64(request.id.high);
      u64(request.id.low);
      u64(request.digest);
    }
  }
  ~Writer() { PMSHELF_CHECK(at_ == end_); }

  void u8(uint8_t value) { put(value); }
  void u16(uint64_t value) { put(static_cast<uint16_t>(value)); }
  void u32(uint64_t value) { put(static_cast<uint32_t>(value)); }
  void u64(uint64_t value) { put(value); }
  void skip(size_t bytes) { at_ += bytes; }
  void text(std::string_view text) {
    std::copy_n(as_bytes(text).data(), text.size(), at_);
    at_ += text.size();
  }

 private:
  template <class T>
  void put(T value) {
    store_le<T>(at_, value);
    at_ += sizeof value;
  }
  std::byte* at_;
  std::byte* end_;
};

size_t shelf_put_body_bytes(const ShelfInfo& info) {
  size_t bytes = 32 + info.name.size() + info.owner.size();
  for (const AclEntry& entry : info.acl) bytes += 3 + entry.principal.size();
  return bytes;
}

}  // namespace

void append_operation(OpBuffer& out, const Request& request, const ShelfPut& op) {
  const ShelfInfo& info = op.info;
  Writer w(out, Kind::kShelfPut, request, shelf_put_body_bytes(info));
  w.u32(info.id);
  w.u8(static_cast<uint8_t>(info.same_host));
  w.skip(1);
  w.u16(info.acl.size());
  w.u64(info.capacity_bytes);
  w.u64(info.created_unix_ms);
  w.u16(info.name.size());
  w.u16(info.owner.size());
  w.skip(4);
  w.text(info.name);
  w.text(info.owner);
  for (const AclEntry& entry : info.acl) {
    w.u16(entry.principal.size());
    w.u8(entry.rights);
    w.text(entry.principal);
  }
}

void append_operation(OpBuffer& out, const Request& request, const ShelfDel& op) {
  Writer w(out, Kind::kShelfDel, request, 8);
  w.u32(op.shelf);
  w.skip(4);
}

void append_operation(OpBuffer& out, const Request& request, const RegionPut& op) {
  Writer w(out, Kind::kRegionPut, request,
           kRegionPutFixedBytes + op.name.size() + op.attributes.size());
  w.u64(op.region);
  w.u32(op.shelf);
  w.u16(op.name.size());
  w.skip(2);
  w.u64(op.offset);
  w.u64(op.bytes);
  w.u64(op.footprint_bytes);
  w.u64(op.modified_unix_ms);
  w.u32(op.attributes.size());
  w.u32(crc32c(as_bytes(op.attributes)));
  w.text(op.name);
  w.text(op.attributes);
}

void append_operation(OpBuffer& out, const Request& request, const RegionDel& op) {
  Writer w(out, Kind::kRegionDel, request, 8);
  w.u64(op.region);
}

void append_operation(OpBuffer& out, const Request& request, const RegionRename& op) {
  Writer w(out, Kind::kRegionRename, request, 24 + op.name.size());
  w.u64(op.region);
  w.u64(op.modified_unix_ms);
  w.u16(op.name.size());
  w.u16(op.replace ? kFlagReplace : 0);
  w.skip(4);
  w.text(op.name);
}

void append_operation(OpBuffer& out, const Request& request, const RegionSwap& op) {
  Writer w(out, Kind::kRegionSwap, request, 24);
  w.u64(op.a);
  w.u64(op.b);
  w.u64(op.modified_unix_ms);
}

void append_operation(OpBuffer& out, const Request& request, const RegionResize& op) {
  Writer w(out, Kind::kRegionResize, request, 40);
  w.u64(op.region);
  w.u64(op.offset);
  w.u64(op.bytes);
  w.u64(op.footprint_bytes);
  w.u64(op.modified_unix_ms);
}

void append_operation(OpBuffer& out, const Request& request, const RegionAttributes& op) {
  Writer w(out, Kind::kRegionAttributes, request,
           kRegionAttributesFixedBytes + op.attributes.size());
  w.u64(op.region);
  w.u64(op.modified_unix_ms);
  w.u32(op.attributes.size());
  w.u32(crc32c(as_bytes(op.attributes)));
  w.text(op.attributes);
}

void append_operation(OpBuffer& out, const Request& request, const Redo& op) {
  Writer w(out, Kind::kRedo, request, 40 + 16 * op.ranges.size());
  w.u64(op.transaction);
  w.u64(op.image_offset);
  w.u64(op.image_bytes);
  w.u64(op.image_digest);
  w.u32(op.ranges.size());
  w.skip(4);
  for (const RedoRange& range : op.ranges) {
    w.u64(range.offset);
    w.u64(range.bytes);
  }
}

void append_operation(OpBuffer& out, const Request& request, const RedoDone& op) {
  Writer w(out, Kind::kRedoDone, request, 8);
  w.u64(op.transaction);
}

void append_operation(OpBuffer& out, const Request& request, const SpaceEnd& op) {
  Writer w(out, Kind::kSpace, request, 8);
  w.u64(op.data_end);
}

void append_operation(OpBuffer& out, const Request& request, const RequestKept& op) {
  Writer w(out, Kind::kRequest, request, 16);
  w.u64(op.result);
  w.u64(op.unix_ms);
}

uint32_t shelf_put_bytes(const ShelfInfo& info) {
  return static_cast<uint32_t>(align_up(kOperationHeaderBytes + shelf_put_body_bytes(info), 8));
}

bool is_valid_name(std::string_view name, uint32_t bytes_max) {
  return !name.empty() && name.size() <= bytes_max &&
         std::memchr(name.data(), 0, name.size()) == nullptr && is_valid_utf8(name);
}

Status validate_shelf_info(const ShelfInfo& info) {
  const auto refuse = [](std::string what) {
    return Error(Code::kInvalidArgument, std::move(what));
  };
  if (!is_valid_name(info.name, kShelfNameBytesMax)) {
    return refuse("shelf name: must be 1..200 bytes of UTF-8 without NUL");
  }
  if (!info.owner.empty() && !is_valid_name(info.owner, kPrincipalBytesMax)) {
    return refuse("shelf owner: must be at most 255 bytes of UTF-8 without NUL");
  }
  if (info.acl.size() > kAclEntriesMax) return refuse("access list: more than 1024 entries");
  for (const AclEntry& entry : info.acl) {
    if (!is_valid_name(entry.principal, kPrincipalBytesMax)) {
      return refuse("access list: a principal must be 1..255 bytes of UTF-8 without NUL");
    }
    if (entry.rights > (kRead | kWrite | kAdmin)) return refuse("access list: unknown rights");
  }
  if (info.same_host != SameHostPolicy::kDirect && info.same_host != SameHostPolicy::kCopy &&
      info.same_host != SameHostPolicy::kOff) {
    return refuse("same-host policy: unknown value");
  }
  if (info.capacity_bytes % kExtentBytes != 0) {
    return refuse("shelf capacity: must be a multiple of 2 MiB");
  }
  return {};
}

}  // namespace pmshelf::store
