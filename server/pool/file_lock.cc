#include "server/pool/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace pmshelf::pool {

namespace {

constexpr size_t kLockTextBytesMax = 4096;

std::string first_line(std::string& text) {
  const size_t end = text.find('\n');
  std::string line = text.substr(0, end);
  text.erase(0, end == std::string::npos ? end : end + 1);
  return line;
}

Error pool_busy(int lock_fd, const std::string& path) {
  std::string text(kLockTextBytesMax, '\0');
  const ssize_t got = ::pread(lock_fd, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  const std::string pid = first_line(text);
  const std::string note = first_line(text);
  std::string who = pid.empty() ? "another process, which is just starting" : "pid " + pid;
  if (!note.empty()) who += " (" + note + ")";
  return Error(Code::kBusy, "pool " + path + " is served by " + who);
}

Status write_lock_text(int fd, const std::string& path, const std::string& note) {
  const std::string text = std::to_string(::getpid()) + "\n" + note + "\n";
  if (::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ::ftruncate(fd, static_cast<off_t>(text.size())) != 0) {
    return system_error(errno, "cannot write " + path + "/" + kPoolLockName);
  }
  return {};
}

}  // namespace

Error system_error(int code, const std::string& what) {
  const std::string message = what + ": " + std::strerror(code);
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Error(Code::kNoSpace, message);
    case EACCES:
    case EPERM:
      return Error(Code::kPermissionDenied, message);
    case EROFS:
      return Error(Code::kReadOnly, message);
    case ENOENT:
      return Error(Code::kNotFound, message);
    case EEXIST:
      return Error(Code::kAlreadyExists, message);
    case EMFILE:
    case ENFILE:
      return Error(Code::kResourceExhausted, message + " (raise LimitNOFILE / ulimit -n)");
    case ENOMEM:
      return Error(Code::kResourceExhausted, message);
    default:
      return Error(Code::kIo, message);
  }
}

std::string lock_holder(const struct stat& file) {
  std::ifstream locks("/proc/locks");
  std::string line;
  while (std::getline(locks, line)) {
    int pid = 0;
    unsigned major_number = 0, minor_number = 0;
    unsigned long long inode = 0;
    // "1: FLOCK  ADVISORY  WRITE 1234 fe:00:567 0 EOF"
    if (std::sscanf(line.c_str(), "%*s FLOCK %*s %*s %d %x:%x:%llu", &pid, &major_number,
                    &minor_number, &inode) == 4 &&
        inode == file.st_ino && major_number == major(file.st_dev) &&
        minor_number == minor(file.st_dev) && pid > 0) {
      return pid == ::getpid() ? "this process" : "pid " + std::to_string(pid);
    }
  }
  return "another process";
}

Status lock_descriptor(int fd, const std::string& path) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return {};
  if (errno != EWOULDBLOCK) return system_error(errno, "cannot lock " + path);
  struct stat facts{};
  if (::fstat(fd, &facts) != 0) return system_error(errno, "cannot stat " + path);
  return Error(Code::kBusy, path + " is locked by " + lock_holder(facts));
}

Result<UniqueFd> open_locked(int directory_fd, const std::string& name) {
  // O_NONBLOCK: a FIFO must not stop us.
  UniqueFd fd(::openat(directory_fd, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) {
    if (errno == ELOOP) return Error(Code::kInvalidArgument, name + " is a symbolic link");
    return system_error(errno, "cannot open " + name);
  }
  struct stat facts{};
  if (::fstat(fd.get(), &facts) != 0) return system_error(errno, "cannot stat " + name);
  if (!S_ISREG(facts.st_mode)) {
    return Error(Code::kInvalidArgument, name + " is not a regular file");
  }
  PMSHELF_TRY(lock_descriptor(fd.get(), name));
  return fd;
}

Result<UniqueFd> lock_pool_directory(int directory_fd, const std::string& path,
                                     const std::string& note, bool writable) {
  const int access = writable ? O_RDWR | O_CREAT : O_RDONLY;
  UniqueFd fd(
      ::openat(directory_fd, kPoolLockName, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644));
  if (!fd) {
    if (!writable && errno == ENOENT) return fd;
    return system_error(errno, "cannot open " + path + "/" + kPoolLockName);
  }
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return pool_busy(fd.get(), path);
    return system_error(errno, "cannot lock " + path + "/" + kPoolLockName);
  }
  if (writable) PMSHELF_TRY(write_lock_text(fd.get(), path, note));
  return fd;
}

}  // namespace pmshelf::pool
