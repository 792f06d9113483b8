#include "client/cli/views.h"

#include <algorithm>
#include <chrono>

#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

constexpr size_t kSessionIdShown = 12;
constexpr size_t kSessionPrefixMin = 4;
constexpr size_t kAttributeShownMax = 200;

std::string join(const std::vector<std::string>& words, const std::string& separator) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

std::string duration(uint64_t ms) { return human_duration(std::chrono::milliseconds(ms)); }

std::string state_of(const ShelfStat& shelf) {
  if (shelf.offline) return "offline";
  return shelf.read_only ? "read-only" : "ok";
}

std::string with_bytes(uint64_t bytes) {
  const std::string human = human_bytes(bytes);
  return bytes < 1024 ? human : human + " (" + std::to_string(bytes) + ")";
}

}  // namespace

std::string pools_table(const std::vector<PoolStat>& pools) {
  Table table({{"POOL"},
               {"KIND"},
               {"CLASS"},
               {"SIZE", Align::kRight},
               {"FREE", Align::kRight},
               {"SHELVES", Align::kRight},
               {"STATE"},
               {"PATH"}});
  for (const PoolStat& pool : pools) {
    table.add({pool.name, pool.kind, std::string(storage_class_name(pool.storage_class)),
               human_bytes(pool.total_bytes), human_bytes(pool.available_bytes),
               std::to_string(pool.shelf_count), pool.trouble.empty() ? "ok" : "trouble",
               pool.path});
  }
  return table.text();
}

std::string pool_facts(const PoolStat& pool) {
  std::string text = facts({{"pool", pool.name},
                            {"path", pool.path},
                            {"kind", pool.kind},
                            {"storage class", std::string(storage_class_name(pool.storage_class))},
                            {"size", with_bytes(pool.total_bytes)},
                            {"free", with_bytes(pool.available_bytes)},
                            {"shelves", std::to_string(pool.shelf_count)},
                            {"preallocated", pool.preallocate ? "yes" : "no"}});
  for (const std::string& line : pool.trouble) text += "trouble: " + escape(line) + "\n";
  return text;
}

std::string check_text(const ShelfCheck& check, bool damage_only) {
  std::string text;
  for (const std::string& problem : check.problems) text += "  " + escape(problem) + "\n";
  for (const std::string& region : check.bad_block_regions) {
    text += "  bad blocks under region " + escape(region) + "\n";
  }
  if (text.empty() && damage_only) return text;
  const std::string verdict = text.empty() ? "ok" : "DAMAGED";
  return escape(check.shelf) + ": " + verdict + ", " + counted(check.records_checked, "record") +
         ", " + counted(check.regions_checked, "region") + ", " +
         human_bytes(check.space.used_bytes) + " used\n" + text;
}

std::string shelves_table(const std::vector<ShelfStat>& shelves) {
  Table table({{"SHELF"},
               {"POOL"},
               {"CLASS"},
               {"CAPACITY", Align::kRight},
               {"USED", Align::kRight},
               {"FREE", Align::kRight},
               {"REGIONS", Align::kRight},
               {"RIGHTS"},
               {"STATE"},
               {"OWNER"}});
  for (const ShelfStat& shelf : shelves) {
    table.add({shelf.name, shelf.pool, std::string(storage_class_name(shelf.storage_class)),
               human_bytes(shelf.space.capacity_bytes), human_bytes(shelf.space.used_bytes),
               human_bytes(shelf.space.free_bytes), std::to_string(shelf.space.region_count),
               rights_text(shelf.my_rights), state_of(shelf), shelf.owner});
  }
  return table.text();
}

std::string shelf_facts(const ShelfStat& shelf) {
  const Space& space = shelf.space;
  return facts({{"shelf", shelf.name},
                {"pool", shelf.pool},
                {"storage class", std::string(storage_class_name(shelf.storage_class))},
                {"state", state_of(shelf)},
                {"trouble", shelf.trouble},
                {"capacity", with_bytes(space.capacity_bytes)},
                {"used", with_bytes(space.used_bytes)},
                {"free", with_bytes(space.free_bytes)},
                {"largest free", with_bytes(space.largest_free_bytes)},
                {"held", space.held_bytes == 0 ? "" : with_bytes(space.held_bytes)},
                {"metadata", with_bytes(space.metadata_bytes)},
                {"regions", std::to_string(space.region_count)},
                {"created", human_time(shelf.created_unix_ms)},
                {"my rights", rights_text(shelf.my_rights)}}) +
         access_text(shelf);
}

std::string access_text(const ShelfStat& shelf) {
  std::vector<std::pair<std::string, std::string>> rows = {
      {"owner", shelf.owner}, {"same host", std::string(same_host_name(shelf.same_host))}};
  for (const AccessEntry& entry : shelf.access) {
    rows.emplace_back("access", rights_text(entry.rights) + " " + entry.principal);
  }
  return facts(rows);
}

std::string regions_page(const std::vector<RegionStat>& regions, const std::string& shelf,
                         bool heading) {
  Table table({{"SIZE", Align::kRight, 10},
               {"MODIFIED", Align::kLeft, 19},
               {"GRANTS", Align::kRight},
               {"LOCKS", Align::kRight},
               {"REGION"}});
  for (const RegionStat& region : regions) {
    table.add({human_bytes(region.bytes), human_time(region.modified_unix_ms),
               std::to_string(region.grants), std::to_string(region.locks),
               shelf.empty() ? region.name : shelf + "/" + region.name});
  }
  return table.text(heading);
}

std::string region_facts(const RegionStat& region, const std::string& shelf) {
  std::string text = facts({{"region", shelf + "/" + region.name},
                            {"id", std::to_string(region.id)},
                            {"size", with_bytes(region.bytes)},
                            {"footprint", with_bytes(region.footprint_bytes)},
                            {"modified", human_time(region.modified_unix_ms)},
                            {"grants", std::to_string(region.grants)},
                            {"locks", std::to_string(region.locks)}});
  for (const auto& [key, value] : region.attributes) {
    const std::string shown = value.size() <= kAttributeShownMax
                                  ? escape(value)
                                  : escape(std::string_view(value).substr(0, kAttributeShownMax)) +
                                        "... (" + counted(value.size(), "byte") + ")";
    text += "attribute " + escape(key) + " = " + shown + "\n";
  }
  return text;
}

std::string sessions_table(const std::vector<SessionStat>& sessions) {
  Table table({{"SESSION"},
               {"PRINCIPAL"},
               {"PEER"},
               {"PATHS"},
               {"IDLE", Align::kRight},
               {"AGE", Align::kRight},
               {"GRANTS", Align::kRight},
               {"LOCKS", Align::kRight},
               {"CLIENT"}});
  for (const SessionStat& session : sessions) {
    table.add({session.id.substr(0, kSessionIdShown), session.principal, session.peer,
               join(session.paths, ","), duration(session.idle_ms), duration(session.age_ms),
               std::to_string(session.grants), std::to_string(session.locks), session.client_name});
  }
  return table.text();
}

std::string tokens_table(const std::vector<TokenStat>& tokens) {
  Table table({{"TOKEN"}, {"ACTS AS"}, {"SHELVES"}, {"RIGHTS"}, {"EXPIRES"}, {"CREATED BY"}});
  for (const TokenStat& token : tokens) {
    table.add({token.name, token.principal, token.shelves, rights_text(token.rights),
               token.expires_unix_ms == 0 ? "never" : human_time(token.expires_unix_ms),
               token.created_by});
  }
  return table.text();
}

std::string status_facts(const DaemonStatus& status, const std::string& path) {
  const std::string you = status.principal + (status.administrator ? " (administrator)" : "");
  return facts({{"daemon", "pmshelfd " + status.version},
                {"state", status.draining ? "draining: takes no new sessions" : "serving"},
                {"up", duration(status.uptime_ms)},
                {"recovery took", duration(status.recovery_us / 1000)},
                {"you are", you},
                {"data path", path},
                {"sessions", std::to_string(status.sessions)},
                {"grants", std::to_string(status.grants)},
                {"shelves", std::to_string(status.shelves)}});
}

Result<SessionStat> find_session(const std::vector<SessionStat>& sessions,
                                 const std::string& prefix) {
  const bool hex = prefix.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!hex || prefix.size() < kSessionPrefixMin) {
    return Error(Code::kInvalidArgument, "'" + prefix + "' is no session id; give at least " +
                                             std::to_string(kSessionPrefixMin) +
                                             " hex digits of one from 'session ls'");
  }
  const auto matches = [&](const SessionStat& session) {
    return session.id.compare(0, prefix.size(), prefix) == 0;
  };
  const auto found = std::find_if(sessions.begin(), sessions.end(), matches);
  if (found == sessions.end()) {
    return Error(Code::kNotFound, "no session begins with '" + prefix + "'");
  }
  if (std::count_if(sessions.begin(), sessions.end(), matches) > 1) {
    return Error(Code::kInvalidArgument,
                 "several sessions begin with '" + prefix + "'; give more digits");
  }
  return *found;
}

}  // namespace pmshelf::cli
