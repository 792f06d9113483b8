// Which parts of a connection's ring are taken. Private to the stream transports.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace pmshelf::transport {

// First fit over the free runs, in units of 64 bytes. As many runs as requests in flight, at most.
// Thread-compatible.
class RingSpace {
 public:
  explicit RingSpace(uint64_t bytes) {
    if (bytes > 0) free_.emplace(0, bytes);
  }
  // A position, or nothing when no run is long enough. Precondition: bytes > 0.
  std::optional<uint64_t> take(uint64_t bytes);
  // What take() gave for the same number of bytes.
  void give_back(uint64_t position, uint64_t bytes);

 private:
  std::map<uint64_t, uint64_t> free_;  // position -> bytes; neighbours are merged
};

}  // namespace pmshelf::transport
