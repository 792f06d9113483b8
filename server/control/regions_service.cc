#include "server/control/regions_service.h"

#include <string>
#include <utility>

#include "server/control/convert.h"

namespace pmshelf::control {
namespace {

constexpr int kOpenAttempts = 16;
constexpr int kReleasesMax = 65536;
constexpr uint8_t kReadWrite = store::kRead | store::kWrite;

Status check_open_rights(std::string_view field, uint32_t rights) {
  if (rights != 0 && (rights & ~uint32_t{kReadWrite}) == 0) return {};
  return Error(Code::kInvalidArgument,
               std::string(field) + ": 1 (read), 2 (write) or 3 (both) is needed");
}

Result<store::RegionInfo> find_region(const ShelfView& view, std::string_view field,
                                      const std::string& name) {
  PMSHELF_TRY(check_region_name(field, name));
  auto found = view.shelf->stat(name);
  if (found.code() == Code::kNotFound) {
    return Error(Code::kNotFound,
                 "no region " + quote_name(name) + " on shelf " + quote_name(view.info.name));
  }
  return found;
}

// The value of a successful change that makes nothing.
Result<uint64_t> nothing_made(Status status) {
  if (!status.ok()) return std::move(status).error();
  return 0;
}

}  // namespace

grpc::Status RegionsService::Create(grpc::ServerContext* context,
                                    const v1::CreateRegionRequest* request,
                                    v1::CreateRegionResponse* response) {
  return serve_caller(state_, *context, "Regions.Create", [&](const Caller& caller) {
    return create(*context, caller, *request, *response);
  });
}

Status RegionsService::create(const grpc::ServerContext& context, const Caller& caller,
                              const v1::CreateRegionRequest& request,
                              v1::CreateRegionResponse& response) {
  if (request.open_rights() != 0) {
    PMSHELF_TRY(check_open_rights("open_rights", request.open_rights()));
  }
  PMSHELF_TRY(check_region_name("name", request.name()));
  PMSHELF_TRY_ASSIGN(const std::string attributes, encode_map(request.attributes()));
  const auto make = [&](const ShelfView& view, const store::Request& id) {
    return view.shelf->create(request.name(), request.bytes(), attributes, id);
  };
  PMSHELF_TRY_ASSIGN(const uint64_t made, mutate(context, caller, "Regions.Create", request, make));
  response.set_id(made);
  if (request.open_rights() == 0) return {};
  PMSHELF_TRY(open(caller, request.shelf(), request.name(), request.open_rights(),
                   *response.mutable_grant()));
  if (response.grant().region().id() == made) return {};
  // A repetition, and the name has become another region's since.
  const auto grant = grant_id("grant", response.grant().id());
  state_.parts.registry.release(caller.session, *grant);
  return Error(Code::kNotFound, "the region was made, and erased or replaced since");
}

grpc::Status RegionsService::Open(grpc::ServerContext* context,
                                  const v1::OpenRegionRequest* request, v1::Grant* response) {
  return serve_caller(state_, *context, "Regions.Open", [&](const Caller& caller) -> Status {
    PMSHELF_TRY(check_open_rights("rights", request->rights()));
    PMSHELF_TRY(check_region_name("name", request->name()));
    return open(caller, request->shelf(), request->name(), request->rights(), *response);
  });
}

Status RegionsService::open(const Caller& caller, const std::string& shelf, const std::string& name,
                            uint32_t rights, v1::Grant& out) {
  const auto wanted = static_cast<uint8_t>(rights);
  for (int attempt = 0; attempt < kOpenAttempts; ++attempt) {
    PMSHELF_TRY_ASSIGN(const ShelfView view, find_shelf(state_, caller, shelf, kReadWrite));
    if ((wanted & ~view.rights) != 0) {
      PMSHELF_TRY(find_shelf(state_, caller, shelf, wanted & ~view.rights));
    }
    Status opened = open_once(caller, view, name, wanted, out);
    if (opened.code() != Code::kConflict) return opened;
  }
  return Error(Code::kBusy,
               "region " + quote_name(name) + " is being replaced all the time: try again");
}

// The grant comes first and the checks after it: whoever takes grants away afterwards finds it, and
// what was taken away before is seen here (kConflict).
Status RegionsService::open_once(const Caller& caller, const ShelfView& view,
                                 const std::string& name, uint8_t rights, v1::Grant& out) {
  PMSHELF_TRY(find_region(view, "name", name));
  auto opened = view.shelf->open(name);
  if (opened.code() == Code::kNotFound) return Error(Code::kConflict, "erased meanwhile");
  if (!opened.ok()) return std::move(opened).error();
  const std::shared_ptr<pool::RegionRef> ref = *std::move(opened);
  const session::RegionKey key = region_key(*view.shelf, ref->id());
  PMSHELF_TRY_ASSIGN(const wire::GrantId grant,
                     state_.parts.registry.grant(caller.session, {key, ref->bytes(), rights, ref}));
  out.Clear();
  Status described = describe_opened(caller, view, name, *ref, rights, out);
  if (described.ok()) {
    fill_grant(view, key, grant, rights, out);
  } else {
    state_.parts.registry.release(caller.session, grant);
  }
  return described;
}

Status RegionsService::describe_opened(const Caller& caller, const ShelfView& view,
                                       const std::string& name, const pool::RegionRef& opened,
                                       uint8_t rights, v1::Grant& out) {
  const auto changed = [] { return Error(Code::kConflict, "replaced meanwhile"); };
  const auto region = view.shelf->stat(name);
  if (region.code() == Code::kNotFound) return changed();
  if (!region.ok()) return region.error();
  if (region->id != opened.id() || region->bytes != opened.bytes() ||
      region->offset != opened.file_offset()) {
    return changed();
  }
  if ((rights & ~rights_on(caller.principal, view.shelf->info())) != 0) return changed();
  const auto attributes = view.shelf->attributes(opened.id());
  if (attributes.code() == Code::kNotFound) return changed();
  if (!attributes.ok()) return attributes.error();
  fill(state_.parts.registry, *view.shelf, *region, *out.mutable_region());
  return decode_map(*attributes, *out.mutable_region()->mutable_attributes());
}

void RegionsService::fill_grant(const ShelfView& view, const session::RegionKey& key,
                                const wire::GrantId& id, uint8_t rights, v1::Grant& out) {
  out.set_id(id_bytes(id));
  out.set_rights(rights);
  out.set_lease_ms(state_.parts.registry.lease_ms());
  out.set_fence(state_.parts.registry.fence(key));
  out.set_storage_class(storage_class(view.shelf->storage_class()));
  out.set_same_host(same_host_policy(view.info.same_host));
}

grpc::Status RegionsService::Release(grpc::ServerContext* context,
                                     const v1::ReleaseRequest* request, v1::ReleaseResponse*) {
  return serve_caller(state_, *context, "Regions.Release", [&](const Caller& caller) -> Status {
    if (request->grant_ids_size() > kReleasesMax) {
      return Error(Code::kInvalidArgument, "grant_ids: at most 65536 in a call");
    }
    for (const std::string& bytes : request->grant_ids()) {
      PMSHELF_TRY_ASSIGN(const wire::GrantId grant, grant_id("grant_ids", bytes));
      state_.parts.registry.release(caller.session, grant);
      if (auto staged = state_.staging.take(caller.session, grant); staged.ok()) {
        staged->shelf->release(staged->staged);
      }
    }
    return {};
  });
}

grpc::Status RegionsService::Erase(grpc::ServerContext* context,
                                   const v1::EraseRegionRequest* request,
                                   v1::EraseRegionResponse*) {
  return serve_caller(state_, *context, "Regions.Erase", [&](const Caller& caller) -> Status {
    const auto erase = [&](const ShelfView& view, const store::Request& id) -> Result<uint64_t> {
      PMSHELF_TRY_ASSIGN(const auto region, find_region(view, "name", request->name()));
      return nothing_made(change_alone(state_, caller, region_key(*view.shelf, region.id),
                                       [&] { return view.shelf->erase(region.id, id); }));
    };
    PMSHELF_TRY(mutate(*context, caller, "Regions.Erase", *request, erase));
    return {};
  });
}

grpc::Status RegionsService::Stat(grpc::ServerContext* context,
                                  const v1::StatRegionRequest* request, v1::RegionInfo* response) {
  return serve_caller(state_, *context, "Regions.Stat", [&](const Caller& caller) -> Status {
    PMSHELF_TRY_ASSIGN(const ShelfView view,
                       find_shelf(state_, caller, request->shelf(), kReadWrite));
    PMSHELF_TRY_ASSIGN(const auto region, find_region(view, "name", request->name()));
    PMSHELF_TRY_ASSIGN(const std::string attributes, view.shelf->attributes(region.id));
    fill(state_.parts.registry, *view.shelf, region, *response);
    return decode_map(attributes, *response->mutable_attributes());
  });
}

grpc::Status RegionsService::Rename(grpc::ServerContext* context,
                                    const v1::RenameRegionRequest* request,
                                    v1::RenameRegionResponse*) {
  return serve_caller(state_, *context, "Regions.Rename", [&](const Caller& caller) -> Status {
    PMSHELF_TRY(check_region_name("new_name", request->new_name()));
    PMSHELF_TRY(mutate(*context, caller, "Regions.Rename", *request,
                       [&](const ShelfView& view, const store::Request& id) {
                         return rename(view, *request, id);
                       }));
    return {};
  });
}

Result<uint64_t> RegionsService::rename(const ShelfView& view,
                                        const v1::RenameRegionRequest& request,
                                        const store::Request& id) {
  PMSHELF_TRY_ASSIGN(const auto region, find_region(view, "name", request.name()));
  const auto replaced = view.shelf->stat(request.new_name());
  PMSHELF_TRY(view.shelf->rename(region.id, request.new_name(), request.replace(), id));
  if (request.replace() && replaced.ok() && replaced->id != region.id) {
    (void)state_.parts.registry.revoke(region_key(*view.shelf, replaced->id), 0);
  }
  return 0;
}

grpc::Status RegionsService::Swap(grpc::ServerContext* context,
                                  const v1::SwapRegionsRequest* request, v1::SwapRegionsResponse*) {
  return serve_caller(state_, *context, "Regions.Swap", [&](const Caller& caller) -> Status {
    const auto swap = [&](const ShelfView& view, const store::Request& id) -> Result<uint64_t> {
      PMSHELF_TRY_ASSIGN(const auto a, find_region(view, "a", request->a()));
      PMSHELF_TRY_ASSIGN(const auto b, find_region(view, "b", request->b()));
      if (a.id == b.id) return Error(Code::kInvalidArgument, "b: the same region as a");
      return nothing_made(view.shelf->swap(a.id, b.id, id));
    };
    PMSHELF_TRY(mutate(*context, caller, "Regions.Swap", *request, swap));
    return {};
  });
}

grpc::Status RegionsService::Resize(grpc::ServerContext* context,
                                    const v1::ResizeRegionRequest* request,
                                    v1::ResizeRegionResponse*) {
  return serve_caller(state_, *context, "Regions.Resize", [&](const Caller& caller) -> Status {
    const auto resize = [&](const ShelfView& view, const store::Request& id) -> Result<uint64_t> {
      PMSHELF_TRY_ASSIGN(const auto region, find_region(view, "name", request->name()));
      return nothing_made(change_alone(state_, caller, region_key(*view.shelf, region.id), [&] {
        return view.shelf->resize(region.id, request->bytes(), id);
      }));
    };
    PMSHELF_TRY(mutate(*context, caller, "Regions.Resize", *request, resize));
    return {};
  });
}

grpc::Status RegionsService::SetAttributes(grpc::ServerContext* context,
                                           const v1::SetAttributesRequest* request,
                                           v1::SetAttributesResponse*) {
  return serve_caller(
      state_, *context, "Regions.SetAttributes", [&](const Caller& caller) -> Status {
        PMSHELF_TRY_ASSIGN(const std::string attributes, encode_map(request->attributes()));
        const auto set = [&](const ShelfView& view, const store::Request& id) -> Result<uint64_t> {
          PMSHELF_TRY_ASSIGN(const auto region, find_region(view, "name", request->name()));
          return nothing_made(view.shelf->set_attributes(region.id, attributes, id));
        };
        PMSHELF_TRY(mutate(*context, caller, "Regions.SetAttributes", *request, set));
        return {};
      });
}

}  // namespace pmshelf::control
