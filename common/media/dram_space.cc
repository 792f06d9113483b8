#include "common/media/dram_space.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/media/range.h"

namespace pmshelf::media {
namespace {

struct DramMapping final : Mapping {
  std::shared_ptr<DramSpace> space;
};

Error refused(const char* what) {
  return Error(Code::kResourceExhausted,
               std::string("DRAM media: ") + what + ": " + std::strerror(errno));
}

}  // namespace

Result<std::shared_ptr<DramSpace>> DramSpace::make(Kind kind, uint64_t bytes) {
  std::shared_ptr<DramSpace> space(new DramSpace());
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  int protection = PROT_NONE;  // opened by resize(); unreachable pages count against no limit
  if (kind == Kind::kShared) {
    space->fd_.reset(memfd_create("pmshelf-dram", MFD_CLOEXEC));
    if (!space->fd_) return refused("memfd_create");
    flags = MAP_SHARED | MAP_NORESERVE;
    protection = PROT_READ | PROT_WRITE;
  }
  void* const address = mmap(nullptr, kBytesMax, protection, flags, space->fd_.get(), 0);
  if (address == MAP_FAILED) return refused("mmap of 16 GiB of address space");
  space->data_ = static_cast<std::byte*>(address);
  PMSHELF_TRY(space->resize(bytes));
  return space;
}

DramSpace::~DramSpace() {
  if (data_ != nullptr) munmap(data_, kBytesMax);
}

Status DramSpace::resize(uint64_t new_bytes) {
  if (new_bytes > kBytesMax) {
    return Error(Code::kNoSpace, "DRAM media: " + std::to_string(new_bytes) +
                                     " bytes asked, at most " + std::to_string(kBytesMax));
  }
  if (fd_) {
    if (ftruncate(fd_.get(), static_cast<off_t>(new_bytes)) != 0) return refused("ftruncate");
  } else {
    const uint64_t old_end = widen({0, bytes_}, kPageBytes).bytes;
    const uint64_t new_end = widen({0, new_bytes}, kPageBytes).bytes;
    if (mprotect(data_, new_end, PROT_READ | PROT_WRITE) != 0) return refused("mprotect");
    if (new_bytes < bytes_) {
      std::memset(data_ + new_bytes, 0, std::min(new_end, bytes_) - new_bytes);
      PMSHELF_CHECK(madvise(data_ + new_end, old_end - new_end, MADV_DONTNEED) == 0);
    }
  }
  bytes_ = new_bytes;
  return {};
}

std::shared_ptr<Mapping> map_dram(std::shared_ptr<DramSpace> space, uint64_t bytes) {
  auto mapping = std::make_shared<DramMapping>();
  mapping->data = space->data();
  mapping->bytes = bytes;
  mapping->space = std::move(space);
  return mapping;
}

}  // namespace pmshelf::media
