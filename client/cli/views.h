// How pools, shelves, regions, sessions and tokens look to people. Pure functions of what the
// daemon said.
#pragma once

#include <string>
#include <vector>

#include "client/cli/table.h"
#include "pmshelf/client.h"

namespace pmshelf::cli {

std::string pools_table(const std::vector<PoolStat>& pools);
std::string pool_facts(const PoolStat& pool);
// What was found on one shelf; "" for a sound one when `damage_only`.
std::string check_text(const ShelfCheck& check, bool damage_only);

std::string shelves_table(const std::vector<ShelfStat>& shelves);
std::string shelf_facts(const ShelfStat& shelf);
// Owner, access list and same-host policy.
std::string access_text(const ShelfStat& shelf);

// One page of a listing. `shelf` is put before each name ("SHELF/REGION") unless empty. The columns
// before the name are wide enough for any value, so pages fit under one heading.
std::string regions_page(const std::vector<RegionStat>& regions, const std::string& shelf,
                         bool heading);
std::string region_facts(const RegionStat& region, const std::string& shelf);

std::string sessions_table(const std::vector<SessionStat>& sessions);
std::string tokens_table(const std::vector<TokenStat>& tokens);
// `path`: the data path in use.
std::string status_facts(const DaemonStatus& status, const std::string& path);

// The one session whose id begins with `prefix`. kNotFound, kInvalidArgument when several do or
// when it is not 4 hex digits at least.
Result<SessionStat> find_session(const std::vector<SessionStat>& sessions,
                                 const std::string& prefix);

}  // namespace pmshelf::cli
