// Files are mapped here and not by pmem2_map_new, which refuses address space beyond the end of the
// file, and not registered by pmem2_map_from_existing, whose map objects leak in libpmem2 1.12.
#include "common/media/file_map.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace pmshelf::media {
namespace {

struct FileMapping final : Mapping {
  std::shared_ptr<FileMap> map;
};

// The table is read from a map object over one page of DRAM.
Result<CpuFunctions> load_functions(pmem2_granularity granularity) {
  const std::string name = "libpmem2";
  pmem2_source* raw_source = nullptr;
  int result = pmem2_source_from_anon(&raw_source, kPageBytes);
  if (result != 0) return pmem2_error(name, "pmem2_source_from_anon", result);
  const SourcePtr source(raw_source);
  void* const page =
      mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return os_error(name, "mmap", errno);
  CpuFunctions functions;
  result = pmem2_map_from_existing(&functions.owner, raw_source, page, kPageBytes, granularity);
  if (result != 0) return pmem2_error(name, "pmem2_map_from_existing", result);
  functions.copy = pmem2_get_memcpy_fn(functions.owner);
  functions.fill = pmem2_get_memset_fn(functions.owner);
  functions.write_back = pmem2_get_flush_fn(functions.owner);
  functions.fence = pmem2_get_drain_fn(functions.owner);
  return functions;
}

}  // namespace

Result<CpuFunctions> cpu_functions(pmem2_granularity granularity) {
  static const Result<CpuFunctions> by_byte = load_functions(PMEM2_GRANULARITY_BYTE);
  static const Result<CpuFunctions> by_line = load_functions(PMEM2_GRANULARITY_CACHE_LINE);
  return granularity == PMEM2_GRANULARITY_BYTE ? by_byte : by_line;
}

Result<std::shared_ptr<FileMap>> FileMap::make(const OpenFile& options, const Medium& medium,
                                               int fd, const pmem2_source* source,
                                               uint64_t capacity) {
  std::shared_ptr<FileMap> made(new FileMap());
  made->capacity_ = capacity;
  if (medium.device) {
    PMSHELF_TRY_ASSIGN(made->device_, map_whole(options, source));
    made->data_ = static_cast<std::byte*>(pmem2_map_get_address(made->device_));
    return made;
  }
  const int protection = PROT_READ | (options.read_only ? 0 : PROT_WRITE);
  const int flags = medium.map_sync ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;
  void* const address = mmap(nullptr, capacity, protection, flags, fd, 0);
  if (address == MAP_FAILED) return os_error(options.path, "mmap", errno);
  made->data_ = static_cast<std::byte*>(address);
  return made;
}

FileMap::~FileMap() {
  if (device_ != nullptr) {
    pmem2_map_delete(&device_);
  } else if (data_ != nullptr) {
    munmap(data_, capacity_);
  }
}

Status FileMap::sync(const std::string& name, const Extent& extent) const {
  static const auto page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const Extent pages = widen(extent, page_bytes);
  int result = 0;
  do {
    result = msync(data_ + pages.offset, pages.bytes, MS_SYNC);
  } while (result != 0 && errno == EINTR);
  // Whatever the reason (ENOSPC of a delayed allocation too), durability failed.
  if (result != 0) return Error(Code::kIo, os_error(name, "msync", errno).message());
  return {};
}

Status FileMap::deep_flush(const std::string& name, const Extent& extent) const {
  if (device_ == nullptr) return sync(name, extent);
  const int result = pmem2_deep_flush(device_, data_ + extent.offset, extent.bytes);
  if (result != 0) return pmem2_error(name, "pmem2_deep_flush", result);
  return {};
}

std::shared_ptr<Mapping> map_view(std::shared_ptr<FileMap> map, uint64_t bytes) {
  auto view = std::make_shared<FileMapping>();
  view->data = map->data();
  view->bytes = bytes;
  view->map = std::move(map);
  return view;
}

}  // namespace pmshelf::media
