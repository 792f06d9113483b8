#include "client/src/convert.h"

#include <string>

#include "common/base/utf8.h"

namespace pmshelf::client {
namespace {

// Numbers of later versions are not guessed at: they become what claims least.
StorageClass storage_class(int number) {
  return number >= 1 && number <= 3 ? static_cast<StorageClass>(number) : StorageClass::kVolatile;
}

SameHostPolicy same_host(int number) {
  return number >= 1 && number <= 3 ? static_cast<SameHostPolicy>(number) : SameHostPolicy::kOff;
}

template <class Repeated>
std::vector<std::string> texts(const Repeated& repeated) {
  return {repeated.begin(), repeated.end()};
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<uint8_t>(byte) >> 4];
    text += kDigits[static_cast<uint8_t>(byte) & 15];
  }
  return text;
}

}  // namespace

Space space(const v1::Space& space) {
  return {space.capacity_bytes(), space.used_bytes(), space.free_bytes(),
          space.metadata_bytes(), space.held_bytes(), space.largest_free_bytes(),
          space.region_count()};
}

ShelfStat shelf_stat(const v1::ShelfInfo& info) {
  ShelfStat stat;
  stat.name = info.name();
  stat.pool = info.pool();
  stat.owner = info.owner();
  for (const v1::AccessEntry& entry : info.access()) {
    stat.access.push_back({entry.principal(), entry.rights()});
  }
  stat.same_host = same_host(info.same_host());
  stat.storage_class = storage_class(info.storage_class());
  stat.space = space(info.space());
  stat.created_unix_ms = info.created_unix_ms();
  stat.read_only = info.read_only();
  stat.offline = info.offline();
  stat.trouble = info.trouble();
  stat.my_rights = info.my_rights();
  return stat;
}

RegionStat region_stat(const v1::RegionInfo& info) {
  RegionStat stat;
  stat.id = info.id();
  stat.name = info.name();
  stat.bytes = info.bytes();
  stat.footprint_bytes = info.footprint_bytes();
  stat.modified_unix_ms = info.modified_unix_ms();
  stat.attributes = {info.attributes().begin(), info.attributes().end()};
  stat.grants = info.grants();
  stat.locks = info.locks();
  return stat;
}

PoolStat pool_stat(const v1::PoolInfo& info) {
  PoolStat stat;
  stat.name = info.name();
  stat.path = info.path();
  stat.kind = info.kind();
  stat.storage_class = storage_class(info.storage_class());
  stat.total_bytes = info.total_bytes();
  stat.available_bytes = info.available_bytes();
  stat.shelf_count = info.shelf_count();
  stat.preallocate = info.preallocate();
  stat.trouble = texts(info.trouble());
  return stat;
}

SessionStat session_stat(const v1::SessionInfo& info) {
  SessionStat stat;
  stat.id = hex(info.id());
  stat.principal = info.principal();
  stat.client_name = info.client_name();
  stat.peer = info.peer();
  stat.idle_ms = info.idle_ms();
  stat.age_ms = info.age_ms();
  stat.grants = info.grants();
  stat.locks = info.locks();
  stat.paths = texts(info.paths());
  return stat;
}

DaemonStatus daemon_status(const v1::StatusResponse& status) {
  DaemonStatus result;
  result.version = status.version();
  result.principal = status.principal();
  result.boot_epoch = status.boot_epoch();
  result.uptime_ms = status.uptime_ms();
  result.sessions = status.sessions();
  result.grants = status.grants();
  result.shelves = status.shelves();
  result.recovery_us = status.recovery_us();
  result.draining = status.draining();
  result.administrator = status.administrator();
  result.counters = {status.counters().begin(), status.counters().end()};
  return result;
}

TokenStat token_stat(const v1::TokenInfo& info) {
  TokenStat stat;
  stat.name = info.name();
  stat.principal = info.principal();
  stat.shelves = info.shelves();
  stat.created_by = info.created_by();
  stat.rights = info.rights();
  stat.expires_unix_ms = info.expires_unix_ms();
  stat.created_unix_ms = info.created_unix_ms();
  return stat;
}

ShelfCheck shelf_check(const v1::CheckPoolResponse& response) {
  ShelfCheck check;
  check.shelf = response.shelf();
  check.problems = texts(response.problems());
  check.bad_block_regions = texts(response.bad_block_regions());
  check.records_checked = response.records_checked();
  check.regions_checked = response.regions_checked();
  check.space = space(response.space());
  return check;
}

v1::SameHostPolicy policy_number(SameHostPolicy policy) {
  return static_cast<v1::SameHostPolicy>(policy);
}

Status check_text(std::string_view what, std::string_view text) {
  if (text.size() <= kTextBytesMax && is_valid_utf8(text)) return {};
  return Error(Code::kInvalidArgument, std::string(what) + ": at most 4096 bytes of UTF-8");
}

Status check_region_name(std::string_view name) {
  if (!name.empty() && name.size() <= kRegionNameBytesMax) return {};
  return Error(Code::kInvalidArgument,
               "region name of " + std::to_string(name.size()) + " bytes: 1 to 4096 are allowed");
}

}  // namespace pmshelf::client
