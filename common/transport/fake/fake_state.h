// The regions and shelves behind fake channels. Private to common/transport/fake.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/transport/channel.h"

namespace pmshelf::transport {

// Told when a grant is revoked.
class FakeWatcher {
 public:
  virtual ~FakeWatcher() = default;
  virtual void on_revoked(wire::GrantId grant) = 0;
};

// Owner: FakeMemory and its channels. Thread-safe: one mutex. Errors as Channel's.
struct FakeState {
  using Ranges = std::vector<wire::Range>;

  void watch(FakeWatcher* watcher);
  void unwatch(FakeWatcher* watcher);
  wire::GrantId add_region(uint64_t bytes, uint8_t rights);
  void revoke(wire::GrantId grant);
  uint64_t add_shelf();
  std::vector<std::byte> bytes_of(wire::GrantId grant) const;

  Status read(wire::GrantId grant, const Ranges& ranges, std::span<std::byte> target) const;
  Status write(wire::GrantId grant, const Ranges& ranges, std::span<const std::byte> source);
  Status write8(wire::GrantId grant, uint64_t offset, uint64_t value);
  Status check_flush(wire::GrantId grant, uint64_t offset, uint64_t bytes) const;
  Status transact(const wire::TransactMeta& meta, std::span<const std::byte> source);
  Status put(uint64_t shelf, const std::string& name, const std::string& attributes, bool if_absent,
             std::span<const std::byte> value);
  Result<GetResult> get(uint64_t shelf, const std::string& name, std::span<std::byte> target) const;
  Result<MappedRange> map(wire::GrantId grant) const;

 private:
  struct Region {
    std::shared_ptr<std::vector<std::byte>> bytes;
    uint8_t rights = 0;
    bool revoked = false;
  };
  struct Value {
    uint64_t region_id = 0;
    std::vector<std::byte> bytes;
    std::string attributes;
  };
  using GrantKey = std::pair<uint64_t, uint64_t>;

  Result<std::byte*> reach(wire::GrantId grant, uint8_t right, const wire::Range& range) const;

  mutable std::mutex mutex_;
  std::map<GrantKey, Region> regions_;
  std::map<uint64_t, std::map<std::string, Value>> shelves_;
  std::set<FakeWatcher*> watchers_;
  uint64_t next_id_ = 1;
};

}  // namespace pmshelf::transport
