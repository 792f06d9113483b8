// Between the control plane's messages and the public types, and checks of what users pass in.
#pragma once

#include <string_view>

#include "pmshelf/client.h"
#include "pmshelf/result.h"
#include "pmshelf/v1/admin.pb.h"
#include "pmshelf/v1/regions.pb.h"
#include "pmshelf/v1/shelves.pb.h"

namespace pmshelf::client {

inline constexpr size_t kRegionNameBytesMax = 4096;
inline constexpr size_t kTextBytesMax = 4096;

ShelfStat shelf_stat(const v1::ShelfInfo& info);
RegionStat region_stat(const v1::RegionInfo& info);
Space space(const v1::Space& space);
PoolStat pool_stat(const v1::PoolInfo& info);
SessionStat session_stat(const v1::SessionInfo& info);
DaemonStatus daemon_status(const v1::StatusResponse& status);
TokenStat token_stat(const v1::TokenInfo& info);
ShelfCheck shelf_check(const v1::CheckPoolResponse& response);
v1::SameHostPolicy policy_number(SameHostPolicy policy);

// kInvalidArgument, naming `what`: a text that a proto3 string cannot carry (not UTF-8), or too
// long. What a name may be else is the daemon's to say.
Status check_text(std::string_view what, std::string_view text);
// kInvalidArgument: empty, or over 4096 bytes.
Status check_region_name(std::string_view name);

}  // namespace pmshelf::client
