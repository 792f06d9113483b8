// Exclusive locks on files and directories, and who holds them.
#pragma once

#include <sys/stat.h>

#include <string>

#include "common/base/unique_fd.h"
#include "pmshelf/result.h"

namespace pmshelf::pool {

// flock(2), exclusive, without waiting. The lock belongs to the descriptor's open file and ends
// with it; a descriptor that carries one is never handed out or inherited. kBusy says who holds it.
Status lock_descriptor(int fd, const std::string& path);

// Opens `name` under `directory_fd` for reading and locks it. Regular files only, links not
// followed. kBusy; kInvalidArgument: something else than a file; kNotFound, kPermissionDenied,
// kResourceExhausted (RLIMIT_NOFILE), kIo.
Result<UniqueFd> open_locked(int directory_fd, const std::string& name);

// The lock file of a directory pool, made when it is not there. Its text is two lines: pid and
// `note`; it stays behind. kBusy repeats both lines of the holder. Where the directory is not
// `writable` nothing is made or written, and without a lock file there is no lock.
Result<UniqueFd> lock_pool_directory(int directory_fd, const std::string& path,
                                     const std::string& note, bool writable);

inline constexpr char kPoolLockName[] = "pmshelfd.lock";

// From /proc/locks: "pid 123", or "another process" where the kernel does not tell.
std::string lock_holder(const struct stat& file);

// An Error for errno of a call on `path`: kNoSpace, kPermissionDenied, kReadOnly, kNotFound,
// kAlreadyExists, kResourceExhausted (descriptors, memory), else kIo.
Error system_error(int code, const std::string& what);

}  // namespace pmshelf::pool
