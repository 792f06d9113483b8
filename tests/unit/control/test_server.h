// A control server on a Unix socket in a temporary directory, and clients of it.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "pmshelf/v1/admin.grpc.pb.h"
#include "pmshelf/v1/errors.pb.h"
#include "pmshelf/v1/regions.grpc.pb.h"
#include "pmshelf/v1/sessions.grpc.pb.h"
#include "pmshelf/v1/shelves.grpc.pb.h"
#include "server/control/control_server.h"

namespace pmshelf::control {

inline constexpr uint32_t kAlice = 40001, kBob = 40002;  // users that no host has
inline const std::string kAliceName = "unix:40001", kBobName = "unix:40002";

// A temporary directory, removed with everything in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// As ManualClock, for many threads.
class TestClock final : public Clock {
 public:
  uint64_t boot_ms() const override { return 1'000'000 + passed_ms_; }
  uint64_t unix_ms() const override { return 1'700'000'000'000 + passed_ms_; }
  void advance_ms(uint64_t ms) { passed_ms_ += ms; }

 private:
  std::atomic<uint64_t> passed_ms_{0};
};

// The code and message that came with a gRPC status; kInternal when it had no detail.
Status from_grpc(const grpc::Status& status);
// The next of a series of request ids that no other test of this process uses.
v1::RequestId new_request_id();

// One channel, and a session once open() succeeded.
class TestClient {
 public:
  explicit TestClient(const std::string& target,
                      std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr);

  // Sessions.Open with a bearer token; empty: none.
  Status open(const std::string& token);
  const v1::OpenSessionResponse& session() const { return session_; }
  // Adds the ticket and a deadline.
  void prepare(grpc::ClientContext& context) const;
  void set_ticket(std::string ticket) { session_.set_ticket(std::move(ticket)); }

  // Any unary call: client.call(client.shelves(), &v1::Shelves::Stub::List, request, &response)
  template <class Stub, class Request, class Response>
  Status call(Stub& stub,
              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const std::type_identity_t<Request>& request, Response* response) {
    grpc::ClientContext context;
    prepare(context);
    return from_grpc((stub.*method)(&context, request, response));
  }

  v1::Sessions::Stub& sessions() { return *sessions_; }
  v1::Shelves::Stub& shelves() { return *shelves_; }
  v1::Regions::Stub& regions() { return *regions_; }
  v1::Admin::Stub& admin() { return *admin_; }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Sessions::Stub> sessions_;
  std::unique_ptr<v1::Shelves::Stub> shelves_;
  std::unique_ptr<v1::Regions::Stub> regions_;
  std::unique_ptr<v1::Admin::Stub> admin_;
  v1::OpenSessionResponse session_;
};

// Everything that ControlServer stands on. `configure` changes the options before it starts.
class TestServer {
 public:
  struct Settings {
    session::RegistryLimits limits;
    AuthenticatorOptions auth;
    ControlOptions options;
    ControlHooks hooks;
  };

  TestServer() = default;
  ~TestServer();
  Settings settings;  // to be changed before start()
  PoolSet pools;
  TempDir dir;
  TestClock clock;

  void start();
  std::string target() const { return "unix:" + dir.file("control.sock"); }
  session::Registry& registry() { return *registry_; }
  session::Handles& handles() { return *handles_; }
  Authenticator& authenticator() { return *authenticator_; }
  ControlServer& server() { return *server_; }

  // A client with a session, as a same-host peer with this uid.
  std::unique_ptr<TestClient> client(uint32_t uid);
  // As an administrator: the user that the tests run as.
  std::unique_ptr<TestClient> admin();

 private:
  std::unique_ptr<session::Registry> registry_;
  std::unique_ptr<session::Handles> handles_;
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<ControlServer> server_;
};

}  // namespace pmshelf::control
