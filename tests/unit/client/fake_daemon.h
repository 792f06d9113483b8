// A control plane in this process, with failures on demand, and data channels to memory.
#pragma once

#include <grpcpp/server.h>

#include <atomic>
#include <climits>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "client/src/dialer.h"
#include "common/transport/fake/fake_channel.h"
#include "pmshelf/client.h"
#include "pmshelf/v1/regions.grpc.pb.h"
#include "pmshelf/v1/sessions.grpc.pb.h"
#include "pmshelf/v1/shelves.grpc.pb.h"
#include "tests/unit/client/temp_folder.h"

namespace pmshelf::client {

// Owner: the test. Thread-safe. Knows one shelf, "s".
class FakeDaemon {
 public:
  FakeDaemon();
  ~FakeDaemon();

  // The daemon's control socket goes away and comes back; sessions and grants are forgotten.
  void stop();
  void start();
  void restart() {
    stop();
    start();
  }
  // Sessions are forgotten, the daemon stays.
  void forget_sessions();
  // The name gets another region, as after erase and create.
  void replace_region(const std::string& name);
  void erase_region(const std::string& name);

  // The next `count` calls of the method ("Regions.Create") are applied, and their answers lost.
  void lose_answers(const std::string& method, int count);
  // They are not applied, and answered with this.
  void refuse(const std::string& method, int count, Code code);
  // They take this long.
  void delay(const std::string& method, std::chrono::milliseconds time);

  int calls(const std::string& method) const;
  // How often something was applied that has a request id.
  int applied(const std::string& method) const;
  std::vector<std::string> released() const;
  int sessions() const;

  // For data channels in the order of dialling; the last one for all further ones.
  void script_channels(std::vector<transport::FakeOptions> options);
  int dialled() const;
  // Further ones are refused.
  void allow_dialling(int count);
  // The region's bytes.
  std::vector<std::byte> bytes_of(const std::string& name) const;
  transport::FakeMemory& memory() { return memory_; }
  void revoke_grants_of(const std::string& name);

  std::unique_ptr<Dialer> dialer();
  ConnectOptions options() const;
  uint64_t keep_alive_ms = 30'000;
  v1::SameHostPolicy policy = v1::COPY;

 private:
  friend class FakeSessions;
  friend class FakeShelves;
  friend class FakeRegions;
  friend class FakeDialer;
  struct Region {
    uint64_t id = 0, bytes = 0;
    wire::GrantId grant;
  };
  using Body = std::function<grpc::Status()>;

  grpc::Status serve(const grpc::ServerContext& context, const std::string& method,
                     const Body& body);
  // Applies the body once per request id.
  grpc::Status once(const std::string& method, const v1::RequestId& id, const Body& body);
  bool knows_ticket(const grpc::ServerContext& context) const;
  Region& add_region(const std::string& name, uint64_t bytes);
  void fill(const std::string& name, const Region& region, uint32_t rights, v1::Grant* grant);

  TempFolder folder_;
  transport::FakeMemory memory_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;

  mutable std::mutex mutex_;
  uint64_t boot_epoch_ = 1, next_id_ = 1;
  const uint64_t shelf_handle_ = memory_.add_shelf();
  std::set<std::string> tickets_;
  std::map<std::string, Region> regions_;
  std::map<std::string, Region> staged_;  // by grant id
  std::set<std::pair<uint64_t, uint64_t>> request_ids_;
  std::map<std::string, int> calls_, applied_, lost_, refusals_;
  std::map<std::string, Code> refusal_codes_;
  std::map<std::string, std::chrono::milliseconds> delays_;
  std::vector<std::string> released_;
  std::deque<transport::FakeOptions> channel_options_{{}};
  int dialled_ = 0, dials_left_ = INT_MAX;
};

}  // namespace pmshelf::client
