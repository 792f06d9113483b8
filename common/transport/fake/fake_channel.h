// A Channel without a server: regions in this process's memory, failures on demand. For tests of
// what stands on Channel.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/transport/channel.h"

namespace pmshelf::transport {

struct FakeOptions;
struct FakeState;

// The memory behind any number of fake channels: what a daemon would hold. Owner: the test; the
// channels keep what they need alive. Thread-safe.
class FakeMemory {
 public:
  enum Right : uint8_t { kRead = 1, kWrite = 2 };

  FakeMemory();
  ~FakeMemory();

  // A zero-filled region and a grant on it.
  wire::GrantId add_region(uint64_t bytes, uint8_t rights = kRead | kWrite);
  // Later requests on the grant: kStaleGrant. Channels get a kRevoked notice.
  void revoke(wire::GrantId grant);
  // A shelf for put and get; its handle.
  uint64_t add_shelf();
  // A copy of the region's bytes, also after revoke.
  std::vector<std::byte> bytes_of(wire::GrantId grant) const;

 private:
  friend std::unique_ptr<Channel> make_fake_channel(FakeMemory& memory, FakeOptions options);
  std::shared_ptr<FakeState> state_;
};

struct FakeOptions {
  Capabilities capabilities{.map = true};
  // The connection breaks at the n-th request (1: the first); 0: never.
  uint64_t break_at = 0;
  // Whether the request at which it breaks took effect before the answer was lost.
  bool apply_before_break = false;
};

// Same contract as the real ones, path() "fake".
std::unique_ptr<Channel> make_fake_channel(FakeMemory& memory, FakeOptions options);

}  // namespace pmshelf::transport
