// What all handles of one client share.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "client/src/channels.h"
#include "client/src/dialer.h"
#include "client/src/environment.h"
#include "client/src/lifeline.h"
#include "client/src/session.h"
#include "client/src/upkeep.h"
#include "pmshelf/client.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

class Core;
class GrantState;
// A user's Mapping, as the upkeep thread sees it.
class WatchedMapping {
 public:
  virtual ~WatchedMapping() = default;
  // Maps again when the connection that protected the bytes is gone. `closed`: nobody will do that.
  virtual void check(bool closed) = 0;
};

// Held by every handle; the last one to go ends the client as Client::close does.
using CoreRef = std::shared_ptr<Core>;

// Owners: a CoreRef in each handle, and the upkeep thread until it has ended. Thread-safe.
class Core {
 public:
  // Connects and starts the upkeep thread. Errors as Client::connect.
  static Result<CoreRef> connect(const ConnectOptions& options, const Environment& environment,
                                 std::unique_ptr<Dialer> dialer);
  Core(const ConnectOptions& options, Target target, const Environment& environment,
       std::unique_ptr<Dialer> dialer);

  // First line of every public call: kUnavailable when closed or forked.
  Status usable() const { return lifeline_.usable(); }
  // As usable(), for calls that wait: kInvalidArgument inside a completion.
  Status may_block() const;
  bool forked() const { return lifeline_.forked(); }
  const ConnectOptions& options() const { return options_; }
  Session& session() { return session_; }
  Channels& channels() { return channels_; }
  Upkeep& upkeep() { return upkeep_; }
  Lifeline& lifeline() { return lifeline_; }

  // One control call with all that Session::call does about failures. `plan.timeout` is
  // call_timeout and `extra`, for calls that wait in the daemon. Requests with a request id are
  // repeated under it.
  template <class Stub, class Request, class Response>
  Status call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request, Response* response, CallPlan plan,
              uint64_t* generation = nullptr) {
    if constexpr (requires { request.request_id(); }) plan.repeat = Repeat::kByRequestId;
    const auto attempt = [&](ControlConnection& control, grpc::ClientContext& context) {
      return (control.stub(static_cast<Stub*>(nullptr)).*method)(&context, request, response);
    };
    return session_.call(plan, attempt, generation);
  }
  template <class Stub, class Request, class Response>
  Status call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request, Response* response) {
    return call(method, request, response, plan());
  }
  CallPlan plan(std::chrono::milliseconds extra = {}) const;

  // A user's Mapping keeps the local connection alive, also past close(), because the daemon keeps
  // the bytes for as long as that lasts; the upkeep thread looks after it.
  void add_mapping(const std::shared_ptr<WatchedMapping>& mapping);
  void remove_mapping(const WatchedMapping* mapping);
  // Grants that are mapped into this process, for the daemon's notices.
  void watch(const std::shared_ptr<GrantState>& grant, wire::GrantId id);
  void unwatch(wire::GrantId id);

  // The path that data of such a shelf takes, connecting when nothing is connected; "" when that
  // cannot be.
  std::string_view path(SameHostPolicy policy);

  // See Client::close.
  void close();

 private:
  std::chrono::milliseconds keep_alive();
  void renew_leases();
  void release(const std::vector<std::pair<uint64_t, wire::GrantId>>& grants);
  void on_notice(wire::NoticeKind kind, wire::GrantId grant);
  // True while there are any.
  bool check_mappings(bool closed);
  Upkeep::Tasks tasks();

  const ConnectOptions options_;
  Lifeline lifeline_;
  const std::unique_ptr<Dialer> dialer_;
  Session session_;
  Channels channels_;
  Upkeep upkeep_;
  Time keep_alive_due_;  // upkeep thread only

  std::mutex mutex_;
  std::map<const WatchedMapping*, std::weak_ptr<WatchedMapping>> mappings_;
  std::map<std::pair<uint64_t, uint64_t>, std::weak_ptr<GrantState>> watched_;
};

}  // namespace pmshelf::client
