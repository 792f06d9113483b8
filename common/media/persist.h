// Making bytes of a mapping durable, for a process that maps a store's data file without a Media.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/media/media.h"
#include "pmshelf/result.h"

namespace pmshelf::media {

// Makes [data, data + bytes) of a shared mapping durable, in the sense of the storage class: msync
// of the pages for kFile, CPU flush and fence otherwise (of stores by any thread or process of this
// host). kIo: the kernel could not write them, or the memory is gone (SIGBUS, guarded).
// Precondition: install_sigbus_guard() was called. Thread-safe.
Status persist(StorageClass storage_class, const std::byte* data, uint64_t bytes);

}  // namespace pmshelf::media
