// What a daemon would be behind the stream transports, over one memfd: regions, grants, values.
// Just enough to hold transports to their contract, with failures on demand.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/transport/stream_server.h"

namespace pmshelf::transport {

inline constexpr uint8_t kTestRead = 1;
inline constexpr uint8_t kTestWrite = 2;

// Owner: the test; outlives the listener. Thread-safe.
class MemoryService {
 public:
  MemoryService();
  ~MemoryService();
  MemoryService(const MemoryService&) = delete;
  MemoryService& operator=(const MemoryService&) = delete;

  HandlerFactory factory();
  wire::SessionId session() const { return session_; }
  wire::Secret secret() const { return secret_; }

  wire::GrantId add_region(uint64_t bytes, uint8_t rights);
  uint64_t add_shelf();
  std::vector<std::byte> bytes_of(wire::GrantId grant) const;
  // Marks the grant stale and tells every connection.
  void revoke(wire::GrantId grant);
  // The file now ends before the grant's region does.
  void truncate_below(wire::GrantId grant);
  void notify_all(wire::NoticeKind kind);
  size_t mapped_count() const;
  uint32_t operation_count() const { return operation_count_; }  // alive now
  uint32_t handler_count() const { return handler_count_; }      // alive now
  uint64_t begun_count() const { return begun_count_; }

  // ---- failures and habits, set before connecting
  std::atomic<bool> allow_ring{true};
  std::atomic<bool> finish_elsewhere{false};  // `done` comes from another thread
  std::atomic<bool> hold{false};              // operations do not finish until release_held()
  std::atomic<bool> hold_flushes{false};      // as hold, for flushes alone
  std::atomic<uint64_t> close_at{0};          // the n-th request closes its connection
  std::atomic<uint32_t> in_flight_max{128};   // said in HelloReply
  std::atomic<bool> lie_in_proof{false};
  std::atomic<bool> refuse_hello{false};
  enum class MapFd : uint8_t { kRight, kNone, kShort, kSocket, kWriteOnly };
  std::atomic<MapFd> map_fd{MapFd::kRight};
  void release_held();

 private:
  friend class MemoryHandler;
  friend class MemoryOperation;
  using GrantKey = std::pair<uint64_t, uint64_t>;
  struct Region {
    uint64_t offset = 0, bytes = 0;
    uint8_t rights = 0;
    bool stale = false;
  };
  struct Value {
    uint64_t id = 0;
    std::shared_ptr<std::vector<std::byte>> bytes;
    std::string attributes;
  };

  Result<Window> reach(wire::GrantId grant, uint8_t right, uint64_t offset, uint64_t bytes) const;
  void later(std::function<void()> action);

  const wire::SessionId session_;
  const wire::Secret secret_;
  UniqueFd fd_;
  std::byte* data_ = nullptr;
  std::atomic<uint32_t> operation_count_{0}, handler_count_{0};
  std::atomic<uint64_t> begun_count_{0};

  mutable std::mutex mutex_;
  uint64_t next_offset_ = 0, next_id_ = 1;
  std::map<GrantKey, Region> regions_;
  std::map<uint64_t, std::map<std::string, Value>> shelves_;
  std::set<GrantKey> mapped_;
  std::set<std::shared_ptr<ConnectionControl>> controls_;
  std::vector<std::function<void()>> held_;
  std::vector<std::function<void()>> later_;
  bool stopping_ = false;
  std::thread elsewhere_;
};

}  // namespace pmshelf::transport
