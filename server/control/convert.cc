#include "server/control/convert.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/endian.h"
#include "server/store/attributes.h"

namespace pmshelf::control {
namespace {

constexpr uint32_t kAllRights = store::kRead | store::kWrite | store::kAdmin;

Error not_sixteen(std::string_view field, size_t bytes) {
  return Error(Code::kInvalidArgument,
               std::string(field) + ": an id of 16 bytes is needed, not " + std::to_string(bytes));
}

}  // namespace

std::string id_bytes(const wire::GrantId& id) {
  std::array<std::byte, 16> bytes{};
  store_le(bytes.data(), id.high);
  store_le(bytes.data() + 8, id.low);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string id_bytes(const wire::SessionId& id) {
  return {reinterpret_cast<const char*>(id.data()), id.size()};
}

Result<wire::GrantId> grant_id(std::string_view field, std::string_view bytes) {
  if (bytes.size() != 16) return not_sixteen(field, bytes.size());
  const auto* at = reinterpret_cast<const std::byte*>(bytes.data());
  return wire::GrantId{load_le<uint64_t>(at), load_le<uint64_t>(at + 8)};
}

Result<wire::SessionId> session_id(std::string_view field, std::string_view bytes) {
  wire::SessionId id{};
  if (bytes.size() != id.size()) return not_sixteen(field, bytes.size());
  std::memcpy(id.data(), bytes.data(), id.size());
  return id;
}

Result<std::string> encode_map(const google::protobuf::Map<std::string, std::string>& attributes) {
  auto encoded = store::encode_attributes({attributes.begin(), attributes.end()});
  if (!encoded.ok()) return encoded.error().with_context("attributes");
  return encoded;
}

Status decode_map(std::string_view encoded,
                  google::protobuf::Map<std::string, std::string>& attributes) {
  PMSHELF_TRY_ASSIGN(const store::Attributes decoded, store::decode_attributes(encoded));
  attributes.insert(decoded.begin(), decoded.end());
  return {};
}

Result<std::vector<store::AclEntry>> access_list(
    const google::protobuf::RepeatedPtrField<v1::AccessEntry>& entries) {
  if (entries.size() > kAccessEntriesMax) {
    return Error(Code::kInvalidArgument, "access: at most 256 entries");
  }
  std::vector<store::AclEntry> list;
  for (const v1::AccessEntry& entry : entries) {
    if (!is_principal_text(entry.principal())) {
      return Error(Code::kInvalidArgument, "access.principal: " + quote_name(entry.principal()) +
                                               " is not 1..256 characters without spaces");
    }
    if (entry.rights() == 0 || entry.rights() > kAllRights) {
      return Error(Code::kInvalidArgument,
                   "access.rights: a sum of 1 (read), 2 (write), 4 (admin) is needed");
    }
    list.push_back({entry.principal(), static_cast<uint8_t>(entry.rights())});
  }
  return list;
}

Result<store::SameHostPolicy> same_host_policy(v1::SameHostPolicy policy,
                                               store::SameHostPolicy unspecified) {
  switch (policy) {
    case v1::SAME_HOST_UNSPECIFIED:
      return unspecified;
    case v1::DIRECT:
      return store::SameHostPolicy::kDirect;
    case v1::COPY:
      return store::SameHostPolicy::kCopy;
    case v1::OFF:
      return store::SameHostPolicy::kOff;
    default:
      return Error(Code::kInvalidArgument, "same_host: 1 (direct), 2 (copy) or 3 (off)");
  }
}

v1::StorageClass storage_class(media::StorageClass storage) {
  switch (storage) {
    case media::StorageClass::kPersistent:
      return v1::PERSISTENT;
    case media::StorageClass::kFile:
      return v1::FILE;
    case media::StorageClass::kVolatile:
      return v1::VOLATILE;
  }
  return v1::STORAGE_CLASS_UNSPECIFIED;
}

v1::SameHostPolicy same_host_policy(store::SameHostPolicy policy) {
  return static_cast<v1::SameHostPolicy>(policy);
}

void fill(const store::SpaceInfo& space, v1::Space& out) {
  out.set_capacity_bytes(space.capacity_bytes);
  out.set_used_bytes(space.used_bytes);
  out.set_free_bytes(space.free_bytes);
  out.set_metadata_bytes(space.metadata_bytes);
  out.set_held_bytes(space.held_bytes);
  out.set_largest_free_bytes(space.largest_free_bytes);
  out.set_region_count(space.region_count);
}

void fill(const ShelfView& view, v1::ShelfInfo& out) {
  const store::ShelfInfo& info = view.info;
  out.set_name(info.name);
  out.set_pool(view.pool->name);
  out.set_owner(info.owner);
  if ((view.rights & store::kAdmin) != 0) {
    for (const store::AclEntry& entry : info.acl) {
      v1::AccessEntry& access = *out.add_access();
      access.set_principal(entry.principal);
      access.set_rights(entry.rights);
    }
  }
  out.set_same_host(same_host_policy(info.same_host));
  out.set_storage_class(storage_class(view.shelf->storage_class()));
  fill(view.shelf->space(), *out.mutable_space());
  out.set_created_unix_ms(info.created_unix_ms);
  out.set_read_only(view.shelf->read_only());
  out.set_offline(view.shelf->offline());
  out.set_trouble(printable(view.shelf->trouble()));
  out.set_my_rights(view.rights);
}

void fill(const session::Registry& registry, const pool::Shelf& shelf,
          const store::RegionInfo& region, v1::RegionInfo& out) {
  out.set_id(region.id);
  out.set_name(region.name);
  out.set_bytes(region.bytes);
  out.set_footprint_bytes(region.footprint_bytes);
  out.set_modified_unix_ms(region.modified_unix_ms);
  out.set_grants(registry.grants_on(region_key(shelf, region.id)));
  out.set_locks(registry.locks_on(lock_key(shelf, region.name)));
}

}  // namespace pmshelf::control
