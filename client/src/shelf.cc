#include "client/src/shelf.h"

#include "client/src/convert.h"
#include "client/src/lock.h"
#include "client/src/region.h"

namespace pmshelf {
namespace client {
namespace {

struct OpenedShelf {
  Holding::Held held;
  SameHostPolicy policy = SameHostPolicy::kDirect;
};

Result<OpenedShelf> ask_for_handle(Core& core, const std::string& name, Time deadline) {
  v1::OpenShelfRequest request;
  request.set_name(name);
  v1::OpenShelfResponse response;
  CallPlan plan = core.plan();
  plan.deadline = deadline;
  OpenedShelf opened;
  PMSHELF_TRY(
      core.call(&v1::Shelves::Stub::Open, request, &response, plan, &opened.held.generation));
  opened.held.id = {0, response.handle()};
  opened.policy = shelf_stat(response.shelf()).same_host;
  return opened;
}

}  // namespace

Result<Holding::Held> ShelfState::open_again(Time deadline) {
  PMSHELF_TRY_ASSIGN(const OpenedShelf opened, ask_for_handle(core(), name_, deadline));
  policy_.store(opened.policy, std::memory_order_relaxed);
  return opened.held;
}

Result<ShelfPtr> open_shelf(const CoreRef& core, std::string_view name) {
  PMSHELF_TRY(core->may_block());
  PMSHELF_TRY(check_text("shelf name", name));
  PMSHELF_TRY_ASSIGN(const OpenedShelf opened,
                     ask_for_handle(*core, std::string(name), Time::max()));
  return std::make_shared<ShelfState>(core, std::string(name), opened.held, opened.policy);
}

}  // namespace client

namespace {

void set_attributes_of(const Attributes& attributes,
                       google::protobuf::Map<std::string, std::string>* to) {
  for (const auto& [key, value] : attributes) (*to)[key] = value;
}

Status check_attribute_keys(const Attributes& attributes) {
  for (const auto& [key, value] : attributes) PMSHELF_TRY(client::check_text("attribute key", key));
  return {};
}

// One mutating call on the regions of a shelf: request id, shelf, then the rest by `fill`.
template <class Request, class Response, class Fill>
Result<Response> mutate(const client::ShelfState& shelf,
                        grpc::Status (v1::Regions::Stub::*method)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                        const Fill& fill, uint64_t* generation = nullptr) {
  client::Core& core = shelf.core();
  PMSHELF_TRY(core.may_block());
  Request request;
  *request.mutable_request_id() = client::new_request_id();
  request.set_shelf(shelf.name());
  fill(request);
  Response response;
  PMSHELF_TRY(core.call(method, request, &response, core.plan(), generation));
  return response;
}

template <class Request, class Response, class Fill>
Status change(const client::ShelfState& shelf,
              grpc::Status (v1::Regions::Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
              const Fill& fill) {
  PMSHELF_TRY(mutate(shelf, method, fill));
  return {};
}

}  // namespace

Shelf::Shelf(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

const std::string& Shelf::name() const { return impl_->state->name(); }

Result<ShelfStat> Shelf::stat() const {
  client::Core& core = impl_->state->core();
  PMSHELF_TRY(core.may_block());
  v1::StatShelfRequest request;
  request.set_name(name());
  v1::ShelfInfo info;
  PMSHELF_TRY(core.call(&v1::Shelves::Stub::Stat, request, &info));
  return client::shelf_stat(info);
}

Result<Region> Shelf::create_region(std::string_view name, uint64_t bytes,
                                    const Attributes& attributes,
                                    const CreateOptions& options) const {
  PMSHELF_TRY(client::check_region_name(name));
  PMSHELF_TRY(check_attribute_keys(attributes));
  uint64_t generation = 0;
  auto created = mutate(
      *impl_->state, &v1::Regions::Stub::Create,
      [&](v1::CreateRegionRequest& request) {
        request.set_name(std::string(name));
        request.set_bytes(bytes);
        set_attributes_of(attributes, request.mutable_attributes());
        request.set_open_rights(kRead | kWrite);
      },
      &generation);
  if (created.ok()) {
    if (created->grant().id().empty()) return open_region(name);
    return client::make_region(impl_->state->core_ref(), this->name(), std::string(name),
                               created->grant(), generation);
  }
  if (created.code() != Code::kAlreadyExists || !options.open_existing) {
    return std::move(created).error();
  }
  PMSHELF_TRY_ASSIGN(Region existing, open_region(name));
  if (existing.bytes() == bytes) return existing;
  return Error(Code::kAlreadyExists, "region '" + std::string(name) + "' exists with " +
                                         std::to_string(existing.bytes()) + " bytes, not " +
                                         std::to_string(bytes));
}

Result<Region> Shelf::open_region(std::string_view name, uint32_t rights) const {
  client::Core& core = impl_->state->core();
  PMSHELF_TRY(core.may_block());
  PMSHELF_TRY(client::check_region_name(name));
  v1::OpenRegionRequest request;
  request.set_shelf(this->name());
  request.set_name(std::string(name));
  request.set_rights(rights);
  v1::Grant grant;
  uint64_t generation = 0;
  PMSHELF_TRY(core.call(&v1::Regions::Stub::Open, request, &grant, core.plan(), &generation));
  return client::make_region(impl_->state->core_ref(), this->name(), std::string(name), grant,
                             generation);
}

Status Shelf::erase_region(std::string_view name) const {
  return change(*impl_->state, &v1::Regions::Stub::Erase,
                [&](v1::EraseRegionRequest& request) { request.set_name(std::string(name)); });
}

Result<ListPage> Shelf::list(const ListOptions& options) const {
  client::Core& core = impl_->state->core();
  PMSHELF_TRY(core.may_block());
  PMSHELF_TRY(client::check_text("match", options.match));
  v1::ListRegionsRequest request;
  request.set_shelf(name());
  request.set_prefix(options.prefix);
  request.set_match(options.match);
  request.set_after(options.after);
  request.set_limit(options.limit);
  request.set_with_attributes(options.with_attributes);
  v1::ListRegionsResponse response;
  PMSHELF_TRY(core.call(&v1::Regions::Stub::List, request, &response));
  ListPage page;
  page.more = response.more();
  page.regions.reserve(static_cast<size_t>(response.regions_size()));
  for (const v1::RegionInfo& info : response.regions()) {
    page.regions.push_back(client::region_stat(info));
  }
  return page;
}

Result<RegionStat> Shelf::stat_region(std::string_view name) const {
  client::Core& core = impl_->state->core();
  PMSHELF_TRY(core.may_block());
  v1::StatRegionRequest request;
  request.set_shelf(this->name());
  request.set_name(std::string(name));
  v1::RegionInfo info;
  PMSHELF_TRY(core.call(&v1::Regions::Stub::Stat, request, &info));
  return client::region_stat(info);
}

Status Shelf::rename_region(std::string_view name, std::string_view new_name, bool replace) const {
  return change(*impl_->state, &v1::Regions::Stub::Rename, [&](v1::RenameRegionRequest& request) {
    request.set_name(std::string(name));
    request.set_new_name(std::string(new_name));
    request.set_replace(replace);
  });
}

Status Shelf::swap_regions(std::string_view a, std::string_view b) const {
  return change(*impl_->state, &v1::Regions::Stub::Swap, [&](v1::SwapRegionsRequest& request) {
    request.set_a(std::string(a));
    request.set_b(std::string(b));
  });
}

Status Shelf::resize_region(std::string_view name, uint64_t bytes) const {
  return change(*impl_->state, &v1::Regions::Stub::Resize, [&](v1::ResizeRegionRequest& request) {
    request.set_name(std::string(name));
    request.set_bytes(bytes);
  });
}

Status Shelf::set_attributes(std::string_view name, const Attributes& attributes) const {
  PMSHELF_TRY(check_attribute_keys(attributes));
  return change(*impl_->state, &v1::Regions::Stub::SetAttributes,
                [&](v1::SetAttributesRequest& request) {
                  request.set_name(std::string(name));
                  set_attributes_of(attributes, request.mutable_attributes());
                });
}

}  // namespace pmshelf
