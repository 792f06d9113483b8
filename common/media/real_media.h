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
// kPersistent. SIGBUS guards are installed by the first call.
Result<std::unique_ptr<Media>> open_file(const OpenFile& options);

}  // namespace pmshelf::media
