// The control plane: one gRPC connection and its four services, and what its failures mean.
#pragma once

#include <grpcpp/channel.h>

#include <chrono>
#include <memory>
#include <string>

#include "client/src/credentials.h"
#include "client/src/locator.h"
#include "pmshelf/result.h"
#include "pmshelf/v1/admin.grpc.pb.h"
#include "pmshelf/v1/regions.grpc.pb.h"
#include "pmshelf/v1/sessions.grpc.pb.h"
#include "pmshelf/v1/shelves.grpc.pb.h"

namespace pmshelf::client {

// Immutable; thread-safe. Owner: the sessions that use it.
class ControlConnection {
 public:
  // Connects lazily. Plain text to sockets and loopback addresses, TLS when `tls` names a file or
  // the site is another host (with the system's certificates when `tls.ca` is empty).
  ControlConnection(const Site& site, const TlsFiles& tls);

  v1::Sessions::Stub& stub(const v1::Sessions::Stub*) const { return *sessions_; }
  v1::Shelves::Stub& stub(const v1::Shelves::Stub*) const { return *shelves_; }
  v1::Regions::Stub& stub(const v1::Regions::Stub*) const { return *regions_; }
  v1::Admin::Stub& stub(const v1::Admin::Stub*) const { return *admin_; }
  const std::string& address() const { return address_; }

 private:
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Sessions::Stub> sessions_;
  std::unique_ptr<v1::Shelves::Stub> shelves_;
  std::unique_ptr<v1::Regions::Stub> regions_;
  std::unique_ptr<v1::Admin::Stub> admin_;
};

struct CallFailure {
  Error error;
  std::chrono::milliseconds retry_after{0};
  // Certain: the daemon said so, or the request never left this host.
  bool not_applied = false;
};

// Precondition: !status.ok(). The daemon's ErrorDetail where there is one; otherwise gRPC's own
// code: connections that break in mid-call are kUnavailable, like those that were never made.
CallFailure failure_of(const grpc::Status& status, const std::string& address);

// Fresh 128 random bits.
v1::RequestId new_request_id();

}  // namespace pmshelf::client
