// Between protocol messages and the daemon's own types.
#pragma once

#include <google/protobuf/map.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/wire/frame.h"
#include "pmshelf/result.h"
#include "pmshelf/v1/types.pb.h"
#include "server/control/shelf_access.h"
#include "server/store/types.h"

namespace pmshelf::control {

inline constexpr int kAccessEntriesMax = 256;

std::string id_bytes(const wire::GrantId& id);  // 16 bytes: high, then low, little-endian
std::string id_bytes(const wire::SessionId& id);
// kInvalidArgument names the field unless there are 16 bytes.
Result<wire::GrantId> grant_id(std::string_view field, std::string_view bytes);
Result<wire::SessionId> session_id(std::string_view field, std::string_view bytes);

// Encoded as stores keep them. kInvalidArgument names the bad key or the limit.
Result<std::string> encode_map(const google::protobuf::Map<std::string, std::string>& attributes);
// kCorrupt.
Status decode_map(std::string_view encoded,
                  google::protobuf::Map<std::string, std::string>& attributes);

// kInvalidArgument: over 256 entries, a principal that cannot be one, bad rights.
Result<std::vector<store::AclEntry>> access_list(
    const google::protobuf::RepeatedPtrField<v1::AccessEntry>& entries);
// kInvalidArgument; `unspecified` is what the field means when it is not set.
Result<store::SameHostPolicy> same_host_policy(v1::SameHostPolicy policy,
                                               store::SameHostPolicy unspecified);

v1::StorageClass storage_class(media::StorageClass storage);
v1::SameHostPolicy same_host_policy(store::SameHostPolicy policy);
void fill(const store::SpaceInfo& space, v1::Space& out);
// The access list is for holders of the ADMIN right.
void fill(const ShelfView& view, v1::ShelfInfo& out);
// Without attributes; `grants` and `locks` from the registry.
void fill(const session::Registry& registry, const pool::Shelf& shelf,
          const store::RegionInfo& region, v1::RegionInfo& out);

}  // namespace pmshelf::control
