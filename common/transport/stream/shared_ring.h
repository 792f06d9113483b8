// The memfd that a same-host connection can carry payloads in (docs/protocol.md, op Ring).
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/unique_fd.h"
#include "pmshelf/result.h"

namespace pmshelf::transport {

inline constexpr uint64_t kRingBytesMin = 4096;
inline constexpr uint64_t kRingBytesMax = 64ull * 1024 * 1024;

// A mapping of a sealed memfd. Move-only owner. Its size cannot change, so that neither end can
// make the other fault; its bytes may change under one's hands at any time: nothing is decided by
// them.
class SharedRing {
 public:
  SharedRing() = default;
  SharedRing(SharedRing&& other) noexcept;
  SharedRing& operator=(SharedRing&& other) noexcept;
  ~SharedRing();

  // Makes one; `fd()` is for the peer. kInvalidArgument: not a multiple of 4096 between the
  // limits. kResourceExhausted: descriptors or memory.
  static Result<SharedRing> create(uint64_t bytes);
  // Maps what the peer made. kInvalidArgument: another size, or it could still be resized.
  static Result<SharedRing> attach(UniqueFd fd, uint64_t bytes);

  bool exists() const { return data_ != nullptr; }
  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  int fd() const { return fd_.get(); }

 private:
  SharedRing(UniqueFd fd, std::byte* data, uint64_t bytes);
  static Result<SharedRing> map(UniqueFd fd, uint64_t bytes);
  UniqueFd fd_;
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace pmshelf::transport
