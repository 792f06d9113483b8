#include "tests/unit/client/fake_daemon.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <thread>

#include "client/src/session.h"
#include "pmshelf/v1/errors.pb.h"

namespace pmshelf::client {
namespace {

grpc::Status failure(Code code, const std::string& message) {
  v1::ErrorDetail detail;
  detail.set_code(static_cast<v1::ErrorCode>(code));
  detail.set_message(message);
  return {grpc::StatusCode::UNKNOWN, message, detail.SerializeAsString()};
}

template <class Id>
std::string text_of(const Id& id) {
  return {reinterpret_cast<const char*>(id.data()), id.size()};
}

}  // namespace

class FakeSessions final : public v1::Sessions::Service {
 public:
  explicit FakeSessions(FakeDaemon& daemon) : daemon_(daemon) {}

  grpc::Status Open(grpc::ServerContext* context, const v1::OpenSessionRequest*,
                    v1::OpenSessionResponse* response) override {
    return daemon_.serve(*context, "Sessions.Open", [&]() -> grpc::Status {
      wire::Secret ticket;
      wire::SessionId id;
      wire::fill_random(ticket);
      wire::fill_random(id);
      response->set_session_id(text_of(id));
      response->set_ticket(text_of(ticket));
      response->set_data_secret(text_of(ticket));
      response->set_principal("unix:test");
      response->set_keep_alive_ms(daemon_.keep_alive_ms);
      std::lock_guard lock(daemon_.mutex_);
      daemon_.tickets_.insert(text_of(ticket));
      response->set_boot_epoch(daemon_.boot_epoch_);
      v1::DataEndpoint& endpoint = *response->add_endpoints();
      endpoint.set_path("local");
      endpoint.set_address("/fake/data.sock");
      return grpc::Status::OK;
    });
  }
  grpc::Status KeepAlive(grpc::ServerContext* context, const v1::KeepAliveRequest*,
                         v1::KeepAliveResponse*) override {
    return daemon_.serve(*context, "Sessions.KeepAlive", [] { return grpc::Status::OK; });
  }
  grpc::Status Close(grpc::ServerContext* context, const v1::CloseSessionRequest*,
                     v1::CloseSessionResponse*) override {
    return daemon_.serve(*context, "Sessions.Close", [this] {
      daemon_.forget_sessions();
      return grpc::Status::OK;
    });
  }

 private:
  FakeDaemon& daemon_;
};

class FakeShelves final : public v1::Shelves::Service {
 public:
  explicit FakeShelves(FakeDaemon& daemon) : daemon_(daemon) {}

  grpc::Status Open(grpc::ServerContext* context, const v1::OpenShelfRequest* request,
                    v1::OpenShelfResponse* response) override {
    return daemon_.serve(*context, "Shelves.Open", [&]() -> grpc::Status {
      if (request->name() != "s") return failure(Code::kNotFound, "no such shelf");
      response->set_handle(daemon_.shelf_handle_);
      response->mutable_shelf()->set_same_host(daemon_.policy);
      return grpc::Status::OK;
    });
  }
  grpc::Status Erase(grpc::ServerContext* context, const v1::EraseShelfRequest* request,
                     v1::EraseShelfResponse*) override {
    return daemon_.serve(*context, "Shelves.Erase", [&] {
      return daemon_.once("Shelves.Erase", request->request_id(), [] { return grpc::Status::OK; });
    });
  }

 private:
  FakeDaemon& daemon_;
};

class FakeRegions final : public v1::Regions::Service {
 public:
  explicit FakeRegions(FakeDaemon& daemon) : daemon_(daemon) {}

  grpc::Status Create(grpc::ServerContext* context, const v1::CreateRegionRequest* request,
                      v1::CreateRegionResponse* response) override {
    return daemon_.serve(*context, "Regions.Create", [&] {
      const grpc::Status made = daemon_.once("Regions.Create", request->request_id(), [&] {
        if (daemon_.regions_.contains(request->name())) {
          return failure(Code::kAlreadyExists, "the name is taken");
        }
        daemon_.add_region(request->name(), request->bytes());
        return grpc::Status::OK;
      });
      if (!made.ok()) return made;
      std::lock_guard lock(daemon_.mutex_);
      daemon_.fill(request->name(), daemon_.regions_[request->name()], request->open_rights(),
                   response->mutable_grant());
      return grpc::Status::OK;
    });
  }
  grpc::Status Open(grpc::ServerContext* context, const v1::OpenRegionRequest* request,
                    v1::Grant* response) override {
    return daemon_.serve(*context, "Regions.Open", [&]() -> grpc::Status {
      std::lock_guard lock(daemon_.mutex_);
      const auto found = daemon_.regions_.find(request->name());
      if (found == daemon_.regions_.end()) return failure(Code::kNotFound, "no such region");
      daemon_.fill(request->name(), found->second, request->rights(), response);
      return grpc::Status::OK;
    });
  }
  grpc::Status Stat(grpc::ServerContext* context, const v1::StatRegionRequest* request,
                    v1::RegionInfo* response) override {
    return daemon_.serve(*context, "Regions.Stat", [&]() -> grpc::Status {
      std::lock_guard lock(daemon_.mutex_);
      response->set_name(request->name());
      return grpc::Status::OK;
    });
  }
  grpc::Status Release(grpc::ServerContext* context, const v1::ReleaseRequest* request,
                       v1::ReleaseResponse*) override {
    return daemon_.serve(*context, "Regions.Release", [&]() -> grpc::Status {
      std::lock_guard lock(daemon_.mutex_);
      for (const std::string& id : request->grant_ids()) daemon_.released_.push_back(id);
      return grpc::Status::OK;
    });
  }
  grpc::Status Stage(grpc::ServerContext* context, const v1::StageRequest* request,
                     v1::Grant* response) override {
    return daemon_.serve(*context, "Regions.Stage", [&]() -> grpc::Status {
      const wire::GrantId grant = daemon_.memory_.add_region(request->bytes());
      std::lock_guard lock(daemon_.mutex_);
      const FakeDaemon::Region region{0, request->bytes(), grant};
      daemon_.staged_[encode_grant_id(grant)] = region;
      daemon_.fill("", region, 3, response);
      return grpc::Status::OK;
    });
  }
  grpc::Status Commit(grpc::ServerContext* context, const v1::CommitRequest* request,
                      v1::CommitResponse* response) override {
    return daemon_.serve(*context, "Regions.Commit", [&] {
      const grpc::Status done = daemon_.once("Regions.Commit", request->request_id(), [&] {
        for (const v1::CommitItem& item : request->items()) {
          const auto found = daemon_.staged_.find(item.staged_grant_id());
          if (found == daemon_.staged_.end()) return failure(Code::kStaleGrant, "not staged");
          FakeDaemon::Region region = found->second;
          region.id = daemon_.next_id_++;
          daemon_.regions_[item.name()] = region;
          daemon_.staged_.erase(found);
        }
        return grpc::Status::OK;
      });
      std::lock_guard lock(daemon_.mutex_);
      for (const v1::CommitItem& item : request->items()) {
        response->add_ids(daemon_.regions_[item.name()].id);
      }
      return done;
    });
  }
  grpc::Status Lock(grpc::ServerContext* context, const v1::LockRequest*,
                    v1::LockResponse* response) override {
    return daemon_.serve(*context, "Regions.Lock", [&] {
      response->set_lock_id(7);
      return grpc::Status::OK;
    });
  }
  grpc::Status Unlock(grpc::ServerContext* context, const v1::UnlockRequest*,
                      v1::UnlockResponse*) override {
    return daemon_.serve(*context, "Regions.Unlock", [] { return grpc::Status::OK; });
  }

 private:
  FakeDaemon& daemon_;
};

class FakeDialer final : public Dialer {
 public:
  explicit FakeDialer(FakeDaemon& daemon) : daemon_(daemon) {}

  Result<std::unique_ptr<transport::Channel>> dial(const DataAddress&, const wire::SessionId&,
                                                   const wire::Secret& data_secret,
                                                   std::chrono::milliseconds) override {
    std::lock_guard lock(daemon_.mutex_);
    if (daemon_.dials_left_ == 0) return Error(Code::kUnavailable, "dialling is refused");
    --daemon_.dials_left_;
    ++daemon_.dialled_;
    if (!daemon_.tickets_.contains(text_of(data_secret))) {
      return Error(Code::kUnauthenticated, "no such session");
    }
    const transport::FakeOptions options = daemon_.channel_options_.front();
    if (daemon_.channel_options_.size() > 1) daemon_.channel_options_.pop_front();
    return transport::make_fake_channel(daemon_.memory_, options);
  }
  Result<std::string> peer_token(const std::string&, std::chrono::milliseconds) override {
    return std::string("peer-token");
  }

 private:
  FakeDaemon& daemon_;
};

FakeDaemon::FakeDaemon() {
  services_.push_back(std::make_unique<FakeSessions>(*this));
  services_.push_back(std::make_unique<FakeShelves>(*this));
  services_.push_back(std::make_unique<FakeRegions>(*this));
  start();
}

FakeDaemon::~FakeDaemon() { stop(); }

void FakeDaemon::start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + folder_.path() + "/control.sock",
                           grpc::InsecureServerCredentials());
  for (const auto& service : services_) builder.RegisterService(service.get());
  server_ = builder.BuildAndStart();
}

void FakeDaemon::stop() {
  if (!server_) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
  forget_sessions();
  std::lock_guard lock(mutex_);
  ++boot_epoch_;
}

void FakeDaemon::forget_sessions() {
  std::lock_guard lock(mutex_);
  tickets_.clear();
  staged_.clear();
}

FakeDaemon::Region& FakeDaemon::add_region(const std::string& name, uint64_t bytes) {
  return regions_[name] = Region{next_id_++, bytes, memory_.add_region(bytes)};
}

void FakeDaemon::replace_region(const std::string& name) {
  std::lock_guard lock(mutex_);
  add_region(name, regions_[name].bytes);
}

void FakeDaemon::erase_region(const std::string& name) {
  revoke_grants_of(name);
  std::lock_guard lock(mutex_);
  regions_.erase(name);
}

void FakeDaemon::revoke_grants_of(const std::string& name) {
  wire::GrantId grant;
  {
    std::lock_guard lock(mutex_);
    grant = regions_[name].grant;
  }
  memory_.revoke(grant);
}

void FakeDaemon::fill(const std::string& name, const Region& region, uint32_t rights,
                      v1::Grant* grant) {
  grant->set_id(encode_grant_id(region.grant));
  grant->mutable_region()->set_id(region.id);
  grant->mutable_region()->set_name(name);
  grant->mutable_region()->set_bytes(region.bytes);
  grant->set_rights(rights);
  grant->set_storage_class(v1::VOLATILE);
  grant->set_same_host(policy);
}

bool FakeDaemon::knows_ticket(const grpc::ServerContext& context) const {
  const auto found = context.client_metadata().find("pmshelf-session-bin");
  if (found == context.client_metadata().end()) return false;
  std::lock_guard lock(mutex_);
  return tickets_.contains(std::string(found->second.data(), found->second.size()));
}

grpc::Status FakeDaemon::serve(const grpc::ServerContext& context, const std::string& method,
                               const Body& body) {
  std::chrono::milliseconds delay{0};
  {
    std::lock_guard lock(mutex_);
    ++calls_[method];
    if (delays_.contains(method)) delay = delays_[method];
    if (refusals_[method] > 0) {
      --refusals_[method];
      return failure(refusal_codes_[method], "refused by the test");
    }
  }
  std::this_thread::sleep_for(delay);
  if (method != "Sessions.Open" && !knows_ticket(context)) {
    return failure(Code::kSessionExpired, "no such session");
  }
  const grpc::Status status = body();
  std::lock_guard lock(mutex_);
  if (lost_[method] == 0) return status;
  --lost_[method];
  return {grpc::StatusCode::UNAVAILABLE, "Socket closed"};  // gRPC's words for a broken connection
}

grpc::Status FakeDaemon::once(const std::string& method, const v1::RequestId& id,
                              const Body& body) {
  std::lock_guard lock(mutex_);
  const std::pair<uint64_t, uint64_t> key{id.high(), id.low()};
  if (request_ids_.contains(key)) return grpc::Status::OK;
  const grpc::Status status = body();
  if (!status.ok()) return status;
  request_ids_.insert(key);
  ++applied_[method];
  return status;
}

void FakeDaemon::lose_answers(const std::string& method, int count) {
  std::lock_guard lock(mutex_);
  lost_[method] = count;
}

void FakeDaemon::refuse(const std::string& method, int count, Code code) {
  std::lock_guard lock(mutex_);
  refusals_[method] = count;
  refusal_codes_[method] = code;
}

void FakeDaemon::delay(const std::string& method, std::chrono::milliseconds time) {
  std::lock_guard lock(mutex_);
  delays_[method] = time;
}

int FakeDaemon::calls(const std::string& method) const {
  std::lock_guard lock(mutex_);
  const auto found = calls_.find(method);
  return found == calls_.end() ? 0 : found->second;
}

int FakeDaemon::applied(const std::string& method) const {
  std::lock_guard lock(mutex_);
  const auto found = applied_.find(method);
  return found == applied_.end() ? 0 : found->second;
}

std::vector<std::string> FakeDaemon::released() const {
  std::lock_guard lock(mutex_);
  return released_;
}

int FakeDaemon::sessions() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(tickets_.size());
}

void FakeDaemon::script_channels(std::vector<transport::FakeOptions> options) {
  std::lock_guard lock(mutex_);
  channel_options_.assign(options.begin(), options.end());
}

int FakeDaemon::dialled() const {
  std::lock_guard lock(mutex_);
  return dialled_;
}

void FakeDaemon::allow_dialling(int count) {
  std::lock_guard lock(mutex_);
  dials_left_ = count;
}

std::vector<std::byte> FakeDaemon::bytes_of(const std::string& name) const {
  std::lock_guard lock(mutex_);
  return memory_.bytes_of(regions_.at(name).grant);
}

std::unique_ptr<Dialer> FakeDaemon::dialer() { return std::make_unique<FakeDialer>(*this); }

ConnectOptions FakeDaemon::options() const {
  ConnectOptions options;
  options.target = "unix:" + folder_.path() + "/data.sock";
  options.connect_timeout = std::chrono::seconds(5);
  options.call_timeout = std::chrono::seconds(10);
  options.reconnect_timeout = std::chrono::seconds(10);
  return options;
}

}  // namespace pmshelf::client
