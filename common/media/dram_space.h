// DRAM that grows and shrinks without moving: behind memory, recording and mirror media.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "common/base/unique_fd.h"
#include "common/media/media.h"
#include "pmshelf/result.h"

namespace pmshelf::media {

// Zero-filled memory at one address for its whole life: address space for kBytesMax is reserved,
// so that mappings made before a resize stay valid and coherent. Owner: the media and every
// mapping of it. Threads: resize needs the caller's exclusion; the rest is constant.
class DramSpace {
 public:
  static constexpr uint64_t kBytesMax = uint64_t{16} << 30;

  enum class Kind : uint8_t {
    kPrivate,  // anonymous
    kShared,   // a memfd, which other processes can map through fd()
  };
  // kNoSpace over kBytesMax; kResourceExhausted when the kernel has no memory or descriptor left.
  static Result<std::shared_ptr<DramSpace>> make(Kind kind, uint64_t bytes);

  ~DramSpace();
  DramSpace(const DramSpace&) = delete;
  DramSpace& operator=(const DramSpace&) = delete;

  // What is cut off reads as zeros when it comes back. Errors as make(), with nothing changed.
  Status resize(uint64_t new_bytes);
  std::byte* data() const { return data_; }
  int fd() const { return fd_.get(); }  // -1: kPrivate

 private:
  DramSpace() = default;
  UniqueFd fd_;
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

// A mapping of the first `bytes` of `space`, which it keeps alive.
std::shared_ptr<Mapping> map_dram(std::shared_ptr<DramSpace> space, uint64_t bytes);

}  // namespace pmshelf::media
