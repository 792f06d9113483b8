#include "common/media/medium.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "common/media/range.h"

namespace pmshelf::media {
namespace {

Code code_of(int error) {
  switch (error) {
    case ENOENT:
      return Code::kNotFound;
    case EEXIST:
      return Code::kAlreadyExists;
    case EACCES:
    case EPERM:
      return Code::kPermissionDenied;
    case EROFS:
      return Code::kReadOnly;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Code::kNoSpace;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Code::kResourceExhausted;
    case ELOOP:
    case ENOTDIR:
    case ENAMETOOLONG:
    case EISDIR:
      return Code::kInvalidArgument;
    default:
      return Code::kIo;
  }
}

Error wrong_type(const std::string& path, const char* what) {
  return Error(Code::kInvalidArgument,
               path + ": is " + what + "; a regular file or a DAX device is needed");
}

// ok for what may be opened. Before open(), because opening a device or FIFO can have effects.
Status check_type(const std::string& path, const struct stat& status) {
  switch (status.st_mode & S_IFMT) {
    case S_IFREG:
      return {};
    case S_IFCHR:
      if (dax_device_class("/sys", status.st_rdev)) return {};
      return wrong_type(path, "a character device without DAX");
    case S_IFDIR:
      return wrong_type(path, "a directory");
    case S_IFIFO:
      return wrong_type(path, "a FIFO");
    case S_IFSOCK:
      return wrong_type(path, "a socket");
    default:
      return wrong_type(path, "a block device");
  }
}

Status check_path(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) == 0) return check_type(path, status);
  const int error = errno;
  if (error == ENOENT && lstat(path.c_str(), &status) == 0) {
    return wrong_type(path, "a dangling link");
  }
  return os_error(path, "stat", error);
}

Result<UniqueFd> open_existing(const OpenFile& options) {
  PMSHELF_TRY(check_path(options.path));
  // O_NONBLOCK: the path may have become a FIFO since.
  const int access = options.read_only ? O_RDONLY : O_RDWR;
  UniqueFd fd(open(options.path.c_str(), access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return os_error(options.path, "open", errno);
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return os_error(options.path, "fstat", errno);
  PMSHELF_TRY(check_type(options.path, status));
  return fd;
}

Status fill_new(const OpenFile& options, int fd) {
  PMSHELF_TRY(extend(options.path, fd, 0, options.create_bytes, options.preallocate));
  if (fsync(fd) != 0) return os_error(options.path, "fsync", errno);
  return {};
}

Result<UniqueFd> create_new(const OpenFile& options) {
  if (options.create_bytes == 0 || options.read_only) {
    return Error(Code::kInvalidArgument,
                 options.path + ": a new file needs create_bytes and write access");
  }
  UniqueFd fd(open(options.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                   static_cast<mode_t>(options.create_mode)));
  if (!fd) return os_error(options.path, "create", errno);
  if (Status status = fill_new(options, fd.get()); !status.ok()) {
    unlink(options.path.c_str());
    return std::move(status).error();
  }
  return fd;
}

bool in_memory_file_system(int fd) {
  struct statfs status;
  if (fstatfs(fd, &status) != 0) return false;
  return status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC ||
         status.f_type == HUGETLBFS_MAGIC;
}

// MAP_SYNC is granted only where a CPU flush alone makes stores durable.
bool can_map_sync(int fd) {
  void* const address = mmap(nullptr, kPageBytes, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
  if (address == MAP_FAILED) return false;
  munmap(address, kPageBytes);
  return true;
}

// Asks libpmem2, by a mapping that is dropped at once.
Result<pmem2_granularity> probe_granularity(const OpenFile& options, const pmem2_source* source) {
  PMSHELF_TRY_ASSIGN(pmem2_map * map, map_whole(options, source));
  const pmem2_granularity granularity = pmem2_map_get_store_granularity(map);
  if (const int result = pmem2_map_delete(&map); result != 0) {
    return pmem2_error(options.path, "pmem2_map_delete", result);
  }
  return granularity;
}

// Whether the file system could hold `bytes` more. Advice only: fallocate decides.
Status check_free_space(const std::string& name, int fd, uint64_t bytes) {
  struct statvfs status;
  if (fstatvfs(fd, &status) != 0 || status.f_blocks == 0) return {};  // unknown, or no limit
  const uint64_t free_bytes = uint64_t{status.f_bavail} * status.f_frsize;
  if (bytes <= free_bytes) return {};
  return Error(Code::kNoSpace, name + ": " + std::to_string(bytes) +
                                   " bytes asked, its file system has " +
                                   std::to_string(free_bytes) + " free");
}

}  // namespace

Error os_error(const std::string& name, const char* what, int error) {
  return Error(code_of(error), name + ": " + what + ": " + std::strerror(error));
}

Error pmem2_error(const std::string& name, const char* what, int result) {
  const bool no_memory = result == -ENOMEM;
  return Error(no_memory ? Code::kResourceExhausted : Code::kIo,
               name + ": " + what + ": " + pmem2_errormsg());
}

Result<UniqueFd> open_descriptor(const OpenFile& options) {
  return options.create ? create_new(options) : open_existing(options);
}

Result<pmem2_map*> map_whole(const OpenFile& options, const pmem2_source* source) {
  pmem2_config* config = nullptr;
  int result = pmem2_config_new(&config);
  if (result != 0) return pmem2_error(options.path, "pmem2_config_new", result);
  const unsigned protection = PMEM2_PROT_READ | (options.read_only ? 0U : PMEM2_PROT_WRITE);
  result = pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_PAGE);
  if (result == 0) result = pmem2_config_set_protection(config, protection);
  pmem2_map* map = nullptr;
  if (result == 0) result = pmem2_map_new(&map, config, source);
  pmem2_config_delete(&config);
  if (result != 0) return pmem2_error(options.path, "pmem2_map_new", result);
  return map;
}

Result<Medium> examine(const OpenFile& options, int fd, const pmem2_source* source) {
  Medium medium;
  pmem2_granularity own = PMEM2_GRANULARITY_CACHE_LINE;
  struct stat status;
  if (fstat(fd, &status) != 0) return os_error(options.path, "fstat", errno);
  if (S_ISCHR(status.st_mode)) {
    medium.device = true;
    medium.storage_class =
        dax_device_class("/sys", status.st_rdev).value_or(StorageClass::kVolatile);
  } else if (in_memory_file_system(fd)) {
    medium.storage_class = StorageClass::kVolatile;
  } else if (can_map_sync(fd)) {
    medium.map_sync = true;
    medium.storage_class = StorageClass::kPersistent;
  } else {
    own = PMEM2_GRANULARITY_PAGE;
  }
  const auto forced = forced_granularity(std::getenv("PMEM2_FORCE_GRANULARITY"));
  if (!forced && medium.storage_class == StorageClass::kVolatile) {
    medium.granularity = PMEM2_GRANULARITY_CACHE_LINE;
    return medium;
  }
  PMSHELF_TRY_ASSIGN(medium.granularity, probe_granularity(options, source));
  medium.storage_class = forced_class(medium.storage_class, own, forced);
  return medium;
}

StorageClass forced_class(StorageClass own, pmem2_granularity own_granularity,
                          std::optional<pmem2_granularity> forced) {
  return forced && *forced < own_granularity ? StorageClass::kVolatile : own;
}

std::optional<pmem2_granularity> forced_granularity(const char* value) {
  if (value == nullptr) return std::nullopt;
  if (strcasecmp(value, "byte") == 0) return PMEM2_GRANULARITY_BYTE;
  if (strcasecmp(value, "cache_line") == 0) return PMEM2_GRANULARITY_CACHE_LINE;
  if (strcasecmp(value, "cacheline") == 0) return PMEM2_GRANULARITY_CACHE_LINE;
  if (strcasecmp(value, "page") == 0) return PMEM2_GRANULARITY_PAGE;
  return std::nullopt;
}

std::optional<StorageClass> dax_device_class(const std::string& sysfs, dev_t number) {
  namespace fs = std::filesystem;
  const fs::path device = fs::path(sysfs) / "dev" / "char" /
                          (std::to_string(major(number)) + ":" + std::to_string(minor(number)));
  std::error_code error;
  const fs::path subsystem = fs::canonical(device / "subsystem", error);
  if (error || subsystem.filename() != "dax") return std::nullopt;
  const fs::path place = fs::canonical(device, error);
  if (error) return std::nullopt;
  for (const fs::path& part : place) {
    if (part.string().starts_with("ndbus")) return StorageClass::kPersistent;
  }
  return StorageClass::kVolatile;
}

Status extend(const std::string& name, int fd, uint64_t old_bytes, uint64_t new_bytes,
              bool preallocate) {
  const auto length = static_cast<off_t>(new_bytes);
  if (length < 0) return os_error(name, "extend", EFBIG);
  int error = 0;
  if (preallocate) {
    PMSHELF_TRY(check_free_space(name, fd, new_bytes - old_bytes));
    do {
      error = posix_fallocate(fd, static_cast<off_t>(old_bytes),
                              length - static_cast<off_t>(old_bytes));
    } while (error == EINTR);
  } else if (ftruncate(fd, length) != 0) {
    error = errno;
  }
  if (error == 0) return {};
  // What was allocated before the space ran out goes back.
  if (ftruncate(fd, static_cast<off_t>(old_bytes)) != 0) return os_error(name, "ftruncate", errno);
  return os_error(name, preallocate ? "posix_fallocate" : "ftruncate", error);
}

}  // namespace pmshelf::media
