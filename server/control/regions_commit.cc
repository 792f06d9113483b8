#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/control/convert.h"
#include "server/control/regions_service.h"
#include "server/pool/replace.h"

namespace pmshelf::control {
namespace {

// One item of a commit on its way, with its reservation.
struct Taken {
  wire::GrantId grant;
  StagedEntry entry;
  session::Access access;  // keeps the grant from being revoked in between
};

// Reservations that go back to the session unless the commit has made regions of them.
class TakenItems {
 public:
  TakenItems(Staging& staging, const wire::SessionId& session)
      : staging_(staging), session_(session) {}
  TakenItems(const TakenItems&) = delete;
  TakenItems& operator=(const TakenItems&) = delete;
  ~TakenItems() {
    // After an error the session has ended, and the reservation with it.
    for (Taken& item : items_) (void)staging_.add(session_, item.grant, std::move(item.entry));
  }

  // kStaleGrant: not a staged region of this session, or its lease is over.
  Status take(session::Registry& registry, const pool::Shelf& shelf, const wire::GrantId& grant) {
    Taken item{grant, {}, {}};
    PMSHELF_TRY_ASSIGN(item.entry, staging_.take(session_, grant));
    items_.push_back(std::move(item));
    Taken& kept = items_.back();
    if (kept.entry.shelf->key() != shelf.key()) {
      return Error(Code::kInvalidArgument, "staged_grant_id: staged on another shelf");
    }
    PMSHELF_TRY_ASSIGN(kept.access, registry.begin_access(session_, grant, store::kWrite, 0, 0));
    return {};
  }

  const std::vector<Taken>& items() const { return items_; }
  void committed() { items_.clear(); }

 private:
  Staging& staging_;
  const wire::SessionId session_;
  std::vector<Taken> items_;
};

Status check_items(const v1::CommitRequest& request) {
  if (request.items().empty() || request.items_size() > static_cast<int>(store::kBatchOpsMax)) {
    return Error(Code::kInvalidArgument, "items: 1 to 4096 in a commit");
  }
  std::set<std::string_view> names, grants;
  for (const v1::CommitItem& item : request.items()) {
    PMSHELF_TRY(check_region_name("items.name", item.name()));
    if (!names.insert(item.name()).second) {
      return Error(Code::kInvalidArgument,
                   "items.name: " + quote_name(item.name()) + " is there twice");
    }
    if (!grants.insert(item.staged_grant_id()).second) {
      return Error(Code::kInvalidArgument, "items.staged_grant_id: one is there twice");
    }
    if (item.must_be_new() && item.expected_id() != 0) {
      return Error(Code::kInvalidArgument, "items: must_be_new and expected_id exclude each other");
    }
  }
  return {};
}

}  // namespace

grpc::Status RegionsService::Stage(grpc::ServerContext* context, const v1::StageRequest* request,
                                   v1::Grant* response) {
  return serve_caller(state_, *context, "Regions.Stage", [&](const Caller& caller) -> Status {
    PMSHELF_TRY_ASSIGN(const ShelfView view,
                       find_shelf(state_, caller, request->shelf(), store::kWrite));
    PMSHELF_TRY(still_wanted(*context));
    return stage(caller, view, *request, *response);
  });
}

Status RegionsService::stage(const Caller& caller, const ShelfView& view,
                             const v1::StageRequest& request, v1::Grant& out) {
  // Space that was not zeroed shows what was there before: fit only for who may see all of a shelf
  // that has its data file to itself.
  const bool may_see_old = (view.rights & store::kAdmin) != 0 && view.shelf->data_fd() >= 0;
  const bool zero = request.zero() || !may_see_old;
  PMSHELF_TRY_ASSIGN(const pool::StagedRegion staged, view.shelf->reserve(request.bytes(), zero));
  const session::RegionKey key{view.shelf->key(), staged.id, true};
  const auto rights = static_cast<uint8_t>(view.rights & (store::kRead | store::kWrite));
  auto grant =
      state_.parts.registry.grant(caller.session, {key, staged.ref->bytes(), rights, staged.ref});
  if (!grant.ok()) {
    view.shelf->release(staged.id);
    return std::move(grant).error();
  }
  if (Status added = state_.staging.add(caller.session, *grant, {view.shelf, staged.id});
      !added.ok()) {
    state_.parts.registry.release(caller.session, *grant);
    return added;
  }
  out.mutable_region()->set_bytes(staged.ref->bytes());
  fill_grant(view, key, *grant, rights, out);
  return {};
}

grpc::Status RegionsService::Commit(grpc::ServerContext* context, const v1::CommitRequest* request,
                                    v1::CommitResponse* response) {
  return serve_caller(state_, *context, "Regions.Commit", [&](const Caller& caller) -> Status {
    PMSHELF_TRY(check_items(*request));
    PMSHELF_TRY(mutate(*context, caller, "Regions.Commit", *request,
                       [&](const ShelfView& view, const store::Request& id) {
                         return commit(caller, view, *request, id, *response);
                       }));
    if (response->ids_size() != 0) return {};
    // A repetition: what bears the names now.
    PMSHELF_TRY_ASSIGN(const ShelfView view,
                       find_shelf(state_, caller, request->shelf(), store::kWrite));
    for (const v1::CommitItem& item : request->items()) {
      const auto region = view.shelf->stat(item.name());
      response->add_ids(region.ok() ? region->id : 0);
    }
    return {};
  });
}

Result<uint64_t> RegionsService::commit(const Caller& caller, const ShelfView& view,
                                        const v1::CommitRequest& request, const store::Request& id,
                                        v1::CommitResponse& response) {
  session::Registry& registry = state_.parts.registry;
  TakenItems taken(state_.staging, caller.session);
  std::vector<store::Publish> publish;
  for (const v1::CommitItem& item : request.items()) {
    PMSHELF_TRY_ASSIGN(const wire::GrantId grant,
                       grant_id("items.staged_grant_id", item.staged_grant_id()));
    PMSHELF_TRY_ASSIGN(std::string attributes, encode_map(item.attributes()));
    PMSHELF_TRY(taken.take(registry, *view.shelf, grant));
    publish.push_back({taken.items().back().entry.staged, item.name(), std::move(attributes),
                       !item.must_be_new(), item.expected_id()});
  }
  PMSHELF_TRY_ASSIGN(const pool::Published published,
                     pool::publish_replacing(*view.shelf, publish, id));
  for (size_t index = 0; index < publish.size(); ++index) {
    registry.rekey({view.shelf->key(), publish[index].staged, true},
                   region_key(*view.shelf, published.ids[index]));
  }
  taken.committed();
  for (const store::RegionId replaced : published.replaced) {
    (void)registry.revoke(region_key(*view.shelf, replaced), 0);
  }
  // Replaced or erased before the grants had the region's key: nobody has revoked them then.
  for (size_t index = 0; index < publish.size(); ++index) {
    response.add_ids(published.ids[index]);
    const auto present = view.shelf->stat(publish[index].name);
    if (present.ok() && present->id == published.ids[index]) continue;
    (void)registry.revoke(region_key(*view.shelf, published.ids[index]), 0);
  }
  return published.ids.front();
}

}  // namespace pmshelf::control
