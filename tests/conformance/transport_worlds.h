// The transports under test, each behind the same face.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/transport/channel.h"
#include "tests/conformance/memory_service.h"

namespace pmshelf::transport {

// One transport with its server (or memory). Owner: the test.
class World {
 public:
  virtual ~World() = default;

  virtual Result<std::unique_ptr<Channel>> connect() = 0;
  virtual wire::GrantId add_region(uint64_t bytes, uint8_t rights = kTestRead | kTestWrite) = 0;
  virtual uint64_t add_shelf() = 0;
  virtual std::vector<std::byte> bytes_of(wire::GrantId grant) = 0;
  virtual void revoke(wire::GrantId grant) = 0;
  // The connection breaks at the n-th request of the next channel.
  virtual void break_at(uint64_t n) = 0;
  // The server behind it; null for transports without one.
  virtual MemoryService* service() { return nullptr; }
  // A channel through a relay that breaks after so many bytes to the server, or from it; -1: never.
  // Null: this transport has no bytes to relay.
  virtual std::unique_ptr<Channel> connect_cut(int64_t, int64_t) { return nullptr; }
};

struct WorldKind {
  std::string name;
  std::function<std::unique_ptr<World>()> make;
};
std::vector<WorldKind> world_kinds();

}  // namespace pmshelf::transport
