#include "client/src/client.h"

#include "client/src/convert.h"
#include "client/src/shelf.h"
#include "client/src/work.h"

namespace pmshelf {
namespace {

class PingWork final : public client::Work {
 public:
  void submit(transport::Channel& channel, wire::GrantId /*id*/, uint64_t /*index*/,
              transport::Channel::Done done) override {
    began_ = std::chrono::steady_clock::now();
    channel.ping(std::move(done));
  }
  void succeeded(const client::Attachment& /*attachment*/) override {
    took_ = std::chrono::steady_clock::now() - began_;
  }
  std::chrono::nanoseconds took() const { return took_; }

 private:
  std::chrono::steady_clock::time_point began_;
  std::chrono::nanoseconds took_{0};
};

// One mutating call on shelves: request id, name, then the rest by `fill`.
template <class Request, class Response, class Fill>
Result<Response> mutate(client::Core& core,
                        grpc::Status (v1::Shelves::Stub::*method)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                        std::string_view name, const Fill& fill) {
  PMSHELF_TRY(core.may_block());
  PMSHELF_TRY(client::check_text("shelf name", name));
  Request request;
  *request.mutable_request_id() = client::new_request_id();
  request.set_name(std::string(name));
  fill(request);
  Response response;
  PMSHELF_TRY(core.call(method, request, &response));
  return response;
}

Status add_access(const std::vector<AccessEntry>& access,
                  google::protobuf::RepeatedPtrField<v1::AccessEntry>* to) {
  for (const AccessEntry& entry : access) {
    PMSHELF_TRY(client::check_text("principal", entry.principal));
    v1::AccessEntry& added = *to->Add();
    added.set_principal(entry.principal);
    added.set_rights(entry.rights);
  }
  return {};
}

Result<ShelfStat> stat_of(const Result<v1::ShelfInfo>& info) {
  if (!info.ok()) return info.error();
  return client::shelf_stat(*info);
}

}  // namespace

namespace client {

Client make_client(CoreRef core) {
  auto presence = std::make_shared<Presence>(core);
  return Client(std::make_shared<Client::Impl>(Client::Impl{std::move(core), std::move(presence)}));
}

}  // namespace client

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<Client> Client::connect(const ConnectOptions& options) {
  PMSHELF_TRY_ASSIGN(
      client::CoreRef core,
      client::Core::connect(options, client::read_environment(), client::make_dialer(options)));
  return client::make_client(std::move(core));
}

Result<Shelf> Client::open_shelf(std::string_view name) const {
  auto impl = std::make_shared<Shelf::Impl>();
  PMSHELF_TRY_ASSIGN(impl->state, client::open_shelf(impl_->core, name));
  return Shelf(std::move(impl));
}

Result<Shelf> Client::create_shelf(std::string_view name, uint64_t capacity_bytes,
                                   const ShelfOptions& options) const {
  PMSHELF_TRY(client::check_text("pool", options.pool));
  google::protobuf::RepeatedPtrField<v1::AccessEntry> access;
  PMSHELF_TRY(add_access(options.access, &access));
  PMSHELF_TRY(
      mutate(*impl_->core, &v1::Shelves::Stub::Create, name, [&](v1::CreateShelfRequest& request) {
        request.set_capacity_bytes(capacity_bytes);
        request.set_pool(options.pool);
        request.set_same_host(client::policy_number(options.same_host));
        request.mutable_access()->Swap(&access);
      }));
  return open_shelf(name);
}

Status Client::erase_shelf(std::string_view name, bool only_if_empty) const {
  PMSHELF_TRY(
      mutate(*impl_->core, &v1::Shelves::Stub::Erase, name,
             [&](v1::EraseShelfRequest& request) { request.set_only_if_empty(only_if_empty); }));
  return {};
}

Status Client::rename_shelf(std::string_view name, std::string_view new_name) const {
  PMSHELF_TRY(client::check_text("new_name", new_name));
  PMSHELF_TRY(mutate(
      *impl_->core, &v1::Shelves::Stub::Rename, name,
      [&](v1::RenameShelfRequest& request) { request.set_new_name(std::string(new_name)); }));
  return {};
}

Result<ShelfStat> Client::resize_shelf(std::string_view name, uint64_t capacity_bytes) const {
  return stat_of(
      mutate(*impl_->core, &v1::Shelves::Stub::Resize, name,
             [&](v1::ResizeShelfRequest& request) { request.set_capacity_bytes(capacity_bytes); }));
}

Result<ShelfStat> Client::set_access(std::string_view name, const std::vector<AccessEntry>& access,
                                     std::string_view owner) const {
  PMSHELF_TRY(client::check_text("owner", owner));
  google::protobuf::RepeatedPtrField<v1::AccessEntry> entries;
  PMSHELF_TRY(add_access(access, &entries));
  return stat_of(
      mutate(*impl_->core, &v1::Shelves::Stub::SetAccess, name, [&](v1::SetAccessRequest& request) {
        request.set_owner(std::string(owner));
        request.mutable_access()->Swap(&entries);
      }));
}

Result<ShelfStat> Client::set_same_host(std::string_view name, SameHostPolicy policy) const {
  // The call sets the whole access list: it stays what it is.
  PMSHELF_TRY(impl_->core->may_block());
  PMSHELF_TRY(client::check_text("shelf name", name));
  v1::StatShelfRequest ask;
  ask.set_name(std::string(name));
  v1::ShelfInfo now;
  PMSHELF_TRY(impl_->core->call(&v1::Shelves::Stub::Stat, ask, &now));
  return stat_of(
      mutate(*impl_->core, &v1::Shelves::Stub::SetAccess, name, [&](v1::SetAccessRequest& request) {
        *request.mutable_access() = now.access();
        request.set_same_host(client::policy_number(policy));
      }));
}

Result<std::vector<ShelfStat>> Client::list_shelves(std::string_view match,
                                                    std::string_view pool) const {
  PMSHELF_TRY(impl_->core->may_block());
  PMSHELF_TRY(client::check_text("match", match));
  PMSHELF_TRY(client::check_text("pool", pool));
  v1::ListShelvesRequest request;
  request.set_match(std::string(match));
  request.set_pool(std::string(pool));
  v1::ListShelvesResponse response;
  PMSHELF_TRY(impl_->core->call(&v1::Shelves::Stub::List, request, &response));
  std::vector<ShelfStat> shelves;
  for (const v1::ShelfInfo& info : response.shelves()) shelves.push_back(client::shelf_stat(info));
  return shelves;
}

Result<std::chrono::nanoseconds> Client::ping() const {
  PMSHELF_TRY(impl_->core->may_block());
  PingWork work;
  PMSHELF_TRY(client::run_work(*impl_->presence, work));
  return work.took();
}

std::string_view Client::path() const { return impl_->core->path(SameHostPolicy::kDirect); }

void Client::close() { impl_->core->close(); }

std::string_view version() { return PMSHELF_VERSION; }

}  // namespace pmshelf
