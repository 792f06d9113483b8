// What a path is and what a flush on it is worth. Internal to real media.
#pragma once

#include <libpmem2.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/base/unique_fd.h"
#include "common/media/real_media.h"
#include "pmshelf/result.h"

namespace pmshelf::media {

// The error of a failed system call: kNotFound, kPermissionDenied, kNoSpace, kResourceExhausted,
// kReadOnly, kAlreadyExists, kInvalidArgument (a bad path), else kIo.
Error os_error(const std::string& name, const char* what, int error);
// kIo (kResourceExhausted without memory) with libpmem2's own words.
Error pmem2_error(const std::string& name, const char* what, int result);

struct SourceDeleter {
  void operator()(pmem2_source* source) const { pmem2_source_delete(&source); }
};
using SourcePtr = std::unique_ptr<pmem2_source, SourceDeleter>;

struct Medium {
  bool device = false;    // devdax
  bool map_sync = false;  // DAX file: page faults make the file system's metadata durable
  StorageClass storage_class = StorageClass::kFile;
  pmem2_granularity granularity = PMEM2_GRANULARITY_PAGE;
};

// Opens or creates the file (created: with its full length, durable). Errors: open_file's.
Result<UniqueFd> open_descriptor(const OpenFile& options);

// libpmem2's own mapping of all of `source`, to be deleted by the caller. kIo.
Result<pmem2_map*> map_whole(const OpenFile& options, const pmem2_source* source);

// Finds out what `fd` is. The granularity is libpmem2's, PMEM2_FORCE_GRANULARITY included; only
// tmpfs and ramfs, where libpmem2 says page, get cache lines.
Result<Medium> examine(const OpenFile& options, int fd, const pmem2_source* source);

// The class of a medium whose own class and granularity are given, when flushes are forced to be
// finer than that: such flushes make nothing durable.
StorageClass forced_class(StorageClass own, pmem2_granularity own_granularity,
                          std::optional<pmem2_granularity> forced);
// Value of PMEM2_FORCE_GRANULARITY as libpmem2 understands it; nothing when unset or unknown.
std::optional<pmem2_granularity> forced_granularity(const char* value);

// Nothing when the character device `number` is no DAX device; else its class: persistent on an
// NVDIMM bus, volatile on any other (soft-reserved and CXL memory). `sysfs` is /sys.
std::optional<StorageClass> dax_device_class(const std::string& sysfs, dev_t number);

// Makes the file `new_bytes` long, with blocks for all of it when `preallocate`. kNoSpace (asked of
// the file system first, so that a hopeless request does not fill it for a while), kIo; the file is
// as it was then.
Status extend(const std::string& name, int fd, uint64_t old_bytes, uint64_t new_bytes,
              bool preallocate);

}  // namespace pmshelf::media
