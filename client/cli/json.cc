#include "client/cli/json.h"

#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

constexpr int kIndent = 2;

std::string dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Json to_json(const Space& space) {
  return {
      {"capacity_bytes", space.capacity_bytes}, {"used_bytes", space.used_bytes},
      {"free_bytes", space.free_bytes},         {"metadata_bytes", space.metadata_bytes},
      {"held_bytes", space.held_bytes},         {"largest_free_bytes", space.largest_free_bytes},
      {"region_count", space.region_count}};
}

Json to_json(const ShelfStat& shelf) {
  Json access = Json::array();
  for (const AccessEntry& entry : shelf.access) {
    access.push_back({{"principal", entry.principal}, {"rights", rights_text(entry.rights)}});
  }
  return {{"name", shelf.name},
          {"pool", shelf.pool},
          {"owner", shelf.owner},
          {"access", std::move(access)},
          {"same_host", same_host_name(shelf.same_host)},
          {"storage_class", storage_class_name(shelf.storage_class)},
          {"space", to_json(shelf.space)},
          {"created_unix_ms", shelf.created_unix_ms},
          {"read_only", shelf.read_only},
          {"offline", shelf.offline},
          {"trouble", shelf.trouble},
          {"my_rights", rights_text(shelf.my_rights)}};
}

Json to_json(const RegionStat& region) {
  Json text = Json::object();
  Json binary = Json::object();
  for (const auto& [key, value] : region.attributes) {
    if (is_utf8(value)) {
      text[key] = value;
    } else {
      binary[key] = base64(value);
    }
  }
  return {{"name", region.name},
          {"id", region.id},
          {"bytes", region.bytes},
          {"footprint_bytes", region.footprint_bytes},
          {"modified_unix_ms", region.modified_unix_ms},
          {"attributes", std::move(text)},
          {"attributes_base64", std::move(binary)},
          {"grants", region.grants},
          {"locks", region.locks}};
}

Json to_json(const PoolStat& pool) {
  return {{"name", pool.name},
          {"path", pool.path},
          {"kind", pool.kind},
          {"storage_class", storage_class_name(pool.storage_class)},
          {"total_bytes", pool.total_bytes},
          {"available_bytes", pool.available_bytes},
          {"shelf_count", pool.shelf_count},
          {"preallocate", pool.preallocate},
          {"trouble", pool.trouble}};
}

Json to_json(const ShelfCheck& check) {
  return {{"shelf", check.shelf},
          {"problems", check.problems},
          {"bad_block_regions", check.bad_block_regions},
          {"records_checked", check.records_checked},
          {"regions_checked", check.regions_checked},
          {"space", to_json(check.space)}};
}

Json to_json(const SessionStat& session) {
  return {{"id", session.id},
          {"principal", session.principal},
          {"client_name", session.client_name},
          {"peer", session.peer},
          {"paths", session.paths},
          {"idle_ms", session.idle_ms},
          {"age_ms", session.age_ms},
          {"grants", session.grants},
          {"locks", session.locks}};
}

Json to_json(const TokenStat& token) {
  return {{"name", token.name},
          {"principal", token.principal},
          {"shelves", token.shelves},
          {"rights", rights_text(token.rights)},
          {"created_by", token.created_by},
          {"created_unix_ms", token.created_unix_ms},
          {"expires_unix_ms", token.expires_unix_ms}};
}

Json to_json(const DaemonStatus& status) {
  return {{"version", status.version},
          {"principal", status.principal},
          {"administrator", status.administrator},
          {"draining", status.draining},
          {"boot_epoch", status.boot_epoch},
          {"uptime_ms", status.uptime_ms},
          {"recovery_us", status.recovery_us},
          {"sessions", status.sessions},
          {"grants", status.grants},
          {"shelves", status.shelves},
          {"counters", status.counters}};
}

std::string json_text(const Json& document) { return dump(document, kIndent) + "\n"; }

std::string RegionListing::begin(const Json& head) const {
  std::string text = dump(head, -1);
  text.pop_back();  // the closing brace
  return text + ",\"regions\":[";
}

std::string RegionListing::item(const Json& region) {
  std::string text = first_ ? "\n" : ",\n";
  first_ = false;
  return text + dump(region, -1);
}

std::string RegionListing::end(bool more) const {
  return std::string("\n],\"more\":") + (more ? "true" : "false") + "}\n";
}

}  // namespace pmshelf::cli
