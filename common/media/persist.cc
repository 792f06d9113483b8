#include "common/media/persist.h"

#include <libpmem2.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/media/guard.h"

namespace pmshelf::media {
namespace {

constexpr size_t kPageBytes = 4096;
alignas(kPageBytes) std::byte any_page[kPageBytes];

// libpmem2 hands out its flush function (the CPU's best instruction) only for a mapping of its
// own making or naming; the function itself works on any address.
pmem2_persist_fn find_cpu_persist() {
  struct pmem2_source* source = nullptr;
  struct pmem2_map* map = nullptr;
  PMSHELF_CHECK(pmem2_source_from_anon(&source, kPageBytes) == 0);
  PMSHELF_CHECK(pmem2_map_from_existing(&map, source, any_page, kPageBytes,
                                        PMEM2_GRANULARITY_CACHE_LINE) == 0);
  const pmem2_persist_fn persist_fn = pmem2_get_persist_fn(map);
  pmem2_map_delete(&map);
  pmem2_source_delete(&source);
  return persist_fn;
}

}  // namespace

Status persist(StorageClass storage_class, const std::byte* data, uint64_t bytes) {
  if (bytes == 0) return {};
  if (storage_class != StorageClass::kFile) {
    static const pmem2_persist_fn cpu_persist = find_cpu_persist();
    if (guarded([=] { cpu_persist(data, bytes); })) return {};
    return Error(Code::kIo,
                 "the memory cannot be reached: its file was truncated, or a page is "
                 "poisoned");
  }
  const auto address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = align_down(address, kPageBytes);
  const uintptr_t end = align_up(address + bytes, kPageBytes);
  if (::msync(reinterpret_cast<void*>(begin), end - begin, MS_SYNC) != 0) {
    return Error(Code::kIo, std::string("msync: ") + std::strerror(errno));
  }
  return {};
}

}  // namespace pmshelf::media
