// Media over a file or device through libpmem2.
#pragma once

#include <memory>
#include <string>

#include "common/media/media.h"

namespace pmshelf::media {

struct OpenFile {
  std::string path;
  bool create = false;        // O_EXCL: kAlreadyExists when the path is there
  uint64_t create_bytes = 0;  // length of a new file
  bool preallocate = true;    // posix_fallocate on create and grow: ENOSPC comes here, not later
  bool read_only = false;     // stores fail with kReadOnly
  uint32_t create_mode = 0600;
};

// Opens (or creates) and maps. The path must be a regular file or a DAX character device: a FIFO,
// directory, socket or dangling link is kInvalidArgument with the path. tmpfs and ramfs give
// kVolatile with cache-line granularity: CPU flushes are executed there as on PMem, which makes
// tmpfs an emulation of it; page-cache files give kFile with page granularity; DAX gives
// kPersistent (see docs/design/0002-media-seam.md for PMEM2_FORCE_GRANULARITY and devices). SIGBUS
// guards are installed by the first call.
//
// Other errors: kNotFound; kAlreadyExists; kPermissionDenied; kReadOnly (file system);
// kCorrupt: an empty file; kNoSpace: a failed creation leaves no file; kResourceExhausted: out of
// descriptors, memory or address space; kIo. A new file is durable with its length; making its
// name durable (fsync of the directory) is the caller's business.
Result<std::unique_ptr<Media>> open_file(const OpenFile& options);

}  // namespace pmshelf::media
