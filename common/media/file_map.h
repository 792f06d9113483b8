// One mmap of a file, with room to grow. Internal to real media.
#pragma once

#include <libpmem2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "common/media/media.h"
#include "common/media/medium.h"
#include "common/media/range.h"
#include "pmshelf/result.h"

namespace pmshelf::media {

// libpmem2's ways to copy to persistent memory and to write cache lines back. They depend on the
// processor and the granularity, not on the mapping: one table for all, made at first use.
struct CpuFunctions {
  pmem2_memcpy_fn copy = nullptr;
  pmem2_memset_fn fill = nullptr;
  pmem2_flush_fn write_back = nullptr;  // of the cache lines of a range, without a fence
  pmem2_drain_fn fence = nullptr;
  pmem2_map* owner = nullptr;  // keeps what libpmem2 allocated reachable; never freed
};
// For byte or cache-line granularity. kResourceExhausted, for good, when the first use failed.
Result<CpuFunctions> cpu_functions(pmem2_granularity granularity);

// A mapping of `capacity` bytes of address space from the start of a file. The file may be shorter:
// the rest raises SIGBUS until the file grows into it, so that growth seldom needs a new mapping.
// Owner: the media and every Mapping of it; unmaps at the end. Immutable.
class FileMap {
 public:
  // kResourceExhausted without address space, kIo.
  static Result<std::shared_ptr<FileMap>> make(const OpenFile& options, const Medium& medium,
                                               int fd, const pmem2_source* source,
                                               uint64_t capacity);
  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  std::byte* data() const { return data_; }
  uint64_t capacity() const { return capacity_; }
  // Writes dirty pages of the range back and returns when they are durable. kIo.
  Status sync(const std::string& name, const Extent& extent) const;
  // pmem2_deep_flush of a device; of a file, sync(), which is what libpmem2 does. kIo.
  Status deep_flush(const std::string& name, const Extent& extent) const;

 private:
  FileMap() = default;
  std::byte* data_ = nullptr;
  uint64_t capacity_ = 0;
  pmem2_map* device_ = nullptr;  // devices only: owns the memory
};

// A view of the first `bytes` of `map`, which it keeps alive.
std::shared_ptr<Mapping> map_view(std::shared_ptr<FileMap> map, uint64_t bytes);

}  // namespace pmshelf::media
