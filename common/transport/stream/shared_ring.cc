#include "common/transport/stream/shared_ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace pmshelf::transport {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Error exhausted(const char* what) {
  return {Code::kResourceExhausted, std::string("ring: ") + what + ": " + std::strerror(errno)};
}

}  // namespace

SharedRing::SharedRing(UniqueFd fd, std::byte* data, uint64_t bytes)
    : fd_(std::move(fd)), data_(data), bytes_(bytes) {}

SharedRing::SharedRing(SharedRing&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

SharedRing& SharedRing::operator=(SharedRing&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedRing::~SharedRing() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

Result<SharedRing> SharedRing::map(UniqueFd fd, uint64_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return exhausted("mmap");
  return SharedRing(std::move(fd), static_cast<std::byte*>(data), bytes);
}

Result<SharedRing> SharedRing::create(uint64_t bytes) {
  if (bytes < kRingBytesMin || bytes > kRingBytesMax || bytes % kRingBytesMin != 0) {
    return Error(Code::kInvalidArgument,
                 "length: a ring has a multiple of 4096 bytes, at most 67108864");
  }
  UniqueFd fd(::memfd_create("pmshelf-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return exhausted("memfd_create");
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) return exhausted("ftruncate");
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return exhausted("F_ADD_SEALS");
  return map(std::move(fd), bytes);
}

Result<SharedRing> SharedRing::attach(UniqueFd fd, uint64_t bytes) {
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0 || static_cast<uint64_t>(status.st_size) != bytes) {
    return Error(Code::kInvalidArgument, "ring: the descriptor has another size than was asked");
  }
  const int seals = ::fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return Error(Code::kInvalidArgument, "ring: the descriptor is not a sealed memfd");
  }
  return map(std::move(fd), bytes);
}

}  // namespace pmshelf::transport
