#include "server/control/shelf_access.h"

#include <spdlog/spdlog.h>
#include <xxhash.h>

#include <string>
#include <utility>
#include <vector>

#include "common/base/utf8.h"
#include "server/session/rights.h"

namespace pmshelf::control {
namespace {

constexpr uint64_t kRevokeMs = 2000;
constexpr size_t kGlobBytesMax = 256;

Error not_there(std::string_view name) {
  return Error(Code::kNotFound,
               "no shelf " + quote_name(name) + ", or none that you have any right on");
}

std::string right_names(uint8_t rights) {
  std::string text;
  for (const auto& [right, name] :
       {std::pair(store::kRead, "read"), {store::kWrite, "write"}, {store::kAdmin, "admin"}}) {
    if ((rights & right) == 0) continue;
    if (!text.empty()) text += " or ";
    text += name;
  }
  return text;
}

// First without waiting, which needs no place among those that wait.
Status revoke_bounded(ControlState& state, const Caller& caller,
                      const std::function<Status(uint64_t deadline_ms)>& revoke) {
  Status gone = revoke(0);
  if (gone.code() != Code::kBusy) return gone;
  PMSHELF_TRY_ASSIGN(const WaitPlaces::Place place, state.wait_places.take(caller.principal.name));
  return revoke(kRevokeMs);
}

}  // namespace

uint8_t rights_on(const session::Principal& principal, const store::ShelfInfo& info) {
  std::vector<session::AccessRule> rules;
  rules.reserve(info.acl.size());
  for (const store::AclEntry& entry : info.acl) rules.push_back({entry.principal, entry.rights});
  return session::rights_of(principal, info.name, info.owner, rules);
}

Result<ShelfView> find_shelf(ControlState& state, const Caller& caller, std::string_view name,
                             uint8_t any_of) {
  auto found = state.parts.pools.find_shelf(name);
  if (found.code() == Code::kNotFound) return not_there(name);
  if (!found.ok()) return std::move(found).error();
  ShelfView view{found->entry, std::move(found->shelf), {}, 0};
  view.info = view.shelf->info();
  view.rights = rights_on(caller.principal, view.info);
  if (view.rights == 0) return not_there(name);
  if ((view.rights & any_of) == 0) {
    return Error(Code::kPermissionDenied, "shelf " + quote_name(name) + ": '" +
                                              caller.principal.name + "' needs the right to " +
                                              right_names(any_of) + "; ask the owner '" +
                                              view.info.owner + "'");
  }
  return view;
}

Status check_region_name(std::string_view field, std::string_view name) {
  const auto bad = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, std::string(field) + ": " + std::string(why));
  };
  if (name.empty()) return bad("a region name has 1..4096 bytes, this one has none");
  if (name.size() > store::kRegionNameBytesMax) {
    return bad("a region name has 1..4096 bytes, this one " + std::to_string(name.size()));
  }
  if (name.find('\0') != std::string_view::npos) return bad("a region name has no NUL in it");
  if (!is_valid_utf8(name)) return bad("a region name is valid UTF-8, this one is not");
  return {};
}

Status check_glob(std::string_view field, std::string_view glob) {
  if (glob.size() <= kGlobBytesMax) return {};
  return Error(Code::kInvalidArgument, std::string(field) + ": a pattern has at most 256 bytes");
}

session::RegionKey region_key(const pool::Shelf& shelf, store::RegionId id) {
  return {shelf.key(), id, false};
}

session::RegionKey lock_key(const pool::Shelf& shelf, std::string_view name) {
  return {shelf.key(), ::XXH3_64bits(name.data(), name.size()), false};
}

Status end_grants(ControlState& state, const Caller& caller, const session::RegionKey& key) {
  return revoke_bounded(state, caller, [&](uint64_t deadline_ms) {
    return state.parts.registry.revoke(key, deadline_ms);
  });
}

Status end_grants_on_shelf(ControlState& state, const Caller& caller, uint64_t shelf_key) {
  return revoke_bounded(state, caller, [&](uint64_t deadline_ms) {
    return state.parts.registry.revoke_shelf(shelf_key, deadline_ms);
  });
}

Status change_alone(ControlState& state, const Caller& caller, const session::RegionKey& key,
                    const std::function<Status()>& change) {
  PMSHELF_TRY(end_grants(state, caller, key));
  PMSHELF_TRY(change());
  // The change is durable whatever this says; the store keeps bytes that are still held.
  if (Status late = end_grants(state, caller, key); !late.ok()) {
    spdlog::warn("a region was opened while it was changed, and is still held: {}",
                 late.error().message());
  }
  return {};
}

Result<uint64_t> apply_once(const pool::Shelf& shelf, const store::Request& request,
                            const std::function<Result<uint64_t>()>& change) {
  PMSHELF_TRY_ASSIGN(const std::optional<store::RequestOutcome> earlier, shelf.replay(request));
  if (earlier.has_value()) return earlier->result;
  return change();
}

}  // namespace pmshelf::control
