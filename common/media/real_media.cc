// Invariants:
// 1. bytes_ <= capacity of *map_, and map_ is published before the bytes_ that need it: readers
//    load bytes_ first, so that no range that passed its check lies outside the mapping.
// 2. Every FileMap lives in maps_ until the end: readers take no reference. Capacities at least
//    double, so that there are at most log2 of the largest size of them.
// 3. CPU granularity: flush() ends with the fence, in the thread that wrote the lines back. A
//    fence orders only its own thread's write-backs; with it inside flush, whoever drains later
//    has nothing of other threads to wait for. Only changes of the file's metadata (holes) wait
//    for the kernel in sync_.
// 4. Page granularity: flush() only notes the range; drain() is one msync of the smallest range
//    that holds all of them. That is one write-back and one journal commit, and unlike fdatasync it
//    leaves alone what others stored outside and did not ask to be durable.
#include "common/media/real_media.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <mutex>

#include "common/media/file_map.h"
#include "common/media/guard.h"
#include "common/media/holes.h"
#include "common/media/medium.h"
#include "common/media/range.h"
#include "common/media/sync_queue.h"

namespace pmshelf::media {
namespace {

// From here on copies bypass the cache: they would only evict what is in use.
constexpr uint64_t kNonTemporalBytesMin = 256;
constexpr uint64_t kCapacityUnitBytes = 2 << 20;
constexpr size_t kBadBlocksMax = 1 << 20;

// Address space for a file of `bytes` that may grow.
uint64_t capacity_for(const Medium& medium, uint64_t bytes) {
  return medium.device ? bytes : widen({0, 2 * bytes}, kCapacityUnitBytes).bytes;
}

class RealMedia final : public Media {
 public:
  RealMedia(OpenFile options, const Medium& medium, const CpuFunctions& cpu, UniqueFd fd,
            SourcePtr source, uint64_t bytes, std::shared_ptr<FileMap> map)
      : options_(std::move(options)),
        medium_(medium),
        by_page_(medium.granularity == PMEM2_GRANULARITY_PAGE),
        fd_(std::move(fd)),
        source_(std::move(source)),
        cpu_(cpu),
        sync_([this](const SyncQueue::Work& work) { return sync(work); }),
        holes_(!medium.device && !options_.read_only),
        bytes_(bytes),
        map_(map.get()),
        mapping_(map_view(map, bytes)) {
    maps_.push_back(std::move(map));
    can_discard_ = holes_ && !options_.preallocate && punch_works();
  }

  uint64_t bytes() const override { return bytes_.load(std::memory_order_acquire); }
  StorageClass storage_class() const override { return medium_.storage_class; }
  uint32_t flush_granularity_bytes() const override {
    if (by_page_) return kPageBytes;
    return medium_.granularity == PMEM2_GRANULARITY_BYTE ? kWordBytes : kLineBytes;
  }
  bool can_discard() const override { return can_discard_; }
  const std::string& name() const override { return options_.path; }

  Status store(uint64_t offset, std::span<const std::byte> source) override;
  Status store8(uint64_t offset, uint64_t value) override;
  Status zero(uint64_t offset, uint64_t length) override;
  Status read(uint64_t offset, std::span<std::byte> target) const override;
  Status flush(uint64_t offset, uint64_t length) override;
  Status drain() override;
  Status deep_flush(uint64_t offset, uint64_t length) override;
  Status discard(uint64_t offset, uint64_t length) override;
  Status resize(uint64_t new_bytes) override;

  std::shared_ptr<Mapping> mapping() const override {
    const std::lock_guard lock(mutex_);
    return mapping_;
  }
  int fd() const override { return medium_.device ? -1 : fd_.get(); }
  Result<std::vector<BadBlock>> bad_blocks() const override;

 private:
  std::byte* data() const { return map_.load(std::memory_order_acquire)->data(); }
  Status check(uint64_t offset, uint64_t length) const {
    return check_range(name(), offset, length, bytes());
  }
  Status check_writable() const;
  Status fill_zero(uint64_t offset, uint64_t length);
  Status write_back(uint64_t offset, uint64_t length);
  Status write_back_data(uint64_t offset, uint64_t length);
  Status check_not_truncated(uint64_t length) const;
  Status sync(const SyncQueue::Work& work);
  bool punch_works() const;
  Status grow(uint64_t new_bytes);
  Status shrink(uint64_t new_bytes);
  void publish(uint64_t new_bytes);

  const OpenFile options_;
  const Medium medium_;
  const bool by_page_;
  const UniqueFd fd_;
  const SourcePtr source_;
  const CpuFunctions cpu_;
  SyncQueue sync_;
  bool can_discard_ = false;
  std::atomic<bool> holes_;  // zero() by the file system; cleared when it cannot
  std::atomic<uint64_t> bytes_;
  std::atomic<FileMap*> map_;
  std::vector<std::shared_ptr<FileMap>> maps_;  // changed by resize only
  mutable std::mutex mutex_;                    // guards mapping_
  std::shared_ptr<Mapping> mapping_;
};

Status RealMedia::check_writable() const {
  if (!options_.read_only) return {};
  return Error(Code::kReadOnly, name() + ": was opened read-only");
}

Status RealMedia::store(uint64_t offset, std::span<const std::byte> source) {
  PMSHELF_TRY(check_writable());
  PMSHELF_TRY(check(offset, source.size()));
  if (source.empty()) return {};
  std::byte* const target = data() + offset;
  bool done = false;
  if (!by_page_ && source.size() >= kNonTemporalBytesMin) {
    // With the final fence: non-temporal stores are not visible to other threads before it.
    done =
        guarded([&] { cpu_.copy(target, source.data(), source.size(), PMEM2_F_MEM_NONTEMPORAL); });
  } else {
    done = guarded_copy(target, source.data(), source.size());
  }
  if (!done) return bus_error(name(), offset, source.size());
  return {};
}

Status RealMedia::store8(uint64_t offset, uint64_t value) {
  PMSHELF_TRY(check_writable());
  PMSHELF_TRY(check_word(name(), offset, bytes()));
  if (!guarded_store8(data() + offset, value)) return bus_error(name(), offset, kWordBytes);
  return {};
}

Status RealMedia::zero(uint64_t offset, uint64_t length) {
  PMSHELF_TRY(check_writable());
  PMSHELF_TRY(check(offset, length));
  if (length < kHoleBytesMin || !holes_.load(std::memory_order_relaxed)) {
    return fill_zero(offset, length);
  }
  const int how = options_.preallocate ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
  const int result = fallocate(fd_.get(), how | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                               static_cast<off_t>(length));
  if (result == 0) {
    sync_.add_metadata();
    return {};
  }
  if (errno != EOPNOTSUPP) return os_error(name(), "fallocate", errno);
  holes_.store(false, std::memory_order_relaxed);
  return fill_zero(offset, length);
}

Status RealMedia::fill_zero(uint64_t offset, uint64_t length) {
  std::byte* const target = data() + offset;
  bool done = false;
  if (!by_page_ && length >= kNonTemporalBytesMin) {
    done = guarded([&] { cpu_.fill(target, 0, length, PMEM2_F_MEM_NONTEMPORAL); });
  } else {
    done = guarded_fill_zero(target, length);
  }
  if (!done) return bus_error(name(), offset, length);
  return {};
}

Status RealMedia::read(uint64_t offset, std::span<std::byte> target) const {
  PMSHELF_TRY(check(offset, target.size()));
  if (target.empty()) return {};
  if (!guarded_copy(target.data(), data() + offset, target.size())) {
    return bus_error(name(), offset, target.size());
  }
  return {};
}

Status RealMedia::flush(uint64_t offset, uint64_t length) {
  PMSHELF_TRY(check(offset, length));
  if (length == 0 || options_.read_only) return {};
  if (by_page_) {
    sync_.add({offset, length});
    return {};
  }
  const bool by_line = medium_.granularity == PMEM2_GRANULARITY_CACHE_LINE;
  if (by_line && length >= kHoleBytesMin) {
    PMSHELF_TRY(write_back_data(offset, length));
  } else if (by_line) {
    PMSHELF_TRY(write_back(offset, length));
  }
  cpu_.fence();
  return {};
}

Status RealMedia::write_back(uint64_t offset, uint64_t length) {
  const std::byte* const begin = data() + offset;
  if (!guarded([&] { cpu_.write_back(begin, length); })) return bus_error(name(), offset, length);
  return {};
}

// A hole has nothing in the cache, and touching it would fill it. One turn per step of the range.
Status RealMedia::write_back_data(uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  for (uint64_t at = offset; at < end;) {
    PMSHELF_TRY_ASSIGN(at, next_data(name(), fd(), at));
    if (at == kNoData) return check_not_truncated(end);
    if (at >= end) return {};
    const Extent step = data_step(at, end);
    PMSHELF_TRY(write_back(step.offset, step.bytes));
    at = step.end();
  }
  return {};
}

Status RealMedia::check_not_truncated(uint64_t length) const {
  struct stat status;
  if (fstat(fd_.get(), &status) != 0) return os_error(name(), "fstat", errno);
  if (medium_.device || static_cast<uint64_t>(status.st_size) >= length) return {};
  return Error(Code::kIo, name() + ": was truncated by somebody else: it has " +
                              std::to_string(status.st_size) + " bytes, " + std::to_string(length) +
                              " expected");
}

Status RealMedia::drain() {
  if (!by_page_) cpu_.fence();
  if (sync_.idle()) return {};
  return sync_.drain();
}

Status RealMedia::sync(const SyncQueue::Work& work) {
  PMSHELF_TRY(check_not_truncated(bytes()));
  if (!work.metadata) return map_.load(std::memory_order_acquire)->sync(name(), *work.range);
  // msync need not commit holes in pages that were never dirty.
  int result = 0;
  do {
    result = fsync(fd_.get());
  } while (result != 0 && errno == EINTR);
  if (result != 0) return Error(Code::kIo, os_error(name(), "fsync", errno).message());
  return {};
}

Status RealMedia::deep_flush(uint64_t offset, uint64_t length) {
  PMSHELF_TRY(flush(offset, length));
  PMSHELF_TRY(drain());
  if (length == 0 || options_.read_only || by_page_) return {};
  return map_.load(std::memory_order_acquire)->deep_flush(name(), {offset, length});
}

Status RealMedia::discard(uint64_t offset, uint64_t length) {
  if (!can_discard_) {
    return Error(Code::kUnsupported, name() +
                                         ": cannot discard: it is a device, preallocated, "
                                         "read-only, or its file system has no holes");
  }
  PMSHELF_TRY(check(offset, length));
  if (length == 0) return {};
  if (fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                static_cast<off_t>(length)) != 0) {
    return os_error(name(), "fallocate", errno);
  }
  return {};
}

// Tried past the end of the file, where it changes nothing.
bool RealMedia::punch_works() const {
  const Extent file = widen({0, bytes()}, kPageBytes);
  return fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   static_cast<off_t>(file.end()), kPageBytes) == 0;
}

Status RealMedia::resize(uint64_t new_bytes) {
  if (medium_.device) return Error(Code::kUnsupported, name() + ": a device has a fixed size");
  PMSHELF_TRY(check_writable());
  if (new_bytes == 0) return Error(Code::kInvalidArgument, name() + ": cannot become empty");
  const uint64_t old_bytes = bytes();
  if (new_bytes > old_bytes) return grow(new_bytes);
  if (new_bytes < old_bytes) return shrink(new_bytes);
  return {};
}

Status RealMedia::grow(uint64_t new_bytes) {
  PMSHELF_TRY(check_not_truncated(bytes()));
  PMSHELF_TRY(extend(name(), fd_.get(), bytes(), new_bytes, options_.preallocate));
  if (new_bytes > maps_.back()->capacity()) {
    auto map = FileMap::make(options_, medium_, fd_.get(), source_.get(),
                             capacity_for(medium_, new_bytes));
    if (!map.ok()) {
      if (ftruncate(fd_.get(), static_cast<off_t>(bytes())) != 0) {
        return os_error(name(), "ftruncate", errno);
      }
      return std::move(map).error();
    }
    maps_.push_back(*std::move(map));
  }
  sync_.add_metadata();
  PMSHELF_TRY(sync_.drain());
  publish(new_bytes);
  return {};
}

Status RealMedia::shrink(uint64_t new_bytes) {
  const uint64_t old_bytes = bytes();
  publish(new_bytes);  // first: nobody is let into what goes
  if (ftruncate(fd_.get(), static_cast<off_t>(new_bytes)) != 0) {
    const int error = errno;
    publish(old_bytes);
    return os_error(name(), "ftruncate", error);
  }
  sync_.add_metadata();
  return sync_.drain();
}

void RealMedia::publish(uint64_t new_bytes) {
  map_.store(maps_.back().get(), std::memory_order_release);
  bytes_.store(new_bytes, std::memory_order_release);
  const std::lock_guard lock(mutex_);
  mapping_ = map_view(maps_.back(), new_bytes);
}

Result<std::vector<BadBlock>> RealMedia::bad_blocks() const {
  std::vector<BadBlock> found;
  pmem2_badblock_context* context = nullptr;
  const int result = pmem2_badblock_context_new(&context, source_.get());
  if (result == PMEM2_E_NOSUPP || result == PMEM2_E_DAX_REGION_NOT_FOUND || result == -EPERM ||
      result == -EACCES || result == -EOPNOTSUPP) {
    return found;
  }
  if (result != 0) return pmem2_error(name(), "pmem2_badblock_context_new", result);
  pmem2_badblock block;
  while (found.size() < kBadBlocksMax && pmem2_badblock_next(context, &block) == 0) {
    found.push_back({block.offset, block.length});
  }
  pmem2_badblock_context_delete(&context);
  return found;
}

Result<std::unique_ptr<Media>> map_descriptor(const OpenFile& options, UniqueFd fd) {
  pmem2_source* raw_source = nullptr;
  if (const int result = pmem2_source_from_fd(&raw_source, fd.get()); result != 0) {
    return pmem2_error(options.path, "pmem2_source_from_fd", result);
  }
  SourcePtr source(raw_source);
  size_t bytes = 0;
  if (const int result = pmem2_source_size(source.get(), &bytes); result != 0) {
    return pmem2_error(options.path, "pmem2_source_size", result);
  }
  if (bytes == 0) return Error(Code::kCorrupt, options.path + ": the file is empty");
  PMSHELF_TRY_ASSIGN(const Medium medium, examine(options, fd.get(), source.get()));
  PMSHELF_TRY_ASSIGN(const CpuFunctions cpu, cpu_functions(medium.granularity));
  PMSHELF_TRY_ASSIGN(
      std::shared_ptr<FileMap> map,
      FileMap::make(options, medium, fd.get(), source.get(), capacity_for(medium, bytes)));
  return std::unique_ptr<Media>(std::make_unique<RealMedia>(
      options, medium, cpu, std::move(fd), std::move(source), bytes, std::move(map)));
}

}  // namespace

Result<std::unique_ptr<Media>> open_file(const OpenFile& options) {
  install_sigbus_guard();
  PMSHELF_TRY_ASSIGN(UniqueFd fd, open_descriptor(options));
  auto media = map_descriptor(options, std::move(fd));
  if (!media.ok() && options.create) unlink(options.path.c_str());
  return media;
}

}  // namespace pmshelf::media
