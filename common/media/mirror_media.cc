// The model: what was flushed is the content of its lines when flush() was called; drain() brings
// these snapshots to the file, in the order of the flushes. A line that is evicted reaches the
// file with what it holds at that moment.
//
// Locks: drain_mutex_ before mutex_. Whoever writes the file holds drain_mutex_, in drain() also
// while the file is synced, so that a drain never overtakes another one that took its lines;
// resize() holds both. Stores and snapshots exclude each other by mutex_; the receive path does
// not take part, as no lock stops a real cache either.
#include "common/media/mirror_media.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "common/media/dram_space.h"
#include "common/media/guard.h"
#include "common/media/holes.h"
#include "common/media/range.h"

namespace pmshelf::media {
namespace {

// Snapshots of more than this are drained by the flush itself, which a cache may do too.
constexpr uint64_t kPendingBytesMax = 64 << 20;
// Stored lines that are remembered as candidates for eviction; the oldest goes first.
constexpr size_t kCandidatesMax = 1024;
constexpr uint32_t kMillion = 1'000'000;

// Lines as they were when they were flushed.
struct Snapshot {
  Extent extent;
  std::vector<std::byte> contents;  // empty: zeros
};

// By words, each loaded at once: other threads may store to other words of the line meanwhile,
// which is no race in the hardware that this stands for. Volatile keeps it from becoming a memcpy.
__attribute__((no_sanitize("thread"))) void copy_words(std::byte* target, const std::byte* source,
                                                       uint64_t bytes) {
  uint64_t at = 0;
  for (; at + kWordBytes <= bytes; at += kWordBytes) {
    const uint64_t word = *reinterpret_cast<const volatile uint64_t*>(source + at);
    std::memcpy(target + at, &word, kWordBytes);
  }
  for (; at < bytes; ++at) target[at] = *const_cast<const volatile std::byte*>(source + at);
}

class MirrorMedia final : public Media {
 public:
  MirrorMedia(std::unique_ptr<Media> file, std::shared_ptr<DramSpace> space,
              const MirrorOptions& options)
      : file_(std::move(file)),
        space_(std::move(space)),
        line_bytes_(std::max<uint64_t>(kLineBytes, file_->flush_granularity_bytes())),
        evict_ppm_(options.evict_ppm),
        bytes_(file_->bytes()),
        random_(options.seed),
        mapping_(map_dram(space_, file_->bytes())) {}

  uint64_t bytes() const override { return bytes_.load(std::memory_order_acquire); }
  StorageClass storage_class() const override { return file_->storage_class(); }
  uint32_t flush_granularity_bytes() const override { return file_->flush_granularity_bytes(); }
  bool can_discard() const override { return file_->can_discard(); }
  const std::string& name() const override { return file_->name(); }

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
  int fd() const override { return space_->fd(); }
  Result<std::vector<BadBlock>> bad_blocks() const override { return file_->bad_blocks(); }

  Status load();

 private:
  Status check(uint64_t offset, uint64_t length) const {
    return check_range(name(), offset, length, bytes());
  }
  Extent lines_of(const Extent& extent) const {
    const Extent lines = widen(extent, line_bytes_);
    return {lines.offset, std::min(lines.end(), bytes()) - lines.offset};
  }
  std::byte* image(uint64_t offset) const { return space_->data() + offset; }

  // With mutex_ held:
  Status clear(uint64_t offset, uint64_t length);
  Status evict_after_store(const Extent& stored);
  Status take_snapshots(const Extent& lines);
  std::vector<Snapshot> take_pending();
  Status copy_out(const Extent& extent, std::vector<std::byte>& target) const;
  void publish(uint64_t new_bytes);

  // With drain_mutex_ held:
  Status write_to_file(const std::vector<Snapshot>& snapshots);
  Status write_to_file(const Snapshot& snapshot);

  const std::unique_ptr<Media> file_;
  const std::shared_ptr<DramSpace> space_;
  const uint64_t line_bytes_;
  const uint32_t evict_ppm_;
  std::atomic<uint64_t> bytes_;

  std::mutex drain_mutex_;
  std::optional<Error> failure_;  // of a drain: what it had taken is lost

  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::vector<uint64_t> candidates_;  // offsets of stored lines that were not flushed since
  std::vector<Snapshot> pending_;
  uint64_t pending_bytes_ = 0;
  std::shared_ptr<Mapping> mapping_;
};

Status MirrorMedia::store(uint64_t offset, std::span<const std::byte> source) {
  PMSHELF_TRY(check(offset, source.size()));
  if (source.empty()) return {};
  const std::lock_guard lock(mutex_);
  if (!guarded_copy(image(offset), source.data(), source.size())) {
    return bus_error(name(), offset, source.size());
  }
  return evict_after_store({offset, source.size()});
}

Status MirrorMedia::store8(uint64_t offset, uint64_t value) {
  PMSHELF_TRY(check_word(name(), offset, bytes()));
  const std::lock_guard lock(mutex_);
  if (!guarded_store8(image(offset), value)) return bus_error(name(), offset, kWordBytes);
  return evict_after_store({offset, kWordBytes});
}

Status MirrorMedia::zero(uint64_t offset, uint64_t length) {
  PMSHELF_TRY(check(offset, length));
  if (length == 0) return {};
  const std::lock_guard lock(mutex_);
  PMSHELF_TRY(clear(offset, length));
  return evict_after_store({offset, length});
}

Status MirrorMedia::clear(uint64_t offset, uint64_t length) {
  if (length < kHoleBytesMin) {
    if (!guarded_fill_zero(image(offset), length)) return bus_error(name(), offset, length);
    return {};
  }
  if (fallocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                static_cast<off_t>(length)) != 0) {
    return Error(Code::kIo, name() + ": DRAM image: fallocate: " + std::strerror(errno));
  }
  return {};
}

Status MirrorMedia::read(uint64_t offset, std::span<std::byte> target) const {
  PMSHELF_TRY(check(offset, target.size()));
  if (target.empty()) return {};
  if (!guarded_copy(target.data(), image(offset), target.size())) {
    return bus_error(name(), offset, target.size());
  }
  return {};
}

// Remembers one line of the store, and lets a random remembered one reach the file.
Status MirrorMedia::evict_after_store(const Extent& stored) {
  if (evict_ppm_ == 0) return {};
  const Extent lines = lines_of(stored);
  const uint64_t count = (lines.bytes + line_bytes_ - 1) / line_bytes_;
  if (candidates_.size() == kCandidatesMax) candidates_.erase(candidates_.begin());
  candidates_.push_back(lines.offset + random_() % count * line_bytes_);
  if (random_() % kMillion >= evict_ppm_) return {};
  // While a drain writes the file, the line stays in the cache.
  const std::unique_lock file_lock(drain_mutex_, std::try_to_lock);
  if (!file_lock.owns_lock()) return {};
  const auto chosen = candidates_.begin() + static_cast<int64_t>(random_() % candidates_.size());
  const Extent line = lines_of({*chosen, 1});
  candidates_.erase(chosen);
  Snapshot evicted{line, {}};
  PMSHELF_TRY(copy_out(line, evicted.contents));
  return file_->store(line.offset, evicted.contents);
}

Status MirrorMedia::copy_out(const Extent& extent, std::vector<std::byte>& target) const {
  target.resize(extent.bytes);
  if (!guarded([&] { copy_words(target.data(), image(extent.offset), extent.bytes); })) {
    return bus_error(name(), extent.offset, extent.bytes);
  }
  return {};
}

Status MirrorMedia::flush(uint64_t offset, uint64_t length) {
  PMSHELF_TRY(check(offset, length));
  if (length == 0) return {};
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    const Extent lines = lines_of({offset, length});
    std::erase_if(candidates_,
                  [&](uint64_t line) { return line >= lines.offset && line < lines.end(); });
    PMSHELF_TRY(take_snapshots(lines));
    full = pending_bytes_ > kPendingBytesMax;
  }
  return full ? drain() : Status();
}

// One snapshot per step, and one per hole of the image between them.
Status MirrorMedia::take_snapshots(const Extent& lines) {
  const uint64_t end = lines.end();
  for (uint64_t at = lines.offset; at < end;) {
    PMSHELF_TRY_ASSIGN(const uint64_t found, next_data(name(), fd(), at));
    const uint64_t data_at = std::min(found, end);
    if (data_at > at) pending_.push_back({{at, data_at - at}, {}});
    if (data_at == end) return {};
    Snapshot snapshot{data_step(data_at, end), {}};
    PMSHELF_TRY(copy_out(snapshot.extent, snapshot.contents));
    pending_bytes_ += snapshot.extent.bytes;
    at = snapshot.extent.end();
    pending_.push_back(std::move(snapshot));
  }
  return {};
}

Status MirrorMedia::drain() {
  const std::lock_guard file_lock(drain_mutex_);
  std::vector<Snapshot> taken;
  {
    const std::lock_guard lock(mutex_);
    taken = take_pending();
  }
  return write_to_file(taken);
}

std::vector<Snapshot> MirrorMedia::take_pending() {
  pending_bytes_ = 0;
  return std::exchange(pending_, {});
}

Status MirrorMedia::write_to_file(const std::vector<Snapshot>& snapshots) {
  if (failure_) return *failure_;
  Status status;
  for (size_t i = 0; i < snapshots.size() && status.ok(); ++i) {
    status = write_to_file(snapshots[i]);
  }
  if (status.ok() && !snapshots.empty()) status = file_->drain();
  if (!status.ok()) failure_ = status.error();
  return status;
}

Status MirrorMedia::write_to_file(const Snapshot& snapshot) {
  const Extent& extent = snapshot.extent;
  if (snapshot.contents.empty()) {
    PMSHELF_TRY(file_->zero(extent.offset, extent.bytes));
  } else {
    PMSHELF_TRY(file_->store(extent.offset, snapshot.contents));
  }
  return file_->flush(extent.offset, extent.bytes);
}

Status MirrorMedia::deep_flush(uint64_t offset, uint64_t length) {
  PMSHELF_TRY(check(offset, length));
  PMSHELF_TRY(drain());
  return file_->deep_flush(offset, length);
}

Status MirrorMedia::discard(uint64_t offset, uint64_t length) {
  PMSHELF_TRY(check(offset, length));
  PMSHELF_TRY(file_->discard(offset, length));
  if (length == 0) return {};
  const std::lock_guard lock(mutex_);
  return clear(offset, length);
}

Status MirrorMedia::resize(uint64_t new_bytes) {
  const std::lock_guard file_lock(drain_mutex_);
  const std::lock_guard lock(mutex_);
  // What was flushed belongs to the old length.
  PMSHELF_TRY(write_to_file(take_pending()));
  const uint64_t old_bytes = bytes();
  if (new_bytes >= old_bytes) {
    PMSHELF_TRY(space_->resize(new_bytes));
    Status status = file_->resize(new_bytes);
    if (!status.ok()) {
      PMSHELF_TRY(space_->resize(old_bytes));
      return status;
    }
    publish(new_bytes);
    return {};
  }
  PMSHELF_TRY(file_->resize(new_bytes));
  publish(new_bytes);
  std::erase_if(candidates_, [&](uint64_t line) { return line >= new_bytes; });
  return space_->resize(new_bytes);
}

void MirrorMedia::publish(uint64_t new_bytes) {
  bytes_.store(new_bytes, std::memory_order_release);
  mapping_ = map_dram(space_, new_bytes);
}

// Fills the image from the file.
Status MirrorMedia::load() {
  std::vector<std::byte> buffer(kHoleBytesMin);
  for (uint64_t at = 0; at < bytes();) {
    PMSHELF_TRY_ASSIGN(at, next_data(name(), file_->fd(), at));
    if (at >= bytes()) return {};
    const Extent step = data_step(at, bytes());
    PMSHELF_TRY(file_->read(step.offset, std::span(buffer).first(step.bytes)));
    if (!is_zero(buffer.data(), step.bytes)) {
      std::memcpy(image(step.offset), buffer.data(), step.bytes);
    }
    at = step.end();
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Media>> open_mirror(std::unique_ptr<Media> file,
                                           const MirrorOptions& options) {
  install_sigbus_guard();
  PMSHELF_TRY_ASSIGN(auto space, DramSpace::make(DramSpace::Kind::kShared, file->bytes()));
  auto mirror = std::make_unique<MirrorMedia>(std::move(file), std::move(space), options);
  PMSHELF_TRY(mirror->load());
  return std::unique_ptr<Media>(std::move(mirror));
}

}  // namespace pmshelf::media
