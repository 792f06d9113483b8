// Mapping a grant into this process.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "common/base/units.h"
#include "common/transport/stream/channel_link.h"
#include "common/transport/stream/stream_channel.h"

namespace pmshelf::transport {
namespace {

Error bad_descriptor(const std::string& what) {
  return {Code::kIo, "map: the descriptor that the server passed " + what};
}

// MAP_SYNC where the file system has it (fsdax): only then is a CPU flush of new blocks durable.
void* map_file(int fd, uint64_t offset, uint64_t bytes, int protection) {
  void* data = ::mmap(nullptr, bytes, protection, MAP_SHARED_VALIDATE | MAP_SYNC, fd,
                      static_cast<off_t>(offset));
  if (data != MAP_FAILED) return data;
  return ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, static_cast<off_t>(offset));
}

Result<int> protection_of(int fd) {
  const int mode = ::fcntl(fd, F_GETFL);
  if (mode < 0 || (mode & O_PATH) != 0) return bad_descriptor("is not a file");
  if ((mode & O_ACCMODE) == O_RDONLY) return PROT_READ;
  if ((mode & O_ACCMODE) == O_RDWR) return PROT_READ | PROT_WRITE;
  return bad_descriptor("cannot be read");
}

}  // namespace

// Unmaps, then tells the daemon. Owner: MappedRange::keep_alive; the last copy destroys it, on any
// thread.
struct StreamChannel::Mapping {
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (base != nullptr) ::munmap(base, bytes);
    link->unmapped(grant);
  }
  void* base = nullptr;
  uint64_t bytes = 0;
  wire::GrantId grant;
  std::shared_ptr<Link> link;
};

Result<MappedRange> StreamChannel::map(wire::GrantId grant) {
  if (!capabilities_.map) return Error(Code::kUnsupported, "this path cannot map");
  // Counted from here on, so that an earlier mapping that goes meanwhile does not say Unmap.
  auto mapping = std::make_shared<Mapping>();
  mapping->grant = grant;
  mapping->link = link_;
  {
    const std::lock_guard lock(mutex_);
    ++mapped_[{grant.high, grant.low}];
  }
  PMSHELF_TRY_ASSIGN(MapAnswer answer, ask_map(grant));
  const int fd = answer.fd.get();
  struct stat status = {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    return bad_descriptor("is not a file");
  }
  if (!range_inside(answer.offset, answer.length, static_cast<uint64_t>(status.st_size))) {
    return bad_descriptor("is of a file that ends before the region does");
  }
  PMSHELF_TRY_ASSIGN(const int protection, protection_of(fd));
  MappedRange result;
  result.bytes = answer.length;
  result.writable = (protection & PROT_WRITE) != 0;
  if (answer.length > 0) {
    const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    const uint64_t begin = align_down(answer.offset, page_bytes);
    const uint64_t bytes = answer.offset - begin + answer.length;
    void* base = map_file(fd, begin, bytes, protection);
    if (base == MAP_FAILED) {
      return Error(Code::kResourceExhausted, std::string("map: ") + std::strerror(errno));
    }
    mapping->base = base;
    mapping->bytes = bytes;
    result.data = static_cast<std::byte*>(base) + (answer.offset - begin);
  }
  result.keep_alive = std::move(mapping);
  return result;
}

Result<StreamChannel::MapAnswer> StreamChannel::ask_map(wire::GrantId grant) {
  struct Answered {
    std::mutex mutex;
    std::optional<Result<MapAnswer>> answer;
  };
  const auto answered = std::make_shared<Answered>();
  DriveScope scope(*this);
  submit(submission(wire::Op::kMap, grant, MapDone([answered](Result<MapAnswer> answer) {
                      const std::lock_guard lock(answered->mutex);
                      answered->answer.emplace(std::move(answer));
                    })));
  const auto is_answered = [&] {
    const std::lock_guard lock(answered->mutex);
    return answered->answer.has_value();
  };
  PMSHELF_TRY(drive_until(is_answered, 0));
  background_starts_for_notices();
  return *std::move(answered->answer);
}

// Nobody but the channel's own thread hears a revocation while mappings are merely used.
void StreamChannel::background_starts_for_notices() {
  const std::lock_guard lock(mutex_);
  if (background_idle_) background_wake_.notify_one();
}

// A mapping of the grant is gone. The daemon is told after the last one.
void StreamChannel::unmapped(wire::GrantId grant) {
  {
    const std::lock_guard lock(mutex_);
    const auto count = mapped_.find({grant.high, grant.low});
    if (--count->second > 0) return;
    mapped_.erase(count);
    if (broken_) return;
  }
  submit(submission(wire::Op::kUnmap, grant, Done([](const Status&) {})));
}

}  // namespace pmshelf::transport
