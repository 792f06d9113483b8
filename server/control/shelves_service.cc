#include "server/control/shelves_service.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/base/units.h"
#include "server/control/convert.h"
#include "server/session/rights.h"

namespace pmshelf::control {
namespace {

constexpr uint8_t kAnyRight = store::kRead | store::kWrite | store::kAdmin;
constexpr uint64_t kCapacityBytesMax = uint64_t{1} << 62;
constexpr size_t kListBytesMax = 7 << 19;  // 3.5 MiB: a message is 4 MiB at most

Result<uint64_t> whole_extents(uint64_t capacity_bytes) {
  if (capacity_bytes == 0 || capacity_bytes > kCapacityBytesMax) {
    return Error(Code::kInvalidArgument,
                 "capacity_bytes: 1 to 2^62 bytes, not " + std::to_string(capacity_bytes));
  }
  return align_up(capacity_bytes, store::kExtentBytes);
}

// Whether somebody may do less under `after` than under `before`.
bool takes_away(const store::ShelfInfo& before, const store::ShelfInfo& after) {
  if (before.owner != after.owner || before.same_host != after.same_host) return true;
  return !std::ranges::all_of(before.acl, [&](const store::AclEntry& old) {
    return std::ranges::any_of(after.acl, [&](const store::AclEntry& entry) {
      return entry.principal == old.principal && (old.rights & ~entry.rights) == 0;
    });
  });
}

}  // namespace

template <class Request>
grpc::Status ShelvesService::change(
    grpc::ServerContext& context, std::string_view method, const Request& request,
    std::string_view name_after, v1::ShelfInfo& response,
    const std::function<Status(const Caller&, const store::Request&)>& apply) {
  return serve_caller(state_, context, method, [&](const Caller& caller) -> Status {
    PMSHELF_TRY_ASSIGN(auto running, begin_request(state_, caller, method, request));
    if (!running.result().has_value()) {
      PMSHELF_TRY(still_wanted(context));
      PMSHELF_TRY(apply(caller, running.request()));
      running.done(0);
    }
    Status described = describe(caller, name_after, response);
    // Done all the same: it was given to somebody else, or has been erased since.
    if (described.code() == Code::kNotFound) response.set_name(std::string(name_after));
    return described.code() == Code::kNotFound ? Status() : described;
  });
}

Status ShelvesService::describe(const Caller& caller, std::string_view name, v1::ShelfInfo& out) {
  PMSHELF_TRY_ASSIGN(const ShelfView view, find_shelf(state_, caller, name, kAnyRight));
  fill(view, out);
  return {};
}

grpc::Status ShelvesService::Create(grpc::ServerContext* context,
                                    const v1::CreateShelfRequest* request,
                                    v1::ShelfInfo* response) {
  return change(
      *context, "Shelves.Create", *request, request->name(), *response,
      [&](const Caller& caller, const store::Request& id) { return create(caller, *request, id); });
}

Status ShelvesService::create(const Caller& caller, const v1::CreateShelfRequest& request,
                              const store::Request& id) {
  if (!state_.parts.authenticator.may_create_shelf(caller.principal, request.name())) {
    return Error(Code::kPermissionDenied, "'" + caller.principal.name + "' may not create shelf " +
                                              quote_name(request.name()) +
                                              ": see the setting 'creators' and token scopes");
  }
  store::ShelfInfo info;
  info.name = request.name();
  info.owner = caller.principal.name;
  PMSHELF_TRY_ASSIGN(info.capacity_bytes, whole_extents(request.capacity_bytes()));
  PMSHELF_TRY_ASSIGN(info.acl, access_list(request.access()));
  PMSHELF_TRY_ASSIGN(info.same_host,
                     same_host_policy(request.same_host(), store::SameHostPolicy::kDirect));
  PMSHELF_TRY_ASSIGN(const PoolSet::Entry* pool, state_.parts.pools.find(request.pool()));
  PMSHELF_TRY_ASSIGN(const auto pass, state_.shelf_gate.enter(request.name()));
  if (auto present = state_.parts.pools.find_shelf(request.name()); present.ok()) {
    PMSHELF_TRY_ASSIGN(const auto earlier, present->shelf->replay(id));
    if (earlier.has_value()) return {};
    return Error(Code::kAlreadyExists, "there is a shelf " + quote_name(request.name()));
  }
  PMSHELF_TRY(pool->pool->create_shelf(info, id));
  spdlog::info("{} created shelf '{}' in pool '{}'", caller.principal.name, info.name, pool->name);
  return {};
}

grpc::Status ShelvesService::Open(grpc::ServerContext* context, const v1::OpenShelfRequest* request,
                                  v1::OpenShelfResponse* response) {
  return serve_caller(state_, *context, "Shelves.Open", [&](const Caller& caller) -> Status {
    PMSHELF_TRY_ASSIGN(const ShelfView view,
                       find_shelf(state_, caller, request->name(), store::kRead | store::kWrite));
    PMSHELF_TRY_ASSIGN(const uint64_t handle,
                       state_.parts.handles.open(caller.session, view.shelf->key(), view.shelf));
    response->set_handle(handle);
    fill(view, *response->mutable_shelf());
    return {};
  });
}

grpc::Status ShelvesService::Erase(grpc::ServerContext* context,
                                   const v1::EraseShelfRequest* request, v1::EraseShelfResponse*) {
  constexpr std::string_view kMethod = "Shelves.Erase";
  return serve_caller(state_, *context, kMethod, [&](const Caller& caller) -> Status {
    PMSHELF_TRY_ASSIGN(auto running, begin_request(state_, caller, kMethod, *request));
    if (running.result().has_value()) return {};
    PMSHELF_TRY(still_wanted(*context));
    PMSHELF_TRY(erase(caller, *request, running.request()));
    running.done(0);
    return {};
  });
}

Status ShelvesService::erase(const Caller& caller, const v1::EraseShelfRequest& request,
                             const store::Request& id) {
  PMSHELF_TRY_ASSIGN(const auto pass, state_.shelf_gate.enter(request.name()));
  PMSHELF_TRY_ASSIGN(const ShelfView view,
                     find_shelf(state_, caller, request.name(), store::kAdmin));
  const uint64_t regions = view.shelf->space().region_count;
  if (request.only_if_empty() && regions != 0) {
    return Error(Code::kBusy, "shelf " + quote_name(request.name()) + " has " +
                                  std::to_string(regions) + " regions: erase them first");
  }
  // Twice: a region may be opened between the revocation and the erase.
  Status erased = Error(Code::kBusy, "");
  for (int attempt = 0; attempt < 2 && erased.code() == Code::kBusy; ++attempt) {
    PMSHELF_TRY(end_grants_on_shelf(state_, caller, view.shelf->key()));
    erased = view.pool->pool->erase_shelf(request.name(), id);
  }
  PMSHELF_TRY(std::move(erased));
  spdlog::info("{} erased shelf '{}' with {} regions", caller.principal.name, request.name(),
               regions);
  return {};
}

grpc::Status ShelvesService::List(grpc::ServerContext* context,
                                  const v1::ListShelvesRequest* request,
                                  v1::ListShelvesResponse* response) {
  return serve_caller(state_, *context, "Shelves.List", [&](const Caller& caller) -> Status {
    PMSHELF_TRY(check_glob("match", request->match()));
    if (!request->pool().empty()) PMSHELF_TRY(state_.parts.pools.find(request->pool()));
    size_t bytes = 0;
    for (const PoolSet::Entry& entry : state_.parts.pools.entries()) {
      if (!request->pool().empty() && request->pool() != entry.name) continue;
      for (const auto& shelf : entry.pool->shelves()) {
        ShelfView view{&entry, shelf, shelf->info(), 0};
        view.rights = rights_on(caller.principal, view.info);
        if (view.rights == 0) continue;
        if (!request->match().empty() && !session::glob_match(request->match(), view.info.name)) {
          continue;
        }
        v1::ShelfInfo& out = *response->add_shelves();
        fill(view, out);
        bytes += out.ByteSizeLong() + 8;
        if (bytes <= kListBytesMax) continue;
        return Error(Code::kResourceExhausted,
                     "match: too many shelves for one answer of 4 MiB; narrow the list");
      }
    }
    return {};
  });
}

grpc::Status ShelvesService::Stat(grpc::ServerContext* context, const v1::StatShelfRequest* request,
                                  v1::ShelfInfo* response) {
  return serve_caller(state_, *context, "Shelves.Stat", [&](const Caller& caller) {
    return describe(caller, request->name(), *response);
  });
}

grpc::Status ShelvesService::Resize(grpc::ServerContext* context,
                                    const v1::ResizeShelfRequest* request,
                                    v1::ShelfInfo* response) {
  return change(
      *context, "Shelves.Resize", *request, request->name(), *response,
      [&](const Caller& caller, const store::Request& id) { return resize(caller, *request, id); });
}

Status ShelvesService::resize(const Caller& caller, const v1::ResizeShelfRequest& request,
                              const store::Request& id) {
  PMSHELF_TRY_ASSIGN(const uint64_t capacity, whole_extents(request.capacity_bytes()));
  PMSHELF_TRY_ASSIGN(const auto pass, state_.shelf_gate.enter(request.name()));
  PMSHELF_TRY_ASSIGN(const ShelfView view,
                     find_shelf(state_, caller, request.name(), store::kAdmin));
  PMSHELF_TRY(apply_once(*view.shelf, id, [&]() -> Result<uint64_t> {
    PMSHELF_TRY(view.pool->pool->resize_shelf(request.name(), capacity, id));
    return 0;
  }));
  spdlog::info("{} resized shelf '{}' to {} bytes", caller.principal.name, request.name(),
               capacity);
  return {};
}

grpc::Status ShelvesService::Rename(grpc::ServerContext* context,
                                    const v1::RenameShelfRequest* request,
                                    v1::ShelfInfo* response) {
  return change(
      *context, "Shelves.Rename", *request, request->new_name(), *response,
      [&](const Caller& caller, const store::Request& id) { return rename(caller, *request, id); });
}

Status ShelvesService::rename(const Caller& caller, const v1::RenameShelfRequest& request,
                              const store::Request& id) {
  if (request.name() == request.new_name()) {
    return Error(Code::kInvalidArgument, "new_name: the same as the present name");
  }
  PMSHELF_TRY_ASSIGN(const auto pass, state_.shelf_gate.enter(request.name()));
  PMSHELF_TRY_ASSIGN(const auto new_pass, state_.shelf_gate.enter(request.new_name()));
  const auto present = state_.parts.pools.find_shelf(request.new_name());
  if (present.ok()) {
    PMSHELF_TRY_ASSIGN(const auto earlier, present->shelf->replay(id));
    if (earlier.has_value()) return {};
  }
  PMSHELF_TRY_ASSIGN(const ShelfView view,
                     find_shelf(state_, caller, request.name(), store::kAdmin));
  if (!session::glob_match(caller.principal.shelf_glob, request.new_name())) {
    return Error(Code::kPermissionDenied, "new_name: " + quote_name(request.new_name()) +
                                              " is outside the scope of the caller's token");
  }
  if (present.ok()) {
    return Error(Code::kAlreadyExists, "there is a shelf " + quote_name(request.new_name()));
  }
  PMSHELF_TRY(view.pool->pool->rename_shelf(request.name(), request.new_name(), id));
  state_.parts.handles.access_changed();
  spdlog::info("{} renamed shelf '{}' to '{}'", caller.principal.name, request.name(),
               request.new_name());
  return {};
}

grpc::Status ShelvesService::SetAccess(grpc::ServerContext* context,
                                       const v1::SetAccessRequest* request,
                                       v1::ShelfInfo* response) {
  constexpr std::string_view kMethod = "Shelves.SetAccess";
  return change(*context, kMethod, *request, request->name(), *response,
                [&](const Caller& caller, const store::Request& id) {
                  return set_access(caller, *request, id);
                });
}

Status ShelvesService::set_access(const Caller& caller, const v1::SetAccessRequest& request,
                                  const store::Request& id) {
  PMSHELF_TRY_ASSIGN(const auto pass, state_.shelf_gate.enter(request.name()));
  PMSHELF_TRY_ASSIGN(const ShelfView view,
                     find_shelf(state_, caller, request.name(), store::kAdmin));
  store::ShelfInfo after = view.info;
  PMSHELF_TRY_ASSIGN(after.acl, access_list(request.access()));
  PMSHELF_TRY_ASSIGN(after.same_host, same_host_policy(request.same_host(), view.info.same_host));
  if (!request.owner().empty()) {
    if (!is_principal_text(request.owner()) ||
        request.owner().find_first_of("*?") != std::string::npos) {
      return Error(Code::kInvalidArgument, "owner: one principal such as 'unix:alice' is needed");
    }
    after.owner = request.owner();
  }
  bool narrowed = true;  // by a repeated call too: the first one may have met a holder
  PMSHELF_TRY(apply_once(*view.shelf, id, [&]() -> Result<uint64_t> {
    narrowed = takes_away(view.info, after);
    PMSHELF_TRY(view.pool->pool->update_shelf(after, id));
    return 0;
  }));
  state_.parts.handles.access_changed();
  spdlog::info("{} changed the access list of shelf '{}'", caller.principal.name, request.name());
  if (!narrowed) return {};
  Status ended = end_grants_on_shelf(state_, caller, view.shelf->key());
  if (!ended.ok()) return ended.error().with_context("the new access list is in force, but");
  return {};
}

}  // namespace pmshelf::control
