#include "client/cli/local_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "client/cli/interrupt.h"

namespace pmshelf::cli {
namespace {

constexpr size_t kSpoolChunkBytes = size_t{1} << 20;
constexpr int kTemporaryNamesMax = 100;

Error system_error(const std::string& name) {
  return Error(Code::kIo, name + ": " + std::strerror(errno));
}

// Until `fd` can be read or the process is interrupted.
Status wait_readable(int fd) {
  pollfd waits[2] = {{fd, POLLIN, 0}, {Interrupt::fd(), POLLIN, 0}};
  while (::poll(waits, 2, -1) < 0 && errno == EINTR) {
  }
  return Interrupt::check();
}

Status write_all(int fd, std::span<const std::byte> bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EPIPE && fd == STDOUT_FILENO) end_by_broken_pipe();
      if (errno != EINTR) return system_error(name);
      PMSHELF_TRY(Interrupt::check());
      continue;
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

std::string real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  return real ? std::string(real.get()) : path;
}

// Creates a file beside `path`; its name comes back in `temporary`.
Result<File> create_beside(const std::string& path, mode_t mode, std::string& temporary) {
  for (int attempt = 0; attempt < kTemporaryNamesMax; ++attempt) {
    const std::string name =
        path + ".pmshelf-" + std::to_string(::getpid()) + "-" + std::to_string(attempt);
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd >= 0) {
      temporary = name;
      return File(fd);
    }
    if (errno != EEXIST) break;
  }
  return system_error(path);
}

// Folders that cannot be opened for reading or synced (some network file systems) are left alone.
Status sync_folder(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const File file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.fd() >= 0 && ::fsync(file.fd()) != 0 && errno == EIO) return system_error(folder);
  return {};
}

}  // namespace

File& File::operator=(File&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

File::~File() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

Result<FileSource> FileSource::open(const std::string& path) {
  FileSource source;
  source.name_ = path == "-" ? "standard input" : path;
  source.file_ = File(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status = {};
  if (source.file_.fd() < 0 || ::fstat(source.file_.fd(), &status) != 0) {
    return system_error(source.name_);
  }
  if (S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    return system_error(source.name_);
  }
  if (S_ISREG(status.st_mode)) {
    const off_t at = std::max<off_t>(::lseek(source.file_.fd(), 0, SEEK_CUR), 0);
    source.known_bytes_ = static_cast<uint64_t>(std::max<off_t>(status.st_size - at, 0));
  }
  return source;
}

Result<size_t> FileSource::read_up_to(std::span<std::byte> target) {
  size_t done = 0;
  while (done < target.size()) {
    if (!known_bytes_) PMSHELF_TRY(wait_readable(file_.fd()));
    const ssize_t got = ::read(file_.fd(), target.data() + done, target.size() - done);
    if (got < 0 && errno == EINTR) {
      PMSHELF_TRY(Interrupt::check());
      continue;
    }
    if (got < 0) return system_error(name_);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Status FileSource::read_exactly(std::span<std::byte> target) {
  PMSHELF_TRY_ASSIGN(const size_t got, read_up_to(target));
  if (got == target.size()) return {};
  return Error(Code::kIo, name_ + ": ended before it was expected to");
}

Result<FileSource> spool(FileSource& rest, std::span<const std::byte> head) {
  const char* folder = std::getenv("TMPDIR");
  if (folder == nullptr || *folder == '\0') folder = "/var/tmp";
  std::string name = std::string(folder) + "/pmshelf-spool-XXXXXX";
  FileSource spooled;
  spooled.file_ = File(::mkostemp(name.data(), O_CLOEXEC));
  if (spooled.file_.fd() < 0) return system_error(name);
  ::unlink(name.c_str());
  spooled.name_ = "temporary file in " + std::string(folder);
  PMSHELF_TRY(write_all(spooled.file_.fd(), head, spooled.name_));
  std::vector<std::byte> chunk(kSpoolChunkBytes);
  uint64_t bytes = head.size();
  for (;;) {
    PMSHELF_TRY_ASSIGN(const size_t got, rest.read_up_to(chunk));
    PMSHELF_TRY(write_all(spooled.file_.fd(), std::span(chunk).first(got), spooled.name_));
    bytes += got;
    if (got < chunk.size()) break;
  }
  if (::lseek(spooled.file_.fd(), 0, SEEK_SET) != 0) return system_error(spooled.name_);
  spooled.known_bytes_ = bytes;
  return spooled;
}

Result<FileSink> FileSink::open(const std::string& path) {
  FileSink sink;
  sink.name_ = path == "-" ? "standard output" : path;
  if (path == "-") {
    sink.file_ = File(STDOUT_FILENO);
    return sink;
  }
  struct stat status = {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && !S_ISREG(status.st_mode)) {
    sink.file_ = File(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (sink.file_.fd() < 0) return system_error(path);
    return sink;
  }
  sink.path_ = real_path(path);
  auto file = create_beside(sink.path_, exists ? 0600 : 0666, sink.temporary_);
  if (!file) return Error(Code::kIo, file.error().message());
  sink.file_ = *std::move(file);
  if (exists && ::fchmod(sink.file_.fd(), status.st_mode & 07777) != 0) return system_error(path);
  return sink;
}

FileSink::FileSink(FileSink&& other) noexcept
    : file_(std::move(other.file_)),
      name_(std::move(other.name_)),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})) {}

FileSink::~FileSink() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status FileSink::write(std::span<const std::byte> bytes) {
  return write_all(file_.fd(), bytes, name_);
}

Status FileSink::commit() {
  if (temporary_.empty()) return {};
  if (::fsync(file_.fd()) != 0) return system_error(name_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return system_error(name_);
  temporary_.clear();
  return sync_folder(path_);
}

}  // namespace pmshelf::cli
